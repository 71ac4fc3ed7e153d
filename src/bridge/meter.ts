import type { Clock } from "../time/index.ts";

/** Messages per second, over the last 10 s, the last 5 minutes, and the most of any 10 s. */
export interface Rates {
  readonly now: number;
  readonly last5m: number;
  readonly max: number;
}

const SLOT_MS = 10_000;
const SLOTS = 30;

/** Counts events and knows how many there were lately; it needs no timer. */
export class Meter {
  readonly #clock: Clock;
  readonly #startedMs: number;
  readonly #slots = new Array<number>(SLOTS).fill(0);
  #slot: number;
  #total = 0;
  #max = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#startedMs = clock.monotonicMs();
    this.#slot = Math.floor(this.#startedMs / SLOT_MS);
  }

  get total(): number {
    return this.#total;
  }

  mark(): void {
    this.#advance();
    const at = this.#slot % SLOTS;
    this.#slots[at] = (this.#slots[at] ?? 0) + 1;
    this.#total += 1;
  }

  rates(): Rates {
    const nowMs = this.#advance();
    const intoMs = nowMs - this.#slot * SLOT_MS;
    const here = this.#slots[this.#slot % SLOTS] ?? 0;
    const before = this.#slots[(this.#slot + SLOTS - 1) % SLOTS] ?? 0;
    const ageMs = Math.max(1000, nowMs - this.#startedMs);
    // The slot before counts for the part of it that lies within the last 10 s.
    const recent = here + before * (1 - intoMs / SLOT_MS);
    const now = (recent * 1000) / Math.min(SLOT_MS, ageMs);
    const sum = this.#slots.reduce((all, count) => all + count, 0);
    const last5m = (sum * 1000) / Math.min(ageMs, SLOT_MS * (SLOTS - 1) + intoMs);
    this.#max = Math.max(this.#max, now);
    return { now: rounded(now), last5m: rounded(last5m), max: rounded(this.#max) };
  }

  #advance(): number {
    const nowMs = this.#clock.monotonicMs();
    const slot = Math.floor(nowMs / SLOT_MS);
    if (slot === this.#slot) return nowMs;
    this.#max = Math.max(
      this.#max,
      ((this.#slots[this.#slot % SLOTS] ?? 0) * 1000) /
        Math.min(SLOT_MS, Math.max(1000, nowMs - this.#startedMs)),
    );
    const passed = Math.min(slot - this.#slot, SLOTS);
    for (let i = 1; i <= passed; i++) this.#slots[(this.#slot + i) % SLOTS] = 0;
    // After a long pause the older slots are stale too, and `passed` covered them all.
    this.#slot = slot;
    return nowMs;
  }
}

function rounded(rate: number): number {
  return Math.round(rate * 100) / 100;
}
