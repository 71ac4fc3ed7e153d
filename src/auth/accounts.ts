import type { Config } from "../config/index.ts";
import {
  fitsClearText,
  fitsHash,
  isUsableClearText,
  type PasswordHash,
  parsePasswordHash,
  pretendToVerify,
  type ScryptCost,
} from "./password.ts";
import type { Account } from "./verifier.ts";

/** The configured users. */
export class Accounts {
  readonly #accounts = new Map<string, Account>();
  /** The dearest hash there is, null when all passwords are clear. */
  readonly #cost: ScryptCost | null;
  /** User names given more than once; the first entry counts. */
  readonly repeated: readonly string[];
  /** Users whose password is empty or a damaged hash, which nothing fits. */
  readonly unusable: readonly string[];
  /** How many passwords stand in the configuration as clear text. */
  readonly clearTextCount: number;

  constructor(users: Config["auth"]["users"]) {
    const repeated: string[] = [];
    const unusable: string[] = [];
    const hashes: PasswordHash[] = [];
    for (const { username, password } of users) {
      if (this.#accounts.has(username)) {
        repeated.push(username);
        continue;
      }
      const hash = parsePasswordHash(password);
      if (hash === null) {
        if (!isUsableClearText(password)) unusable.push(username);
        this.#accounts.set(username, {
          isSlow: false,
          fits: async (given) => fitsClearText(given, password),
        });
      } else {
        hashes.push(hash);
        this.#accounts.set(username, { isSlow: true, fits: (given) => fitsHash(given, hash) });
      }
    }
    this.repeated = repeated;
    this.unusable = unusable;
    this.clearTextCount = this.#accounts.size - hashes.length;
    this.#cost = hashes.reduce<PasswordHash | null>(
      (dearest, hash) => (workOf(hash) > workOf(dearest) ? hash : dearest),
      null,
    );
  }

  get size(): number {
    return this.#accounts.size;
  }

  find(username: string): Account | undefined {
    return this.#accounts.get(username);
  }

  /** Spends what a wrong password costs at most; null when that is nothing worth speaking of. */
  pretend(): ((given: Buffer) => Promise<void>) | null {
    const cost = this.#cost;
    return cost === null ? null : (given) => pretendToVerify(given, cost);
  }
}

function workOf(cost: ScryptCost | null): number {
  return cost === null ? 0 : cost.N * cost.r * cost.p;
}
