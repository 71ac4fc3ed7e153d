import type { Config } from "../config/index.ts";
import type { Clock } from "../time/index.ts";
import { isLoopback } from "./address.ts";
import type { RefusalReason } from "./refusals.ts";

/** Capacity and refill interval of an address's bucket: one second's worth of connections. */
const BUCKET_MS = 1000;

interface Bucket {
  tokens: number;
  atMs: number;
}

/**
 * Decides which new connections may come in, for all listeners together. Connections count from the
 * moment they are accepted until their socket is closed, handshakes included, so that half-open ones
 * use up nobody else's room unseen. Loopback is exempt from the limits per address: the machine's
 * own services share one.
 */
export class Admission {
  readonly #clock: Clock;
  readonly #limits: Config["limits"];
  readonly #perAddress = new Map<string, number>();
  /** Ordered by last use, so the full (forgettable) buckets are at the front. */
  readonly #buckets = new Map<string, Bucket>();
  #total = 0;

  constructor(clock: Clock, limits: Config["limits"]) {
    this.#clock = clock;
    this.#limits = limits;
  }

  /**
   * Counts the connection in, or names the limit that it would exceed.
   *
   * @param listenerRefusal the limit of its listener that it would exceed
   */
  enter(address: string, listenerRefusal: RefusalReason | null): RefusalReason | null {
    if (this.#total >= this.#limits.max_connections) return "max_connections";
    if (listenerRefusal !== null) return listenerRefusal;
    if (!isLoopback(address)) {
      const held = this.#perAddress.get(address) ?? 0;
      if (held >= this.#limits.max_connections_per_address) return "max_connections_per_address";
      if (!this.#takeToken(address)) return "max_connects_per_address";
      this.#perAddress.set(address, held + 1);
    }
    this.#total++;
    return null;
  }

  /** Counts a connection out that `enter` let in. */
  leave(address: string): void {
    this.#total--;
    const held = this.#perAddress.get(address);
    if (held === undefined) return;
    if (held > 1) this.#perAddress.set(address, held - 1);
    else this.#perAddress.delete(address);
  }

  /** Addresses that are remembered at the moment: what bounds the memory used. */
  get remembered(): number {
    return Math.max(this.#perAddress.size, this.#buckets.size);
  }

  #takeToken(address: string): boolean {
    const nowMs = this.#clock.monotonicMs();
    this.#forgetFull(nowMs);
    const capacity = this.#limits.max_connects_per_address_per_s;
    const bucket = this.#buckets.get(address) ?? { tokens: capacity, atMs: nowMs };
    const refilled = bucket.tokens + ((nowMs - bucket.atMs) / BUCKET_MS) * capacity;
    const tokens = Math.min(capacity, refilled);
    const isAllowed = tokens >= 1;
    this.#buckets.delete(address);
    this.#buckets.set(address, { tokens: isAllowed ? tokens - 1 : tokens, atMs: nowMs });
    return isAllowed;
  }

  /** A bucket untouched for a second is full again, which is what an unknown address starts with. */
  #forgetFull(nowMs: number): void {
    for (const [address, bucket] of this.#buckets) {
      if (nowMs - bucket.atMs < BUCKET_MS) return;
      this.#buckets.delete(address);
    }
  }
}
