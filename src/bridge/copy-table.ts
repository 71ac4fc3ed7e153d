import { crc32 } from "node:zlib";
import type { Origin } from "../mqtt/index.ts";

/** What is known of one message, told from others by topic and payload. */
export interface Copies {
  /** The checksum it is told by. */
  readonly print: number;
  /** Times it has come, this one included, no two further apart than `MAX_GAP_MS`. */
  readonly count: number;
  /** Between the last ones, on average; 0 for the first. */
  readonly gapMs: number;
  /** Who brought it back: the first one that did not bring the first copy; 0 for nobody. */
  readonly returner: number;
  /** Copies that one has brought. */
  readonly returns: number;
  /** From the first copy until it first came back. */
  readonly roundTripMs: number;
}

/** Copies that come further apart belong together no more. */
const MAX_GAP_MS = 10_000;

/** How much the newest gap moves the average. */
const WEIGHT = 1 / 8;

/** A power of two: so many messages may go round at once and all be counted. */
const SLOTS = 16_384;

/** What a field of the table can hold. */
const MAX_UINT16 = 65_535;

/**
 * Counts how often the same message comes, and by whom, for any number of messages in a fixed amount
 * of memory (some 600 kB) and without an allocation. Two messages that share a slot drive each other
 * out, which costs a count; two with the same checksum are counted as one, once in 4 billion pairs.
 */
export class CopyTable {
  readonly #prints = new Uint32Array(SLOTS);
  readonly #counts = new Uint32Array(SLOTS);
  readonly #gapsMs = new Float64Array(SLOTS);
  readonly #lastMs = new Float64Array(SLOTS);
  readonly #firstBy = new Uint32Array(SLOTS);
  readonly #returners = new Uint32Array(SLOTS);
  readonly #returns = new Uint16Array(SLOTS);
  readonly #roundTripsMs = new Uint16Array(SLOTS);

  /** `sender` is a `senderOf`. */
  count(topic: string, payload: Buffer, sender: number, nowMs: number): Copies {
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
      this.#firstBy[slot] = sender;
      this.#returners[slot] = 0;
      this.#returns[slot] = 0;
      return { print, count: 1, gapMs: 0, returner: 0, returns: 0, roundTripMs: 0 };
    }
    const meanMs = this.#gapsMs[slot] ?? 0;
    const gapMs = before === 1 ? lastGapMs : meanMs + (lastGapMs - meanMs) * WEIGHT;
    this.#counts[slot] = before + 1;
    this.#gapsMs[slot] = gapMs;
    this.#note(slot, sender, lastGapMs);
    return {
      print,
      count: before + 1,
      gapMs,
      returner: this.#returners[slot] ?? 0,
      returns: this.#returns[slot] ?? 0,
      roundTripMs: this.#roundTripsMs[slot] ?? 0,
    };
  }

  #note(slot: number, sender: number, gapMs: number): void {
    if (this.#returners[slot] === 0 && sender !== this.#firstBy[slot]) {
      this.#returners[slot] = sender;
      this.#roundTripsMs[slot] = Math.min(gapMs, MAX_UINT16);
    }
    if (this.#returners[slot] !== sender) return;
    this.#returns[slot] = Math.min((this.#returns[slot] ?? 0) + 1, MAX_UINT16);
  }
}

/** Who publishes what no client and no bridge does: the API, serial ports, the gateway itself. */
export const NOBODY = 1;

/** Tells one client, or bridge, from others by a number, never 0. */
export function senderOf(origin: Origin): number {
  if (origin.kind === "client") return Math.max(crc32(origin.clientId, 1), 2);
  if (origin.kind === "bridge") return Math.max(crc32(origin.bridge, 2), 2);
  return NOBODY;
}
