import { createHash, pbkdf2, randomBytes, timingSafeEqual } from "node:crypto";
import { promisify } from "node:util";
import { compare as bcryptCompare, hash as bcryptHash } from "bcrypt";
import type { Config } from "../config/index.ts";
import { fitsHash, hashPassword, parsePasswordHash } from "./password.ts";

const derive = promisify(pbkdf2);

export type HashAlgorithmConfig = NonNullable<
  NonNullable<Config["auth"]["built_in_database"]>["password_hash_algorithm"]
>;

/** How the passwords of a built-in database are kept. */
export type HashAlgorithm =
  | { readonly name: "scrypt" }
  | {
      readonly name: "plain" | "md5" | "sha" | "sha256" | "sha512";
      readonly saltPosition: "disable" | "prefix" | "suffix";
    }
  | { readonly name: "bcrypt"; readonly saltRounds: number }
  | {
      readonly name: "pbkdf2";
      readonly macFun: "md5" | "sha" | "sha224" | "sha256" | "sha384" | "sha512";
      readonly iterations: number;
      readonly dkLength: number;
    };

/** A password as it is kept: the hash as its algorithm writes it (hex for digests), and its salt. */
export interface HashedPassword {
  readonly algorithm: HashAlgorithm;
  readonly hash: string;
  readonly salt: string;
}

/** The digest that stands where no algorithm was chosen, as EMQX's clients expect it. */
export const DEFAULT_DIGEST = { name: "sha256", saltPosition: "suffix" } as const;

const SALT_BYTES = 16;
/** bcrypt reads no further; a longer password would be as good as its beginning. */
const BCRYPT_MAX_BYTES = 72;
/** Dearer hashes are not taken: one login would hold a thread for seconds. */
const MAX_BCRYPT_ROUNDS = 14;
const BCRYPT_FORMAT = /^\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}$/;

const DIGEST_BYTES = { md5: 16, sha: 20, sha224: 28, sha256: 32, sha384: 48, sha512: 64 } as const;

/** The algorithm with everything that was left out filled in. */
export function completeAlgorithm(cfg: HashAlgorithmConfig): HashAlgorithm {
  switch (cfg.name) {
    case "bcrypt":
      return { name: "bcrypt", saltRounds: cfg.salt_rounds ?? 10 };
    case "pbkdf2": {
      const macFun = cfg.mac_fun ?? "sha256";
      return {
        name: "pbkdf2",
        macFun,
        iterations: cfg.iterations ?? 10_000,
        dkLength: cfg.dk_length ?? DIGEST_BYTES[macFun],
      };
    }
    case "plain":
    case "md5":
    case "sha":
    case "sha256":
    case "sha512":
      return { name: cfg.name, saltPosition: cfg.salt_position ?? "prefix" };
  }
}

/** Whether hashing with it belongs into a thread; the others take microseconds. */
export function isSlow({ name }: HashAlgorithm): boolean {
  return name === "scrypt" || name === "bcrypt" || name === "pbkdf2";
}

/** Roughly how long a verification takes, in microseconds of one desktop core. */
export function workUs(algorithm: HashAlgorithm): number {
  switch (algorithm.name) {
    case "scrypt":
      return 35_000;
    case "bcrypt":
      return 2 ** algorithm.saltRounds * 52;
    case "pbkdf2": {
      const blocks = Math.ceil(algorithm.dkLength / DIGEST_BYTES[algorithm.macFun]);
      return algorithm.iterations * blocks * 0.2;
    }
    case "plain":
    case "md5":
    case "sha":
    case "sha256":
    case "sha512":
      return 0;
  }
}

/**
 * Hashes a password with a salt of its own; slow algorithms work outside the event loop.
 * The caller limits how many run at once.
 */
export async function hashWith(
  algorithm: HashAlgorithm,
  clear: string,
): Promise<{ readonly hash: string; readonly salt: string }> {
  switch (algorithm.name) {
    case "scrypt":
      return { hash: await hashPassword(clear), salt: "" };
    case "bcrypt":
      return { hash: await bcryptHash(clear, algorithm.saltRounds), salt: "" };
    case "pbkdf2": {
      const salt = randomBytes(SALT_BYTES).toString("hex");
      return { hash: await derived(algorithm, Buffer.from(clear), salt), salt };
    }
    case "plain":
    case "md5":
    case "sha":
    case "sha256":
    case "sha512": {
      const salt =
        algorithm.saltPosition === "disable" ? "" : randomBytes(SALT_BYTES).toString("hex");
      return { hash: digested(algorithm, Buffer.from(clear), salt).toString(), salt };
    }
  }
}

