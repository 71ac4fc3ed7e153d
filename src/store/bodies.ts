import type { StoredMessage } from "../mqtt/index.ts";

/** Payloads of this size stand in a body of their own, so that the scan at the start is short. */
const LARGE_PAYLOAD_BYTES = 4096;

/** Messages smaller than this are cheaper copied than shared. */
const MIN_SHARED_BYTES = 64;

/** What the cache of bodies that were read holds at most. */
const CACHE_MESSAGES = 512;
const CACHE_BYTES = 4_194_304;

/**
 * Messages that do not stand in a queue entry: those that several sessions wait for, and large
 * ones. How many entries use a body is known from the entries and not stored.
 */
export class Bodies {
  readonly #uses = new Map<number, number>();
  readonly #cache = new Map<number, StoredMessage>();
  #cachedBytes = 0;
  #next = 1;

  get count(): number {
    return this.#uses.size;
  }

  /** Numbers up to `highest` are taken. */
  startAfter(highest: number): void {
    this.#next = Math.max(this.#next, highest + 1);
  }

  newNumber(): number {
    return this.#next++;
  }

  /** Whether a message goes into a body; `isShared` = several entries of the group hold it. */
  wants(message: StoredMessage, isShared: boolean): boolean {
    const bytes = message.payload.length;
    return bytes >= LARGE_PAYLOAD_BYTES || (isShared && bytes >= MIN_SHARED_BYTES);
  }

  uses(body: number): number {
    return this.#uses.get(body) ?? 0;
  }

  /** `change` more entries use the body. */
  use(body: number, change: number): void {
    const uses = this.uses(body) + change;
    if (uses > 0) {
      this.#uses.set(body, uses);
      return;
    }
    this.#uses.delete(body);
    this.#forget(body);
  }

  cached(body: number): StoredMessage | undefined {
    return this.#cache.get(body);
  }

  /** Keeps a body that was read for the other entries that use it. */
  keep(body: number, message: StoredMessage): void {
    if (this.uses(body) < 2 || this.#cache.has(body)) return;
    this.#cache.set(body, message);
    this.#cachedBytes += message.payload.length;
    for (const oldest of this.#cache.keys()) {
      if (this.#cache.size <= CACHE_MESSAGES && this.#cachedBytes <= CACHE_BYTES) break;
      this.#forget(oldest);
    }
  }

  #forget(body: number): void {
    const message = this.#cache.get(body);
    if (message === undefined) return;
    this.#cache.delete(body);
    this.#cachedBytes -= message.payload.length;
  }
}
