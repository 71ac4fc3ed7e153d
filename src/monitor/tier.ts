import { COLUMNS, GAUGES, type Sample, sampleOf } from "./sample.ts";

const NONE = -1;

/** The newest `capacity` steps of equal length, in a fixed block of memory. */
export class Tier {
  readonly stepMs: number;
  readonly #stamps: Float64Array;
  readonly #values: Float64Array;

  constructor(stepMs: number, capacity: number) {
    this.stepMs = stepMs;
    this.#stamps = new Float64Array(capacity).fill(NONE);
    this.#values = new Float64Array(capacity * COLUMNS.length);
  }

  /** Adds a sample to the step it falls into: deltas add up, gauges are replaced. */
  add(sample: Sample): void {
    const stamp = this.stampOf(sample.atMs);
    const slot = this.#slotOf(stamp);
    const at = slot * COLUMNS.length;
    if (this.#stamps[slot] !== stamp) {
      this.#stamps[slot] = stamp;
      this.#values.fill(0, at, at + COLUMNS.length);
    }
    for (const [i, column] of COLUMNS.entries()) {
      const value = sample[column];
      this.#values[at + i] = i < GAUGES.length ? value : (this.#values[at + i] ?? 0) + value;
    }
  }

  /** What the step that starts at `stamp` holds; null when nothing was sampled in it. */
  get(stamp: number): Sample | null {
    const slot = this.#slotOf(stamp);
    if (this.#stamps[slot] !== stamp) return null;
    const at = slot * COLUMNS.length;
    return sampleOf(stamp, this.#values.subarray(at, at + COLUMNS.length));
  }

  /** Start of the step that a moment lies in. */
  stampOf(ms: number): number {
    return Math.floor(ms / this.stepMs) * this.stepMs;
  }

  /** Start of the oldest step between two moments that holds something; null when none does. */
  oldestBetween(fromMs: number, toMs: number): number | null {
    let oldest: number | null = null;
    for (const stamp of this.#stamps) {
      if (stamp >= fromMs && stamp <= toMs && (oldest === null || stamp < oldest)) oldest = stamp;
    }
    return oldest;
  }

  /** Forgets every step that starts at `ms` or later. */
  dropFrom(ms: number): void {
    for (let slot = 0; slot < this.#stamps.length; slot++) {
      if ((this.#stamps[slot] ?? NONE) >= ms) this.#stamps[slot] = NONE;
    }
  }

  #slotOf(stamp: number): number {
    const { length } = this.#stamps;
    const step = Math.round(stamp / this.stepMs) % length;
    return step < 0 ? step + length : step;
  }
}
