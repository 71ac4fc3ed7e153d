import type { OutboxStatus } from "../mqtt/index.ts";
import type { Clock, Timer } from "../time/index.ts";
import type { OutboxBounds } from "./outbox-config.ts";

interface Sample {
  readonly atMs: number;
  readonly messages: number;
  readonly bytes: number;
}

const PERIOD_MS = 10_000;

/** Five minutes of samples. */
const SAMPLES = 30;

/** A shorter look says little. */
const MIN_SPAN_MS = 10_000;

/** Watches how fast an outbox fills, and so when it will be full. */
export class Forecast {
  readonly #clock: Clock;
  readonly #look: () => OutboxStatus;
  readonly #onSample: () => void;
  #samples: Sample[] = [];
  #timer: Timer | null = null;

  constructor(clock: Clock, look: () => OutboxStatus, onSample: () => void) {
    this.#clock = clock;
    this.#look = look;
    this.#onSample = onSample;
  }

  start(): void {
    if (this.#timer !== null) return;
    this.#sample();
    this.#timer = this.#clock.every(PERIOD_MS, () => {
      this.#sample();
      this.#onSample();
    });
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  /** Seconds until the first bound is met at the rate of the last 5 minutes; null when never. */
  fullInS(bounds: OutboxBounds): number | null {
    const [first] = this.#samples;
    if (first === undefined) return null;
    const spanMs = this.#clock.monotonicMs() - first.atMs;
    if (spanMs < MIN_SPAN_MS) return null;
    const { messages, bytes } = this.#look();
    const inS = (was: number, is: number, max: number) =>
      is > was ? ((max - is) * spanMs) / 1000 / (is - was) : Number.POSITIVE_INFINITY;
    const soonest = Math.min(
      inS(first.messages, messages, bounds.maxMessages),
      inS(first.bytes, bytes, bounds.maxBytes),
    );
    return Number.isFinite(soonest) ? Math.max(0, Math.round(soonest)) : null;
  }

  #sample(): void {
    const { messages, bytes } = this.#look();
    this.#samples.push({ atMs: this.#clock.monotonicMs(), messages, bytes });
    if (this.#samples.length > SAMPLES) this.#samples.shift();
  }
}
