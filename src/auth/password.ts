import { createHmac, randomBytes, type ScryptOptions, scrypt, timingSafeEqual } from "node:crypto";

/** Work of a hash (RFC 7914): 16 MiB and some 35 ms of one desktop core, 150 ms of a small board. */
const DEFAULT_COST: ScryptCost = { N: 16_384, r: 8, p: 1 };
const SALT_BYTES = 16;
const HASH_BYTES = 32;

/** Hashes that would need more than this are not accepted: verifying one must not starve a board. */
const MAX_MEMORY_BYTES = 128 * 1024 * 1024;
const MAX_P = 16;

const PREFIX = "scrypt$";
const FORMAT = /^scrypt\$(\d{1,7})\$(\d{1,3})\$(\d{1,2})\$([\w-]{11,86})\$([\w-]{22,86})$/;

/** The parameters that decide what a verification costs. */
export interface ScryptCost {
  readonly N: number;
  readonly r: number;
  readonly p: number;
}

/** A stored hash, taken apart. */
export interface PasswordHash extends ScryptCost {
  readonly salt: Buffer;
  readonly hash: Buffer;
}

/**
 * Hashes a password with a salt of its own: `scrypt$N$r$p$salt$hash`, salt and hash in base64url.
 * The work is done outside the event loop.
 */
export async function hashPassword(clear: string): Promise<string> {
  const { N, r, p } = DEFAULT_COST;
  const salt = randomBytes(SALT_BYTES);
  const hash = await derive(Buffer.from(clear), salt, HASH_BYTES, DEFAULT_COST);
  return [`scrypt$${N}$${r}$${p}`, salt.toString("base64url"), hash.toString("base64url")].join(
    "$",
  );
}

/** Whether `text` is a hash that `verifyPassword` can use, within 128 MiB of memory. */
export function isPasswordHash(text: string): boolean {
  return parsePasswordHash(text) !== null;
}

/**
 * Whether `clear` is the password behind `stored`, a hash or clear text. Takes the same time
 * wherever the difference is. An empty password never fits, and neither does anything fit a damaged
 * hash (text that starts with `scrypt$` and is none). For a hash the work is done outside the event
 * loop; the caller limits how many run at once.
 */
export async function verifyPassword(clear: string | Buffer, stored: string): Promise<boolean> {
  const given = typeof clear === "string" ? Buffer.from(clear) : clear;
  const parsed = parsePasswordHash(stored);
  return parsed === null ? fitsClearText(given, stored) : fitsHash(given, parsed);
}

/** Whether `given` is the clear text `stored`; false for an empty one and for a damaged hash. */
export function fitsClearText(given: Buffer, stored: string): boolean {
  const key = randomBytes(32);
  const isEqual = timingSafeEqual(digest(key, given), digest(key, Buffer.from(stored)));
  return isEqual && isUsableClearText(stored);
}

/** Whether a stored text that is no hash can be anybody's password. */
export function isUsableClearText(stored: string): boolean {
  return stored !== "" && !stored.startsWith(PREFIX);
}

export async function fitsHash(given: Buffer, stored: PasswordHash): Promise<boolean> {
  const hash = await derive(given, stored.salt, stored.hash.length, stored);
  return timingSafeEqual(hash, stored.hash) && given.length > 0;
}

/** Spends the time of a verification. */
export async function pretendToVerify(given: Buffer, cost: ScryptCost): Promise<void> {
  await derive(given, randomBytes(SALT_BYTES), HASH_BYTES, cost);
}

/** @returns null for text that is no hash, or one whose verification would take too much memory. */
export function parsePasswordHash(text: string): PasswordHash | null {
  const fields = FORMAT.exec(text);
  if (fields === null) return null;
  const [N, r, p] = [Number(fields[1]), Number(fields[2]), Number(fields[3])];
  const isPowerOfTwo = N > 1 && Number.isInteger(Math.log2(N));
  if (!isPowerOfTwo || r < 1 || p < 1 || p > MAX_P || memoryOf({ N, r, p }) > MAX_MEMORY_BYTES) {
    return null;
  }
  const salt = Buffer.from(fields[4] ?? "", "base64url");
  return { N, r, p, salt, hash: Buffer.from(fields[5] ?? "", "base64url") };
}

function digest(key: Buffer, text: Buffer): Buffer {
  return createHmac("sha256", key).update(text).digest();
}

function memoryOf({ N, r, p }: ScryptCost): number {
  return 128 * r * (N + p);
}

function derive(clear: Buffer, salt: Buffer, bytes: number, cost: ScryptCost): Promise<Buffer> {
  // OpenSSL counts a little more than the formula of RFC 7914 §2.
  const options: ScryptOptions = { ...cost, maxmem: memoryOf(cost) + 1024 * 1024 };
  return new Promise((resolve, reject) => {
    scrypt(clear, salt, bytes, options, (err, hash) => {
      if (err === null) resolve(hash);
      else reject(err);
    });
  });
}
