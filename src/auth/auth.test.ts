import { beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { createLog } from "../log/index.ts";
import type { Peer } from "../mqtt/index.ts";
import { type Clock, ManualClock, systemClock } from "../time/index.ts";
import { type AuthConfig, createAuth, hashPassword } from "./index.ts";
import { memoryTables } from "./memory-table.testing.ts";
import { aclWith } from "./rules.testing.ts";

let hashed: string;
beforeAll(async () => {
  hashed = await hashPassword("right");
});

const peerAt = (address: string): Peer => ({
  listener: "tcp",
  address,
  tcpPort: 50_000,
  certificate: null,
});

function setUp(auth: Partial<AuthConfig["auth"]> = {}, clock: Clock = systemClock) {
  const lines: Record<string, unknown>[] = [];
  const log = createLog({ level: "info" }, { write: (line) => void lines.push(JSON.parse(line)) });
  const part = createAuth(
    { log, clock, store: memoryTables() },
    {
      auth: {
        allow_anonymous: false,
        built_in_database: null,
        users: [
          { username: "hashed", password: hashed },
          { username: "clear", password: "open" },
        ],
        ...auth,
      },
      acl: aclWith({ deny_action: "disconnect" }),
    },
  );
  onTestFinished(() => part.stop());
  const login = (username: string | null, password: string | null, address = "192.0.2.1") =>
    part.authenticate({
      clientId: "c1",
      username,
      password: password === null ? null : Buffer.from(password),
      peer: peerAt(address),
    });
  return { auth: part, login, lines };
}

describe("users", () => {
  test("right credentials are accepted, wrong ones and unknown users are not", async () => {
    const { auth, login } = setUp();
    expect(await login("hashed", "right")).toBe("accepted");
    expect(await login("clear", "open")).toBe("accepted");
    expect(await login("hashed", "wrong")).toBe("bad_credentials");
    expect(await login("nobody", "right")).toBe("bad_credentials");
    expect(auth.status()).toMatchObject({ accepted: 2, badCredentials: 2, overloaded: 0 });
  });

  test("missing or empty parts never fit", async () => {
    const { login } = setUp({ users: [{ username: "empty", password: "" }] });
    for (const [username, password] of [
      ["empty", ""],
      ["empty", null],
      ["", ""],
      ["", null],
      [null, ""],
    ] as const) {
      expect(await login(username, password, `192.0.2.${username}`)).toBe("bad_credentials");
    }
  });

  test("an empty list with anonymous off lets nobody in", async () => {
    const { login } = setUp({ users: [] });
    expect(await login(null, null)).toBe("bad_credentials");
    expect(await login("hashed", "right")).toBe("bad_credentials");
  });

  test("names and passwords longer than any configured are wrong without work", async () => {
    const { login } = setUp();
    const startMs = performance.now();
    expect(await login("u".repeat(65_535), "p")).toBe("bad_credentials");
    expect(await login("hashed", "p".repeat(65_535))).toBe("bad_credentials");
    expect(performance.now() - startMs).toBeLessThan(1000);
  });
});

describe("anonymous clients", () => {
  test("are accepted where that is allowed, but credentials that are given are verified", async () => {
    const { login } = setUp({ allow_anonymous: true });
    expect(await login(null, null)).toBe("accepted");
    expect(await login("hashed", "right")).toBe("accepted");
    expect(await login("hashed", "wrong")).toBe("bad_credentials");
    expect(await login("nobody", null)).toBe("bad_credentials");
    expect(await login("", null)).toBe("bad_credentials");
  });

  test("a password without a user name is refused", async () => {
    const { login } = setUp({ allow_anonymous: true });
    expect(await login(null, "right")).toBe("bad_credentials");
  });

  test("may be allowed and refused while running", async () => {
    const { auth, login } = setUp();
    expect(await login(null, null)).toBe("bad_credentials");
    auth.setAllowAnonymous(true);
    expect(await login(null, null)).toBe("accepted");
    auth.setAllowAnonymous(false);
    expect(await login(null, null)).toBe("bad_credentials");
  });

  test("refused without credentials they are no guesses", async () => {
    const { login } = setUp();
    for (let i = 0; i < 100; i++) expect(await login(null, null)).toBe("bad_credentials");
    expect(await login("clear", "open")).toBe("accepted");
  });
});

describe("guessing", () => {
  test("is slowed at its address while a login from elsewhere goes on at once", async () => {
    const clock = new ManualClock();
    const { login } = setUp({}, clock);
    for (let i = 0; i < 5; i++) await login("clear", `guess ${i}`, "127.0.0.1");
    let isAnswered = false;
    const slowed = login("clear", "open", "127.0.0.1").then((result) => {
      isAnswered = true;
      return result;
    });
    expect(await login("clear", "open", "192.0.2.9")).toBe("accepted");
    expect(isAnswered).toBe(false);
    clock.advance(500);
    expect(await slowed).toBe("accepted");
  });

  test("is refused unchecked when too many wait, and that is told apart", async () => {
    const clock = new ManualClock();
    const { auth, login } = setUp({}, clock);
    for (let i = 0; i < 5; i++) await login("clear", `guess ${i}`);
    const waiting = Array.from({ length: 40 }, (_, i) => login("clear", `more ${i}`));
    await auth.stop();
    const results = await Promise.all(waiting);
    expect(new Set(results)).toEqual(new Set(["not_authorized"]));
    expect(auth.status().overloaded).toBe(40);
  });

  test("is logged at once and then as counts, without names or passwords", async () => {
    const clock = new ManualClock();
    const { login, lines } = setUp({}, clock);
    for (let i = 0; i < 4; i++) await login("clear", "pa55word", `192.0.2.${i}`);
    clock.advance(10_000);
    const refused = lines.filter((line) => line["level"] === "warn");
    expect(refused).toHaveLength(2);
    expect(refused[0]).toMatchObject({ reason: "bad_credentials", address: "192.0.2.0" });
    expect(refused[1]).toMatchObject({ counts: { bad_credentials: 3, overloaded: 0 } });
    expect(JSON.stringify(lines)).not.toContain("pa55word");
    clock.advance(60_000);
    expect(lines.filter((line) => line["level"] === "warn")).toHaveLength(2);
  });
});

test("the operator is told of clear text, unusable and repeated users", async () => {
  const { auth, lines } = setUp({
    users: [
      { username: "a", password: "clear" },
      { username: "a", password: "clear" },
      { username: "b", password: "" },
    ],
  });
  await auth.start();
  expect(lines.filter((line) => line["level"] === "warn")).toHaveLength(3);
  expect(JSON.stringify(lines)).toContain('"users":["b"]');
});

test("authorisation and what a denied publish costs come from the configuration", () => {
  const { auth } = setUp();
  expect(auth.denyAction).toBe("disconnect");
  const client = { clientId: "c", username: null, address: "192.0.2.1", isSuperuser: false };
  const request = { ...client, action: "publish", topic: "t", qos: 0, retain: false } as const;
  expect(auth.authorize(request)).toBe(true);
});
