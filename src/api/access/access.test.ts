import { createHmac, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { expect, test } from "vitest";
import { createLog } from "../../log/index.ts";
import { configWith } from "../../services/configuration/memory-config-store.testing.ts";
import { ManualClock } from "../../time/index.ts";
import { createBasicCheck } from "./basic.ts";
import { createGuessBrake, type GuessBrake } from "./guessing.ts";
import { createTokenCheck } from "./token.ts";

const log = createLog({ level: "fatal" }, { write: () => undefined });
const NOW_S = Date.UTC(2026, 0, 1) / 1000;
const ISSUER = "jwtRS256.key.pub";

const noBrake: GuessBrake = {
  admit: async () => true,
  failed: () => undefined,
  succeeded: () => undefined,
};

function basic(brake = noBrake, password: string | null = "pa:ss") {
  const asked: string[] = [];
  const { http } = configWith({ http: { username: "admin", password } });
  const check = createBasicCheck(
    {
      log,
      brake,
      async verifyPassword(clear, stored) {
        asked.push(clear);
        return clear === stored;
      },
    },
    () => http,
  );
  return { asked, check: (header?: string) => check(header, "192.0.2.1") };
}

const encoded = (pair: string) => Buffer.from(pair).toString("base64");

test.each([
  ["no header", undefined, 104],
  ["an empty header", "", 104],
  ["another scheme", "Bearer abc", 104],
  ["Basic without a value", "Basic", 104],
  ["Basic with blanks only", "Basic   ", 104],
  ["an empty user", `Basic ${encoded(":pa:ss")}`, 104],
  ["an empty password", `Basic ${encoded("admin:")}`, 104],
  ["no colon", `Basic ${encoded("admin")}`, 103],
  ["undecodable base64", "Basic !!!", 103],
  ["a wrong user", `Basic ${encoded("root:pa:ss")}`, 103],
  ["a wrong password", `Basic ${encoded("admin:pa")}`, 103],
  ["another case", `Basic ${encoded("Admin:pa:ss")}`, 103],
  ["the right pair, split at the first colon", `Basic ${encoded("admin:pa:ss")}`, null],
  ["a lower-case scheme", `basic ${encoded("admin:pa:ss")}`, null],
  ["text after the value", `Basic ${encoded("admin:pa:ss")} more`, null],
])("Basic with %s is judged %s → %s", async (_, header, verdict) => {
  expect(await basic().check(header)).toBe(verdict);
});

test("nobody gets in while no password is set", async () => {
  const { check } = basic(noBrake, null);
  expect(await check(`Basic ${encoded("admin:x")}`)).toBe(103);
});

test("a login that worked costs one password check, wrong ones cost one each", async () => {
  const { asked, check } = basic();
  for (let i = 0; i < 3; i++) expect(await check(`Basic ${encoded("admin:pa:ss")}`)).toBeNull();
  expect(asked).toHaveLength(1);
  for (let i = 0; i < 3; i++) expect(await check(`Basic ${encoded("admin:no")}`)).toBe(103);
  expect(asked).toHaveLength(4);
});

test("the password is checked for a wrong name too, so that time tells nothing", async () => {
  const { asked, check } = basic();
  await check(`Basic ${encoded("nobody:guess")}`);
  expect(asked).toEqual(["guess"]);
});

test("a password check that breaks refuses the login", async () => {
  const { http } = configWith({ http: { password: "x" } });
  const verifyPassword = async () => {
    throw new Error("busy");
  };
  const check = createBasicCheck({ log, brake: noBrake, verifyPassword }, () => http);
  expect(await check(`Basic ${encoded("admin:x")}`, "192.0.2.1")).toBe(103);
});

test("five wrong passwords are free, then each waits twice as long, up to four seconds", async () => {
  const clock = new ManualClock();
  const brake = createGuessBrake(clock);
  const waited: number[] = [];
  for (let i = 0; i < 12; i++) {
    const startMs = clock.monotonicMs();
    let isAdmitted = false;
    const admission = brake.admit("192.0.2.1").then(() => {
      isAdmitted = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    while (!isAdmitted) {
      clock.advance(250);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await admission;
    waited.push(clock.monotonicMs() - startMs);
    brake.failed("192.0.2.1");
  }
  expect(waited).toEqual([0, 0, 0, 0, 0, 250, 500, 1000, 2000, 4000, 4000, 4000]);
});

test("other addresses are not slowed, and a login that works ends the waiting", async () => {
  const brake = createGuessBrake(new ManualClock());
  for (let i = 0; i < 9; i++) brake.failed("192.0.2.1");
  expect(await brake.admit("192.0.2.2")).toBe(true);
  brake.succeeded("192.0.2.1");
  expect(await brake.admit("192.0.2.1")).toBe(true);
});

test("an IPv6 network of one host counts as one address", async () => {
  const clock = new ManualClock();
  const brake = createGuessBrake(clock);
  for (let i = 0; i < 9; i++) brake.failed(`2001:db8::1:${i}`);
  expect(await brake.admit("2001:db8:0:1::5")).toBe(true);
  let isAdmitted = false;
  const admission = brake.admit("2001:db8::ffff").then(() => {
    isAdmitted = true;
  });
  await new Promise((resolve) => setImmediate(resolve));
  expect(isAdmitted).toBe(false);
  clock.advance(4_000);
  await admission;
});

test("only eight requests of one address wait, more are refused at once", async () => {
  const clock = new ManualClock();
  const brake = createGuessBrake(clock);
  for (let i = 0; i < 9; i++) brake.failed("192.0.2.1");
  const waiting = Array.from({ length: 8 }, () => brake.admit("192.0.2.1"));
  expect(await brake.admit("192.0.2.1")).toBe(false);
  clock.advance(4_000);
  expect(await Promise.all(waiting)).toEqual(Array(8).fill(true));
});

test("failures are forgotten after ten minutes, and the oldest address first", async () => {
  const clock = new ManualClock();
  const brake = createGuessBrake(clock);
  for (let i = 0; i < 9; i++) brake.failed("192.0.2.1");
  clock.advance(600_001);
  expect(await brake.admit("192.0.2.1")).toBe(true);
  for (let i = 0; i < 9; i++) brake.failed("192.0.2.1");
  for (let i = 0; i < 1_024; i++) brake.failed(`10.0.${i >> 8}.${i & 255}`);
  expect(await brake.admit("192.0.2.1")).toBe(true);
});

const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const stranger = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;

function token(claims: object, key: KeyObject = privateKey, header: object = { alg: "RS256" }) {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const text = `${part(header)}.${part(claims)}`;
  return `${text}.${sign("RSA-SHA256", Buffer.from(text), key).toString("base64url")}`;
}

function hs256(claims: object): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const text = `${part({ alg: "HS256" })}.${part(claims)}`;
  const pem = publicKey.export({ type: "spki", format: "pem" });
  return `${text}.${createHmac("sha256", pem).update(text).digest("base64url")}`;
}

const good = { iss: ISSUER, exp: NOW_S + 60 };

test.each([
  ["a good one", `Bearer ${token(good)}`, null],
  ["a lower-case scheme", `bearer ${token(good)}`, null],
  ["exp as digits", `Bearer ${token({ ...good, exp: `${NOW_S + 60}` })}`, null],
  ["200 s over its time", `Bearer ${token({ ...good, exp: NOW_S - 200 })}`, null],
  ["201 s over its time", `Bearer ${token({ ...good, exp: NOW_S - 201 })}`, 116],
  ["no exp", `Bearer ${token({ iss: ISSUER })}`, 116],
  ["exp that is no number", `Bearer ${token({ ...good, exp: "soon" })}`, 116],
  ["expired and a wrong issuer", `Bearer ${token({ iss: "x", exp: 1 })}`, 103],
  ["expired and a wrong key", `Bearer ${token({ ...good, exp: 1 }, stranger)}`, 103],
  ["no issuer", `Bearer ${token({ exp: NOW_S + 60 })}`, 103],
  ["a longer issuer", `Bearer ${token({ ...good, iss: `${ISSUER}EXTRA` })}`, 103],
  ["a wrong key", `Bearer ${token(good, stranger)}`, 103],
  ["HS256 signed with the public key", `Bearer ${hs256(good)}`, 103],
  ["algorithm none", `Bearer ${token(good, privateKey, { alg: "none" })}`, 103],
  ["no signature", `Bearer ${token(good).replace(/[^.]*$/, "")}`, 103],
  [
    "a critical header nobody knows",
    `Bearer ${token(good, privateKey, { alg: "RS256", crit: ["x"], x: 1 })}`,
    103,
  ],
  ["a future nbf", `Bearer ${token({ ...good, nbf: NOW_S + 9_999 })}`, null],
  ["two parts", "Bearer a.b", 103],
  ["garbage", "Bearer !!!", 103],
  ["claims that are no object", `Bearer ${token([])}`, 103],
  ["no header", undefined, 104],
  ["Basic", `Basic ${encoded("admin:public")}`, 104],
  ["Bearer without a value", "Bearer", 104],
])("a token with %s is judged as the reference says (§1.5)", async (_, header, verdict) => {
  const check = createTokenCheck(new ManualClock(), ISSUER, () => publicKey);
  expect(await check(header)).toBe(verdict);
});

test("without a readable key every token is refused", async () => {
  const check = createTokenCheck(new ManualClock(), ISSUER, () => null);
  expect(await check(`Bearer ${token(good)}`)).toBe(103);
});
