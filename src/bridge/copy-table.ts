import { crc32 } from "node:zlib";

/** What is known of one message, told from others by topic and payload. */
export interface Copies {
  /** Times it has come, this one included, no two further apart than `MAX_GAP_MS`. */
  readonly count: number;
  /** Between the last ones, on average; 0 for the first. */
  readonly gapMs: number;
}

/** Copies that come further apart belong together no more. */
const MAX_GAP_MS = 10_000;

/** How much the newest gap moves the average. */
const WEIGHT = 1 / 8;

/** A power of two: so many messages may go round at once and all be counted. */
const SLOTS = 16_384;

/**
 * Counts how often the same message comes, for any number of messages in a fixed amount of memory
 * (some 300 kB) and without an allocation. Two messages that share a slot drive each other out, which
 * costs a count; two with the same checksum are counted as one, once in 4 billion pairs.
 */
export class CopyTable {
  readonly #prints = new Uint32Array(SLOTS);
  readonly #counts = new Uint32Array(SLOTS);
  readonly #gapsMs = new Float64Array(SLOTS);
  readonly #lastMs = new Float64Array(SLOTS);

  count(topic: string, payload: Buffer, nowMs: number): Copies {
    const print = crc32(payload, crc32(topic));
    const slot = print & (SLOTS - 1);
    const before = this.#counts[slot] ?? 0;
    const lastGapMs = nowMs - (this.#lastMs[slot] ?? 0);
    const isKnown = before > 0 && this.#prints[slot] === print && lastGapMs <= MAX_GAP_MS;
    this.#lastMs[slot] = nowMs;
    if (!isKnown) {
      this.#prints[slot] = print;
      this.#counts[slot] = 1;
      this.#gapsMs[slot] = 0;
      return { count: 1, gapMs: 0 };
    }
    const meanMs = this.#gapsMs[slot] ?? 0;
    const gapMs = before === 1 ? lastGapMs : meanMs + (lastGapMs - meanMs) * WEIGHT;
    this.#counts[slot] = before + 1;
    this.#gapsMs[slot] = gapMs;
    return { count: before + 1, gapMs };
  }
}
