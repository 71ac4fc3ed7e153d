import { createHmac, randomBytes } from "node:crypto";
import type { HashSlots } from "./hash-slots.ts";

/** Credentials remembered as right. */
const MAX_REMEMBERED = 16_384;

export type Verdict = "right" | "wrong" | "overloaded";

/** Somebody's password, wherever it is kept. The same object as long as nothing of it changes. */
export interface Account {
  /** Whether a verification needs a thread. */
  readonly isSlow: boolean;
  fits(given: Buffer): Promise<boolean>;
}

/** Where accounts come from; each name belongs to the first source that knows it. */
export interface AccountSource {
  find(name: string): Account | undefined;
  /** Spends the time of the dearest verification there; null when none takes time. */
  pretend(): ((given: Buffer) => Promise<void>) | null;
}

/** What a client asks to be let in by; `name` is null where it does not say what a source wants. */
export interface Credentials {
  readonly names: readonly (string | null)[];
  readonly password: Buffer;
}

/** Who the credentials were found to belong to: the place of the source, and the verdict. */
export interface Verification {
  readonly verdict: Verdict;
  /** Null when no source knows the name. */
  readonly source: number | null;
}

interface UnderWay {
  readonly account: Account | undefined;
  readonly result: Promise<Verification>;
}

/**
 * Verifies passwords against several sources in order. Every refusal costs what the dearest wrong
 * password of each source costs, so the time of an answer does not tell who exists where;
 * credentials that were right are remembered under a keyed digest while their account stays as it
 * is, so that a fleet that reconnects costs one hash per user.
 */
export class Verifier {
  readonly #sources: readonly AccountSource[];
  readonly #slots: HashSlots;
  readonly #digestKey = randomBytes(32);
  /** Ordered by last use. */
  readonly #right = new Map<string, Account>();
  readonly #underWay = new Map<string, UnderWay>();

  constructor(sources: readonly AccountSource[], slots: HashSlots) {
    this.#sources = sources;
    this.#slots = slots;
  }

  /** `overloaded`: too many verifications wait, nothing was checked. */
  verify(credentials: Credentials): Promise<Verification> {
    const { source, account } = this.#find(credentials);
    const key = this.#digest(credentials);
    if (account !== undefined && this.#right.get(key) === account) {
      this.#remember(key, account);
      return Promise.resolve({ verdict: "right", source });
    }
    const earlier = this.#underWay.get(key);
    if (earlier !== undefined && earlier.account === account) return earlier.result;
    const result = this.#decide(credentials, key, source, account);
    const underWay = { account, result };
    this.#underWay.set(key, underWay);
    const done = () => {
      if (this.#underWay.get(key) === underWay) this.#underWay.delete(key);
    };
    void result.then(done, done);
    return result;
  }

  async #decide(
    credentials: Credentials,
    key: string,
    source: number | null,
    account: Account | undefined,
  ): Promise<Verification> {
    const isRight = await this.#check(credentials.password, source, account);
    if (isRight === null) return { verdict: "overloaded", source };
    // The account may have been changed or deleted while its password was verified.
    if (!isRight || account === undefined || this.#find(credentials).account !== account) {
      return { verdict: "wrong", source };
    }
    this.#remember(key, account);
    return { verdict: "right", source };
  }

  #find({ names }: Credentials): { source: number | null; account: Account | undefined } {
    for (const [source, name] of names.entries()) {
      const account = name === null ? undefined : this.#sources[source]?.find(name);
      if (account !== undefined) return { source, account };
    }
    return { source: null, account: undefined };
  }

  /** @returns null when there is no room to wait for a thread */
  async #check(
    password: Buffer,
    source: number | null,
    account: Account | undefined,
  ): Promise<boolean | null> {
    const isSlow = account?.isSlow === true;
    const isRight = isSlow
      ? await this.#slots.run(() => account.fits(password))
      : ((await account?.fits(password)) ?? false);
    if (isRight !== false) return isRight;
    for (const [index, other] of this.#sources.entries()) {
      const pretend = isSlow && index === source ? null : other.pretend();
      if (pretend === null) continue;
      if ((await this.#slots.run(() => pretend(password))) === null) return null;
    }
    return false;
  }

  #digest({ names, password }: Credentials): string {
    const hmac = createHmac("sha256", this.#digestKey);
    // The lengths keep ("a", "bc") and ("ab", "c") apart.
    for (const name of names) hmac.update(`${Buffer.byteLength(name ?? "")}:${name ?? ""}`);
    hmac.update(password);
    return hmac.digest("base64");
  }

  #remember(key: string, account: Account): void {
    this.#right.delete(key);
    this.#right.set(key, account);
    if (this.#right.size <= MAX_REMEMBERED) return;
    for (const oldest of this.#right.keys()) {
      this.#right.delete(oldest);
      return;
    }
  }
}
