import type { Clock } from "../time/index.ts";
import type { InboundMessage } from "./connection.ts";

interface Seen {
  readonly payload: Buffer;
  readonly retain: boolean;
  readonly atMs: number;
  copiesLeft: number;
}

/** A server sends the copies of one message one after the other. */
const COPY_WINDOW_MS = 1000;

const MAX_TOPICS = 256;

/**
 * Tells the copies apart that a server without subscription identifiers sends for overlapping
 * filters: the same topic, payload and retain flag within a second, at most as often as filters
 * match. Only asked where filters overlap and none covers the other, since a publisher that
 * repeats itself within that second looks the same.
 */
export class CopyFilter {
  readonly #clock: Clock;
  readonly #seen = new Map<string, Seen>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  isCopy(message: InboundMessage, senders: number): boolean {
    const { topic, payload, retain } = message;
    const nowMs = this.#clock.monotonicMs();
    const before = this.#seen.get(topic);
    if (
      before !== undefined &&
      before.copiesLeft > 0 &&
      nowMs - before.atMs < COPY_WINDOW_MS &&
      before.retain === retain &&
      before.payload.equals(payload)
    ) {
      before.copiesLeft -= 1;
      return true;
    }
    this.#seen.delete(topic);
    if (this.#seen.size >= MAX_TOPICS) {
      for (const oldest of this.#seen.keys()) {
        this.#seen.delete(oldest);
        break;
      }
    }
    this.#seen.set(topic, { payload, retain, atMs: nowMs, copiesLeft: senders - 1 });
    return false;
  }
}
