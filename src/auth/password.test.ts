import { describe, expect, test } from "vitest";
import { hashPassword, isPasswordHash, verifyPassword } from "./index.ts";

/** RFC 7914 §12, third vector, cut to 32 bytes by its own definition (PBKDF2's first block). */
const SALT = Buffer.from("SodiumChloride").toString("base64url");
const VECTOR_HASH = Buffer.from(
  "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2",
  "hex",
).toString("base64url");
const VECTOR = `scrypt$16384$8$1$${SALT}$${VECTOR_HASH}`;

describe("password hashes", () => {
  test("a hash verifies its password and no other, and two hashes differ", async () => {
    const [first, second] = await Promise.all([hashPassword("tide"), hashPassword("tide")]);
    expect(first).toMatch(/^scrypt\$16384\$8\$1\$[\w-]{22}\$[\w-]{43}$/);
    expect(first).not.toBe(second);
    expect(isPasswordHash(first)).toBe(true);
    expect(await verifyPassword("tide", first)).toBe(true);
    expect(await verifyPassword(Buffer.from("tide"), first)).toBe(true);
    expect(await verifyPassword("Tide", first)).toBe(false);
    expect(await verifyPassword("", first)).toBe(false);
  });

  test("the test vector of RFC 7914 §12 verifies", async () => {
    expect(await verifyPassword("pleaseletmein", VECTOR)).toBe(true);
  });

  test("a password may be any bytes", async () => {
    const stored = await hashPassword("pässwörd\u0000x");
    expect(await verifyPassword(Buffer.from("pässwörd\u0000x"), stored)).toBe(true);
    expect(await verifyPassword(Buffer.from([0xff, 0xfe]), stored)).toBe(false);
  });

  test("an empty password never fits, even its own hash", async () => {
    expect(await verifyPassword("", await hashPassword(""))).toBe(false);
    expect(await verifyPassword("", "")).toBe(false);
  });

  test("clear text is compared whole", async () => {
    expect(await verifyPassword("tide", "tide")).toBe(true);
    expect(await verifyPassword("tid", "tide")).toBe(false);
    expect(await verifyPassword("tidegate", "tide")).toBe(false);
  });

  test.each([
    ["not a power of two", VECTOR.replace("16384", "16383")],
    ["no work at all", VECTOR.replace("16384", "1")],
    ["over 128 MiB", VECTOR.replace("16384", "1048576")],
    ["much memory by r", VECTOR.replace("$8$", "$128$")],
    ["much work by p", VECTOR.replace("$1$", "$17$")],
    ["a zero", VECTOR.replace("$8$", "$0$")],
    ["a part missing", VECTOR.slice(0, VECTOR.lastIndexOf("$"))],
    ["a part cut", VECTOR.slice(0, -30)],
    ["other characters", VECTOR.replace("$8$", "$8 $")],
    ["text behind", `${VECTOR}\n`],
  ])("a hash with %s is none, and nothing fits it, not even itself", async (_, damaged) => {
    expect(isPasswordHash(damaged)).toBe(false);
    expect(await verifyPassword("pleaseletmein", damaged)).toBe(false);
    expect(await verifyPassword(damaged, damaged)).toBe(false);
  });
});
