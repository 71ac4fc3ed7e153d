import { type Config, MASK } from "../config/index.ts";
import { GatewayError, reasonOf } from "../errors/index.ts";
import type { Log } from "../log/index.ts";
import {
  algorithmCode,
  completeAlgorithm,
  DEFAULT_DIGEST,
  fitsStored,
  type HashAlgorithm,
  type HashedPassword,
  hashWith,
  isHashOf,
  isSlow,
  parseAlgorithmCode,
  passwordFault,
  spendVerification,
  workUs,
} from "./hash-algorithm.ts";
import type { HashSlots } from "./hash-slots.ts";
import { gradually, type RecordTable } from "./record-table.ts";
import type { Account, AccountSource } from "./verifier.ts";

export type BuiltInDatabaseConfig = NonNullable<Config["auth"]["built_in_database"]>;

/** A user of the built-in database, without what must stay secret. */
export interface DatabaseUser {
  readonly userId: string;
  /** Publishes and subscribes to everything. */
  readonly isSuperuser: boolean;
}

/** One row of an import: a password in clear, or a hash that was made elsewhere. */
export interface ImportedUser {
  readonly userId: string;
  readonly isSuperuser: boolean;
  readonly secret: { readonly password: string } | { readonly hash: string; readonly salt: string };
}

/** What an import did; `success` were new, `override` replaced users that were there. */
export interface ImportResult {
  readonly total: number;
  readonly success: number;
  readonly override: number;
}

/** A user as kept; replaced by a new one when anything of it changes. */
class StoredUser implements HashedPassword, Account {
  readonly algorithm: HashAlgorithm;
  readonly hash: string;
  readonly salt: string;
  readonly isSuperuser: boolean;

  constructor({ algorithm, hash, salt }: HashedPassword, isSuperuser: boolean) {
    this.algorithm = algorithm;
    this.hash = hash;
    this.salt = salt;
    this.isSuperuser = isSuperuser;
  }

  get isSlow(): boolean {
    return isSlow(this.algorithm);
  }

  fits(given: Buffer): Promise<boolean> {
    return fitsStored(given, this);
  }
}

/** The users of the built-in database; changes count at once and are durable when they resolve. */
export interface UserDatabase {
  readonly size: number;
  get(userId: string): DatabaseUser | null;
  /** In a stable order. */
  list(): Iterable<DatabaseUser>;
  /**
   * @throws GatewayError MQTT_USER_EXISTS, MQTT_USERS_FULL, PARAMETER_INVALID for a name or password
   * out of bounds, AUTH_OVERLOADED, STORE_FULL, STORE_WRITE_FAILED
   */
  create(user: DatabaseUser & { readonly password: string }): Promise<void>;
  /**
   * @param change.password null keeps the present one
   * @throws GatewayError MQTT_USER_NOT_FOUND, and as `create`
   */
  update(
    userId: string,
    change: { readonly password: string | null; readonly isSuperuser: boolean },
  ): Promise<void>;
  /** @throws GatewayError MQTT_USER_NOT_FOUND, STORE_FULL, STORE_WRITE_FAILED */
  delete(userId: string): Promise<void>;
  /** Deletes all users. @throws GatewayError STORE_FULL, STORE_WRITE_FAILED */
  clear(): Promise<void>;
  /**
   * Adds or replaces all the users or, when one of them cannot be used, none. At most 1,000
   * passwords in clear at once where hashing is slow.
   * @throws GatewayError PARAMETER_INVALID naming the row, MQTT_USERS_FULL, AUTH_OVERLOADED,
   * STORE_FULL, STORE_WRITE_FAILED
   */
  import(users: readonly ImportedUser[]): Promise<ImportResult>;
}

export const MAX_USERNAME_BYTES = 1024;
export const MAX_PASSWORD_BYTES = 4096;
const MAX_USERS = 250_000;
const MAX_SLOW_IMPORT = 1000;
const MAX_SALT_BYTES = 1024;
const MAX_HASH_BYTES = 8192;

interface Deps {
  readonly log: Log;
  readonly slots: HashSlots;
  /** Usable from `load` on. */
  table(): RecordTable;
  /** What a superuser may do may have changed. */
  onSuperuserChange(): void;
}

/** All users in memory, some 300 bytes each, and in the store. */
export class StoredUsers implements UserDatabase, AccountSource {
  readonly #deps: Deps;
  readonly #users = new Map<string, StoredUser>();
  /** One object for each algorithm that users have, and how many they are. */
  readonly #algorithms = new Map<string, { readonly algorithm: HashAlgorithm; users: number }>();
  /** For passwords that come in clear one by one, and for hashes and imports. */
  #algorithm: HashAlgorithm = { name: "scrypt" };
  #importAlgorithm: HashAlgorithm = DEFAULT_DIGEST;
  /** What its users are named by; null while nobody asks it. */
  #userIdType: BuiltInDatabaseConfig["user_id_type"] | null = null;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** What passwords are hashed with from now on; users who are there keep their hashes. */
  configure(cfg: BuiltInDatabaseConfig | null): void {
    const chosen = cfg?.password_hash_algorithm ?? null;
    this.#algorithm = chosen === null ? { name: "scrypt" } : completeAlgorithm(chosen);
    this.#importAlgorithm = chosen === null ? DEFAULT_DIGEST : this.#algorithm;
    this.#userIdType = cfg?.enable === true ? cfg.user_id_type : null;
  }

