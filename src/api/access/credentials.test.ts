import { expect, test } from "vitest";
import { hashPassword, verifyPassword } from "../../auth/index.ts";
import { createLog } from "../../log/index.ts";
import { ManualClock, systemClock } from "../../time/index.ts";
import { createCredentials } from "./credentials.ts";

const log = createLog({ level: "fatal" }, { write: () => undefined });

function setUp(clock = new ManualClock()) {
  const asked: string[] = [];
  const credentials = createCredentials({
    log,
    clock,
    async verifyPassword(clear, stored) {
      asked.push(stored);
      return clear === stored;
    },
  });
  const login = (secret: string, more: Partial<Parameters<typeof credentials.check>[0]> = {}) =>
    credentials.check({ account: "a", secret, stored: "right", address: "192.0.2.1", ...more });
  return { clock, asked, login };
}

test("what was right costs one hash; a changed secret is checked anew", async () => {
  const { asked, login } = setUp();
  for (let i = 0; i < 3; i++) expect(await login("right")).toBe(true);
  expect(asked).toHaveLength(1);
  expect(await login("right", { stored: "other" })).toBe(false);
  expect(await login("right", { account: "b", stored: "right" })).toBe(true);
  expect(asked).toHaveLength(3);
});

test("an unknown account costs a hash too, so that time tells nothing", async () => {
  const { asked, login } = setUp();
  expect(await login("x", { stored: null })).toBe(false);
  expect(asked[0]).toMatch(/^scrypt\$16384\$8\$1\$/);
});

test("a check that breaks refuses", async () => {
  const credentials = createCredentials({
    log,
    clock: systemClock,
    verifyPassword: () => Promise.reject(new Error("no memory")),
  });
  const login = { account: "a", secret: "x", stored: "x", address: "192.0.2.1" };
  expect(await credentials.check(login)).toBe(false);
});

test("guessing one account from many addresses is slowed, its owner's address is not", async () => {
  const { clock, asked, login } = setUp();
  expect(await login("right", { address: "192.0.2.99" })).toBe(true);
  for (let i = 0; i < 5; i++) await login(`guess ${i}`, { address: `198.51.100.${i}` });
  const late = login("guess", { address: "198.51.100.77" });
  await new Promise(setImmediate);
  expect(asked).toHaveLength(6);
  // The owner's new password is not remembered yet, and is checked at once.
  expect(await login("new", { address: "192.0.2.99", stored: "new" })).toBe(true);
  clock.advance(250);
  expect(await late).toBe(false);
});

test("guessing many accounts from one address is slowed", async () => {
  const { clock, asked, login } = setUp();
  for (let i = 0; i < 5; i++) await login("guess", { account: `account ${i}` });
  const late = login("guess", { account: "another" });
  await new Promise(setImmediate);
  expect(asked).toHaveLength(5);
  clock.advance(250);
  expect(await late).toBe(false);
  expect(asked).toHaveLength(6);
});

test("a remembered key costs microseconds, not a hash", async () => {
  const stored = await hashPassword("secret");
  const credentials = createCredentials({ log, clock: systemClock, verifyPassword });
  const login = { account: "key k", secret: "secret", stored, address: "192.0.2.1" };
  expect(await credentials.check(login)).toBe(true);
  const startMs = performance.now();
  for (let i = 0; i < 1_000; i++) await credentials.check(login);
  expect(performance.now() - startMs).toBeLessThan(200);
});
