import type { Clock } from "../time/index.ts";

/** Longest time the gateway is believed to have been off. */
const MAX_OFF_MS = 31 * 24 * 3600 * 1000;

/** A wall clock that has drifted this far from the monotonic one has been set. */
const JUMP_MS = 2000;

/** Both clocks at one moment, as it is kept in the store. */
export interface TimeMark {
  /** Gateway time, ms. */
  readonly gatewayMs: number;
  /** Wall clock at that moment, ms. */
  readonly wallMs: number;
}

/**
 * Time that deadlines are kept in: it runs with the monotonic clock and survives restarts by the
 * marks that are stored. While the gateway is off it advances by the wall clock's difference to the
 * newest mark, if that is plausible: not negative, not over 31 days. A board without a clock chip
 * may start in 1970; then it simply goes on where it stopped, and nothing expires wrongly.
 */
export class GatewayTime {
  readonly #clock: Clock;
  readonly #baseMs: number;
  readonly #startedMs: number;
  #markedWallOffsetMs: number;

  constructor(clock: Clock, mark: TimeMark | null) {
    this.#clock = clock;
    this.#startedMs = clock.monotonicMs();
    const offMs = mark === null ? 0 : clock.nowMs() - mark.wallMs;
    const isPlausible = offMs >= 0 && offMs <= MAX_OFF_MS;
    this.#baseMs = (mark?.gatewayMs ?? 0) + (isPlausible ? Math.floor(offMs) : 0);
    this.#markedWallOffsetMs = this.#wallOffsetMs();
  }

  nowMs(): number {
    return this.#baseMs + Math.floor(this.#clock.monotonicMs() - this.#startedMs);
  }

  /** The mark to store now. */
  mark(): TimeMark {
    this.#markedWallOffsetMs = this.#wallOffsetMs();
    return { gatewayMs: this.nowMs(), wallMs: Math.max(0, Math.floor(this.#clock.nowMs())) };
  }

  /** Whether the wall clock was set since the newest mark: then a new one is due. */
  hasJumped(): boolean {
    return Math.abs(this.#wallOffsetMs() - this.#markedWallOffsetMs) > JUMP_MS;
  }

  #wallOffsetMs(): number {
    return this.#clock.nowMs() - this.#clock.monotonicMs();
  }
}