  /** Whether it takes part in logins. */
  get isAsked(): boolean {
    return this.#userIdType !== null;
  }

  /** What a client is called here; null when it has no such name, or nobody asks. */
  nameOf({ clientId, username }: { clientId: string; username: string | null }): string | null {
    if (this.#userIdType === null) return null;
    return this.#userIdType === "clientid" ? clientId : username;
  }

  async load(): Promise<void> {
    let damaged = 0;
    for await (const records of this.#deps.table().entries()) {
      for (const [userId, value] of records) {
        const user = this.#decode(value);
        if (user === null) damaged++;
        else this.#set(userId, user);
      }
    }
    if (damaged > 0) this.#deps.log.error({ count: damaged }, "users could not be read");
  }

  /** The user as kept, for a login. */
  find(userId: string): Account | undefined {
    return this.#users.get(userId);
  }

  pretend(): ((given: Buffer) => Promise<void>) | null {
    if (!this.isAsked) return null;
    let dearest: HashAlgorithm | null = null;
    for (const { algorithm } of this.#algorithms.values()) {
      if (!isSlow(algorithm)) continue;
      if (dearest === null || workUs(algorithm) > workUs(dearest)) dearest = algorithm;
    }
    const algorithm = dearest;
    return algorithm === null ? null : () => spendVerification(algorithm);
  }

  get size(): number {
    return this.#users.size;
  }

  get(userId: string): DatabaseUser | null {
    const user = this.#users.get(userId);
    return user === undefined ? null : { userId, isSuperuser: user.isSuperuser };
  }

  *list(): Iterable<DatabaseUser> {
    for (const [userId, { isSuperuser }] of this.#users) yield { userId, isSuperuser };
  }

  async create({ userId, password, isSuperuser }: DatabaseUser & { password: string }) {
    this.#refuseKnown(userId);
    checkName("user_id", userId);
    checkPassword("password", password, this.#algorithm);
    this.#refuseFull(1);
    const hashed = await this.#hash(this.#algorithm, password);
    // Somebody may have been quicker.
    this.#refuseKnown(userId);
    await this.#write(userId, new StoredUser(hashed, isSuperuser));
  }

  async update(
    userId: string,
    { password, isSuperuser }: { password: string | null; isSuperuser: boolean },
  ): Promise<void> {
    this.#mustKnow(userId);
    if (password !== null) checkPassword("password", password, this.#algorithm);
    const hashed = password === null ? null : await this.#hash(this.#algorithm, password);
    const present = this.#mustKnow(userId);
    await this.#write(userId, new StoredUser(hashed ?? present, isSuperuser));
  }

  async delete(userId: string): Promise<void> {
    this.#mustKnow(userId);
    await this.#write(userId, null);
  }

  async clear(): Promise<void> {
    const before = [...this.#users];
    await gradually(before, ([userId]) => void this.#record(userId, null));
    await this.#committed(() => before);
  }

  async import(users: readonly ImportedUser[]): Promise<ImportResult> {
    const algorithm = this.#importAlgorithm;
    let clearCount = 0;
    await gradually(users.entries(), ([index, user]) => {
      checkImported(user, `row ${index + 1}`, algorithm);
      if ("password" in user.secret) clearCount++;
    });
    if (clearCount > MAX_SLOW_IMPORT && isSlow(algorithm)) {
      const expected = `at most ${MAX_SLOW_IMPORT} passwords at once, or hashes: ${algorithm.name} is slow on purpose`;
      throw invalid("users", clearCount, expected);
    }
    this.#refuseFull(users.length);
    const ready = new Map<string, StoredUser>();
    for (const [index, { userId, isSuperuser, secret }] of users.entries()) {
      const hashed =
        "password" in secret
          ? await this.#hash(algorithm, secret.password)
          : { hash: secret.hash, salt: secret.salt, algorithm };
      ready.set(userId, new StoredUser(hashed, isSuperuser));
      if (index % 500 === 499) await new Promise<void>((resolve) => setImmediate(resolve));
    }
    const before: [string, StoredUser | null][] = [];
    await gradually(ready, ([userId, user]) => {
      before.push([userId, this.#users.get(userId) ?? null]);
      this.#record(userId, user);
    });
    await this.#committed(() => before);
    const success = before.filter(([, user]) => user === null).length;
    return { total: users.length, success, override: users.length - success };
  }

  async #hash(algorithm: HashAlgorithm, clear: string): Promise<HashedPassword> {
    if (!isSlow(algorithm)) return { ...(await hashWith(algorithm, clear)), algorithm };
    const hashed = await this.#deps.slots.run(() => hashWith(algorithm, clear));
    if (hashed === null) throw new GatewayError("AUTH_OVERLOADED", {});
    return { ...hashed, algorithm };
  }

  /** Counts at once; taken back when it does not last. */
  async #write(userId: string, next: StoredUser | null): Promise<void> {
    const before = this.#users.get(userId) ?? null;
    const now = this.#record(userId, next);
    await this.#committed(() =>
      (this.#users.get(userId) ?? null) === now ? [[userId, before]] : [],
    );
  }

  /** A change that does not last is taken back: `before` says what there was. */
  async #committed(
    before: () => Iterable<readonly [userId: string, user: StoredUser | null]>,
  ): Promise<void> {
    try {
      await this.#deps.table().committed();
    } catch (err) {
      await gradually(before(), ([userId, user]) => this.#record(userId, user));
      throw err;
    }
  }

  #record(userId: string, next: StoredUser | null): StoredUser | null {
    const table = this.#deps.table();
    if (next === null) table.delete(userId);
    else table.put(userId, encode(next));
    if (this.#users.get(userId)?.isSuperuser === true) this.#deps.onSuperuserChange();
    return this.#set(userId, next);
  }

  #set(userId: string, next: StoredUser | null): StoredUser | null {
    const before = this.#users.get(userId);
    let kept: StoredUser | null = null;
    if (next === null) {
      this.#users.delete(userId);
    } else {
      const shared = this.#countOf(next.algorithm);
      shared.users++;
      kept = new StoredUser({ ...next, algorithm: shared.algorithm }, next.isSuperuser);
      this.#users.set(userId, kept);
    }
    if (before !== undefined) {
      const unused = this.#countOf(before.algorithm);
      unused.users--;
      if (unused.users === 0) this.#algorithms.delete(algorithmCode(before.algorithm));
    }
    return kept;
  }

  #countOf(algorithm: HashAlgorithm): { readonly algorithm: HashAlgorithm; users: number } {
    const code = algorithmCode(algorithm);
    const known = this.#algorithms.get(code);
    if (known !== undefined) return known;
    const entry = { algorithm, users: 0 };
    this.#algorithms.set(code, entry);
    return entry;
  }

  #decode(value: Buffer): StoredUser | null {
    try {
      const fields: unknown = JSON.parse(value.toString());
      if (!Array.isArray(fields)) return null;
      const [code, hash, salt, superuser] = fields;
      if (typeof code !== "string" || typeof hash !== "string" || typeof salt !== "string") {
        return null;
      }
      const known = this.#algorithms.get(code)?.algorithm ?? parseAlgorithmCode(code);
      if (known === null) return null;
      return new StoredUser({ algorithm: known, hash, salt }, superuser === 1);
    } catch (err) {
      this.#deps.log.debug({ err: reasonOf(err) }, "a user's record is damaged");
      return null;
    }
  }

  #mustKnow(userId: string): StoredUser {
    const user = this.#users.get(userId);
    if (user === undefined) throw new GatewayError("MQTT_USER_NOT_FOUND", { userId });
    return user;
  }

  #refuseKnown(userId: string): void {
    if (this.#users.has(userId)) throw new GatewayError("MQTT_USER_EXISTS", { userId });
  }

  #refuseFull(count: number): void {
    if (this.#users.size + count > MAX_USERS) {
      throw new GatewayError("MQTT_USERS_FULL", { max: MAX_USERS });
    }
  }
}

function encode({ algorithm, hash, salt, isSuperuser }: StoredUser): Buffer {
  return Buffer.from(JSON.stringify([algorithmCode(algorithm), hash, salt, isSuperuser ? 1 : 0]));
}

function checkImported({ userId, secret }: ImportedUser, row: string, algorithm: HashAlgorithm) {
  checkName(`${row}: user_id`, userId);
  if ("password" in secret) {
    checkPassword(`${row}: password`, secret.password, algorithm);
    return;
  }
  const { hash, salt } = secret;
  if (Buffer.byteLength(hash) > MAX_HASH_BYTES || !isHashOf(algorithm, hash)) {
    const expected = `a hash of ${algorithmCode(algorithm)}`;
    throw invalid(`${row}: password_hash`, MASK, expected);
  }
  if (Buffer.byteLength(salt) > MAX_SALT_BYTES) {
    throw invalid(`${row}: salt`, MASK, `at most ${MAX_SALT_BYTES} bytes`);
  }
}

function checkName(field: string, value: string): void {
  const bytes = Buffer.byteLength(value);
  if (bytes === 0 || bytes > MAX_USERNAME_BYTES || !value.isWellFormed() || value.includes("\0")) {
    const shown = value.slice(0, 64);
    throw invalid(field, shown, `text of 1 to ${MAX_USERNAME_BYTES} bytes without U+0000`);
  }
}

function checkPassword(field: string, value: string, algorithm: HashAlgorithm): void {
  const bytes = Buffer.byteLength(value);
  if (bytes === 0 || bytes > MAX_PASSWORD_BYTES) {
    throw invalid(field, MASK, `text of 1 to ${MAX_PASSWORD_BYTES} bytes`);
  }
  const fault = passwordFault(algorithm, value);
  if (fault !== null) throw invalid(field, MASK, fault);
}

function invalid(field: string, value: unknown, expected: string): GatewayError {
  return new GatewayError("PARAMETER_INVALID", { field, value, expected });
}
