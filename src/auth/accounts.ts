import { createHmac, randomBytes } from "node:crypto";
import type { Config } from "../config/index.ts";
import type { HashSlots } from "./hash-slots.ts";
import {
  fitsClearText,
  fitsHash,
  isUsableClearText,
  type PasswordHash,
  parsePasswordHash,
  pretendToVerify,
  type ScryptCost,
} from "./password.ts";

/** Credentials remembered as right, 10,000 users being the most that can be configured. */
const MAX_REMEMBERED = 16_384;

type Stored =
  | { readonly kind: "clear"; readonly text: string }
  | { readonly kind: "hash"; readonly hash: PasswordHash };

export type Verdict = "right" | "wrong" | "overloaded";

/**
 * The configured users. A verification of an unknown user costs what a wrong password costs, so the
 * time of an answer does not tell who exists; credentials that were right are remembered under a
 * keyed digest, so that a fleet that reconnects costs one hash per user.
 */
export class Accounts {
  readonly #stored = new Map<string, Stored>();
  /** What every refusal costs: the dearest hash there is, or null when all passwords are clear. */
  readonly #cost: ScryptCost | null;
  readonly #digestKey = randomBytes(32);
  /** Ordered by last use. */
  readonly #right = new Set<string>();
  readonly #underWay = new Map<string, Promise<Verdict>>();
  readonly #slots: HashSlots;
  /** User names given more than once; the first entry counts. */
  readonly repeated: readonly string[];
  /** Users whose password is empty or a damaged hash, which nothing fits. */
  readonly unusable: readonly string[];
  /** How many passwords stand in the configuration as clear text. */
  readonly clearTextCount: number;

  constructor(users: Config["auth"]["users"], slots: HashSlots) {
    this.#slots = slots;
    const repeated: string[] = [];
    for (const { username, password } of users) {
      if (this.#stored.has(username)) {
        repeated.push(username);
        continue;
      }
      const hash = parsePasswordHash(password);
      this.#stored.set(
        username,
        hash === null ? { kind: "clear", text: password } : { kind: "hash", hash },
      );
    }
    this.repeated = repeated;
    this.unusable = [...this.#stored]
      .filter(([, stored]) => stored.kind === "clear" && !isUsableClearText(stored.text))
      .map(([username]) => username);
    const all = [...this.#stored.values()];
    this.clearTextCount = all.filter((stored) => stored.kind === "clear").length;
    this.#cost = all.reduce<ScryptCost | null>(
      (dearest, stored) =>
        stored.kind === "hash" && workOf(stored.hash) > workOf(dearest) ? stored.hash : dearest,
      null,
    );
  }

  get size(): number {
    return this.#stored.size;
  }

  /** `overloaded`: too many verifications wait, nothing was checked. */
  verify(username: string, password: Buffer): Promise<Verdict> {
    const key = this.#digest(username, password);
    if (this.#right.delete(key)) {
      this.#right.add(key);
      return Promise.resolve("right");
    }
    const earlier = this.#underWay.get(key);
    if (earlier !== undefined) return earlier;
    const verdict = this.#check(username, password).then((isRight): Verdict => {
      if (isRight === true) this.#remember(key);
      return isRight === null ? "overloaded" : isRight ? "right" : "wrong";
    });
    this.#underWay.set(key, verdict);
    const done = () => void this.#underWay.delete(key);
    void verdict.then(done, done);
    return verdict;
  }

  /** @returns null when there is no room to wait for a thread */
  async #check(username: string, password: Buffer): Promise<boolean | null> {
    const stored = this.#stored.get(username);
    if (stored?.kind === "hash") return this.#slots.run(() => fitsHash(password, stored.hash));
    const isRight = fitsClearText(password, stored?.text ?? "");
    const cost = this.#cost;
    if (isRight || cost === null) return isRight;
    return this.#slots.run(async () => {
      await pretendToVerify(password, cost);
      return false;
    });
  }

  #digest(username: string, password: Buffer): string {
    const hmac = createHmac("sha256", this.#digestKey);
    // The length keeps ("a", "bc") and ("ab", "c") apart.
    hmac.update(`${Buffer.byteLength(username)}:${username}`).update(password);
    return hmac.digest("base64");
  }

  #remember(key: string): void {
    this.#right.add(key);
    if (this.#right.size <= MAX_REMEMBERED) return;
    for (const oldest of this.#right) {
      this.#right.delete(oldest);
      return;
    }
  }
}

function workOf(cost: ScryptCost | null): number {
  return cost === null ? 0 : cost.N * cost.r * cost.p;
}
