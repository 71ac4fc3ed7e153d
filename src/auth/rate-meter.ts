import type { Clock, Timer } from "../time/index.ts";

/** How fast something happens, per second. */
export interface Rates {
  /** In the last few seconds. */
  readonly now: number;
  readonly last5m: number;
  /** The highest `now` so far. */
  readonly max: number;
}

const INTERVAL_MS = 5000;
const SAMPLES = 60;

/** Takes the rates of totals that only grow. */
export class RateMeter {
  readonly #clock: Clock;
  readonly #total: () => number;
  readonly #samples: { readonly atMs: number; readonly total: number }[] = [];
  #timer: Timer | null = null;
  #now = 0;
  #max = 0;

  constructor(clock: Clock, total: () => number) {
    this.#clock = clock;
    this.#total = total;
  }

  start(): void {
    this.#samples.push({ atMs: this.#clock.monotonicMs(), total: this.#total() });
    this.#timer = this.#clock.after(INTERVAL_MS, () => this.#sample());
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  rates(): Rates {
    const oldest = this.#samples[0];
    const newest = this.#samples.at(-1);
    return { now: this.#now, last5m: rateBetween(oldest, newest), max: this.#max };
  }

  #sample(): void {
    const before = this.#samples.at(-1);
    const sample = { atMs: this.#clock.monotonicMs(), total: this.#total() };
    this.#samples.push(sample);
    if (this.#samples.length > SAMPLES + 1) this.#samples.shift();
    this.#now = rateBetween(before, sample);
    this.#max = Math.max(this.#max, this.#now);
    this.#timer = this.#clock.after(INTERVAL_MS, () => this.#sample());
  }
}

interface Sample {
  readonly atMs: number;
  readonly total: number;
}

function rateBetween(from: Sample | undefined, to: Sample | undefined): number {
  if (from === undefined || to === undefined || to.atMs <= from.atMs) return 0;
  return ((to.total - from.total) * 1000) / (to.atMs - from.atMs);
}
