import { describe, expect, test } from "vitest";
import {
  algorithmCode,
  completeAlgorithm,
  fitsStored,
  type HashAlgorithm,
  type HashAlgorithmConfig,
  hashWith,
  isHashOf,
  parseAlgorithmCode,
} from "./hash-algorithm.ts";

const NONE = {
  salt_position: null,
  salt_rounds: null,
  mac_fun: null,
  iterations: null,
  dk_length: null,
} as const satisfies Omit<HashAlgorithmConfig, "name">;

const ALGORITHMS: readonly HashAlgorithm[] = [
  { name: "scrypt" },
  ...(["plain", "md5", "sha", "sha256", "sha512"] as const).flatMap((name) =>
    (["disable", "prefix", "suffix"] as const).map((saltPosition) => ({ name, saltPosition })),
  ),
  { name: "bcrypt", saltRounds: 4 },
  { name: "pbkdf2", macFun: "sha256", iterations: 10, dkLength: 32 },
  { name: "pbkdf2", macFun: "sha", iterations: 3, dkLength: 77 },
];

describe.each(ALGORITHMS.map((algorithm) => [algorithmCode(algorithm), algorithm] as const))(
  "%s",
  (code, algorithm) => {
    test("what it hashed fits, and nothing else does", async () => {
      for (const clear of ["secret", "пароль 🔑", "x".repeat(70)]) {
        const stored = { algorithm, ...(await hashWith(algorithm, clear)) };
        expect(isHashOf(algorithm, stored.hash)).toBe(true);
        expect(await fitsStored(Buffer.from(clear), stored)).toBe(true);
        expect(await fitsStored(Buffer.from(`${clear}x`), stored)).toBe(false);
        expect(await fitsStored(Buffer.from([0xff, 0xfe]), stored)).toBe(false);
      }
    });

    test("its code reads back as the same algorithm", () => {
      expect(parseAlgorithmCode(code)).toEqual(algorithm);
    });
  },
);

// Made by others: EMQX's documentation, RFC 6070, the bcrypt of Openwall.
test.each<[string, string, string, string]>([
  [
    "sha256:suffix",
    "public",
    "44edc2d57cde8d79c98145003e105b90a14f1460b79186ea9cfe83942fc5abb5",
    "slat_foo123",
  ],
  ["pbkdf2:sha:4096:20", "password", "4b007901b765489abead49d926f721d065a429c1", "salt"],
  ["bcrypt:5", "U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", ""],
  ["bcrypt:5", "U*U", "$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", ""],
  ["md5:disable", "abc", "900150983CD24FB0D6963F7D28E17F72", ""],
  ["sha:prefix", "bc", "a9993e364706816aba3e25717850c26c9cd0d89d", "a"],
  ["plain:disable", "grün", "grün", ""],
])("%s verifies %s as others hash it", async (code, clear, hash, salt) => {
  const algorithm = parseAlgorithmCode(code);
  if (algorithm === null) throw new Error("no algorithm");
  expect(isHashOf(algorithm, hash)).toBe(true);
  expect(await fitsStored(Buffer.from(clear), { algorithm, hash, salt })).toBe(true);
  expect(await fitsStored(Buffer.from(`${clear}.`), { algorithm, hash, salt })).toBe(false);
});

test("what is left out is EMQX's default", () => {
  expect(completeAlgorithm({ ...NONE, name: "sha256" })).toEqual({
    name: "sha256",
    saltPosition: "prefix",
  });
  expect(completeAlgorithm({ ...NONE, name: "bcrypt" })).toEqual({
    name: "bcrypt",
    saltRounds: 10,
  });
  expect(completeAlgorithm({ ...NONE, name: "pbkdf2", mac_fun: "sha512" })).toMatchObject({
    macFun: "sha512",
    dkLength: 64,
  });
});

test.each([
  ["bcrypt:10", "$2b$31$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"],
  ["bcrypt:10", "$2b$03$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"],
  ["bcrypt:10", "not a hash"],
  ["sha256:suffix", "44edc2"],
  ["sha256:suffix", `${"44edc2d5".repeat(7)}zzzzzzzz`],
  ["plain:disable", ""],
])("for %s, %s is no hash: it would never fit, or hold a thread for ages", (code, hash) => {
  const algorithm = parseAlgorithmCode(code);
  expect(algorithm !== null && isHashOf(algorithm, hash)).toBe(false);
});
