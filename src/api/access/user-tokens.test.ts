import { expect, test } from "vitest";
import { ManualClock } from "../../time/index.ts";
import { createUserTokens, type TokenUser } from "./user-tokens.ts";

const LIFE_MS = 3_600_000;

function setUp() {
  const clock = new ManualClock();
  const users = new Map<string, TokenUser>();
  const ann = { username: "ann", role: "viewer", storedPassword: "hash 1" } as const;
  users.set("ann", ann);
  const tokens = createUserTokens({ clock, find: (name) => users.get(name) }, LIFE_MS);
  return { clock, users, tokens, ann };
}

test("each use gives a token its full life again; unused it expires", () => {
  const { clock, tokens, ann } = setUp();
  const token = tokens.issue(ann);
  expect(token).toMatch(/^[\w-]{43}$/);
  for (let i = 0; i < 3; i++) {
    clock.advance(LIFE_MS);
    expect(tokens.check(token)).toEqual(ann);
  }
  clock.advance(LIFE_MS + 1);
  expect(tokens.check(token)).toBe("expired");
  expect(tokens.check(token)).toBe("expired");
});

test("a wall clock that is set neither ends nor prolongs a token (F6)", () => {
  const { clock, tokens, ann } = setUp();
  const token = tokens.issue(ann);
  for (const year of [2036, 1970]) {
    clock.jumpTo(Date.UTC(year, 0, 1));
    expect(tokens.check(token)).toEqual(ann);
  }
  clock.advance(LIFE_MS + 1);
  expect(tokens.check(token)).toBe("expired");
});

test.each([
  ["another password", { username: "ann", role: "viewer", storedPassword: "hash 2" }],
  ["another role", { username: "ann", role: "administrator", storedPassword: "hash 1" }],
  ["no user", undefined],
] as const)("%s destroys every token, for good", (_, user) => {
  const { users, tokens, ann } = setUp();
  const both = [tokens.issue(ann), tokens.issue(ann)];
  if (user === undefined) users.delete("ann");
  else users.set("ann", user);
  expect(both.map((token) => tokens.check(token))).toEqual(["unknown", "unknown"]);
  users.set("ann", ann);
  expect(both.map((token) => tokens.check(token))).toEqual(["unknown", "unknown"]);
});

test("logging out ends one token and leaves the others", () => {
  const { tokens, ann } = setUp();
  const [one, other] = [tokens.issue(ann), tokens.issue(ann)];
  tokens.destroy(one);
  expect([tokens.check(one), tokens.check(other)]).toEqual(["unknown", ann]);
});

test("of very many tokens the one used longest ago goes", () => {
  const { tokens, ann } = setUp();
  const [used, unused] = [tokens.issue(ann), tokens.issue(ann)];
  for (let i = 0; i < 997; i++) tokens.issue(ann);
  tokens.check(used);
  for (let i = 0; i < 2; i++) tokens.issue(ann);
  expect([tokens.check(used), tokens.check(unused)]).toEqual([ann, "unknown"]);
});

test.each(["", "x", "__proto__", "a".repeat(10_000)])("%.20s is nobody's token", (token) => {
  expect(setUp().tokens.check(token)).toBe("unknown");
});