/** What keeps `clear` from being hashed with `algorithm`; null when nothing does. */
export function passwordFault(algorithm: HashAlgorithm, clear: string): string | null {
  if (algorithm.name === "bcrypt" && Buffer.byteLength(clear) > BCRYPT_MAX_BYTES) {
    return `at most ${BCRYPT_MAX_BYTES} bytes, because bcrypt does not read further`;
  }
  return null;
}

/** Whether a hash that somebody else made can be verified with `algorithm`. */
export function isHashOf(algorithm: HashAlgorithm, hash: string): boolean {
  switch (algorithm.name) {
    case "scrypt":
      return parsePasswordHash(hash) !== null;
    case "bcrypt": {
      const rounds = Number(BCRYPT_FORMAT.exec(hash)?.[1] ?? Number.NaN);
      return rounds >= 4 && rounds <= MAX_BCRYPT_ROUNDS;
    }
    case "pbkdf2":
      return isHex(hash, algorithm.dkLength);
    case "plain":
      return hash !== "";
    case "md5":
    case "sha":
    case "sha256":
    case "sha512":
      return isHex(hash, DIGEST_BYTES[algorithm.name]);
  }
}

/** Whether `given` is the password behind `stored`; takes the same time wherever they differ. */
export async function fitsStored(given: Buffer, stored: HashedPassword): Promise<boolean> {
  const { algorithm, hash, salt } = stored;
  switch (algorithm.name) {
    case "scrypt": {
      const parsed = parsePasswordHash(hash);
      return parsed !== null && fitsHash(given, parsed);
    }
    case "bcrypt":
      // $2y$ is what PHP calls $2b$.
      return bcryptCompare(given, hash.replace(/^\$2y\$/, "$2b$"));
    case "pbkdf2":
      return isSame(await derived(algorithm, given, salt), hash.toLowerCase());
    case "plain":
      return isSame(digested(algorithm, given, salt), hash);
    case "md5":
    case "sha":
    case "sha256":
    case "sha512":
      return isSame(digested(algorithm, given, salt), hash.toLowerCase());
  }
}

/** Spends the time of a verification. */
export async function spendVerification(algorithm: HashAlgorithm): Promise<void> {
  await hashWith(algorithm, "nobody");
}

function digested(
  { name, saltPosition }: HashAlgorithm & { saltPosition: string },
  clear: Buffer,
  salt: string,
): string | Buffer {
  const parts = [clear];
  if (saltPosition === "prefix") parts.unshift(Buffer.from(salt));
  if (saltPosition === "suffix") parts.push(Buffer.from(salt));
  if (name === "plain") return Buffer.concat(parts);
  const digest = createHash(name === "sha" ? "sha1" : name);
  for (const part of parts) digest.update(part);
  return digest.digest("hex");
}

async function derived(
  { macFun, iterations, dkLength }: HashAlgorithm & { name: "pbkdf2" },
  clear: Buffer,
  salt: string,
): Promise<string> {
  const digest = macFun === "sha" ? "sha1" : macFun;
  return (await derive(clear, salt, iterations, dkLength, digest)).toString("hex");
}

/** Compares digests of both, so that neither length nor place of a difference shows in the time. */
function isSame(left: string | Buffer, right: string): boolean {
  return timingSafeEqual(
    createHash("sha256").update(left).digest(),
    createHash("sha256").update(right).digest(),
  );
}

function isHex(text: string, bytes: number): boolean {
  return text.length === bytes * 2 && /^[0-9a-fA-F]*$/.test(text);
}

/** An algorithm in short, as it stands beside each password: `sha256:suffix`, `bcrypt:10`. */
export function algorithmCode(algorithm: HashAlgorithm): string {
  return Object.values(algorithm).join(":");
}

const CODE =
  /^(?:(scrypt)|(plain|md5|sha|sha256|sha512):(disable|prefix|suffix)|bcrypt:(\d{1,2})|pbkdf2:(md5|sha|sha224|sha256|sha384|sha512):(\d{1,7}):(\d{1,3}))$/;

/** @returns null for text that is no code */
export function parseAlgorithmCode(code: string): HashAlgorithm | null {
  const fields = CODE.exec(code);
  if (fields === null) return null;
  const [, scrypt, name, saltPosition, saltRounds, macFun, iterations, dkLength] = fields;
  if (scrypt !== undefined) return { name: "scrypt" };
  if (name !== undefined) {
    return { name, saltPosition } as HashAlgorithm;
  }
  if (saltRounds !== undefined) return { name: "bcrypt", saltRounds: Number(saltRounds) };
  return {
    name: "pbkdf2",
    macFun: macFun as keyof typeof DIGEST_BYTES,
    iterations: Number(iterations),
    dkLength: Number(dkLength),
  };
}
