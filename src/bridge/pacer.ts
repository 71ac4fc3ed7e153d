import type { Clock, Timer } from "../time/index.ts";

/** At most this much of a second may be made up for at once. */
const BURST_S = 0.1;

/** Messages pass in small groups: a timer for each would cost more than they do. */
const GRAIN_MS = 10;

/** Lets a stated number of messages per second pass; 0 is no limit. */
export class Pacer {
  readonly #clock: Clock;
  readonly #perSecond: number;
  readonly #onRoom: () => void;
  #tokens: number;
  #atMs: number;
  #timer: Timer | null = null;

  /** @param onRoom called when something may pass again after {@link room} said 0 */
  constructor(clock: Clock, perSecond: number, onRoom: () => void) {
    this.#clock = clock;
    this.#perSecond = perSecond;
    this.#onRoom = onRoom;
    this.#tokens = this.#burst;
    this.#atMs = clock.monotonicMs();
  }

  /** How many may pass now. */
  room(): number {
    if (this.#perSecond === 0) return Number.POSITIVE_INFINITY;
    const nowMs = this.#clock.monotonicMs();
    const earned = ((nowMs - this.#atMs) / 1000) * this.#perSecond;
    this.#tokens = Math.min(this.#burst, this.#tokens + earned);
    this.#atMs = nowMs;
    const room = Math.floor(this.#tokens);
    if (room === 0) this.#wakeUp();
    return room;
  }

  passed(): void {
    if (this.#perSecond > 0) this.#tokens -= 1;
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  get #burst(): number {
    return Math.max(1, this.#perSecond * BURST_S);
  }

  #wakeUp(): void {
    if (this.#timer !== null) return;
    const missingMs = ((1 - this.#tokens) / this.#perSecond) * 1000;
    this.#timer = this.#clock.after(Math.max(GRAIN_MS, Math.ceil(missingMs)), () => {
      this.#timer = null;
      this.#onRoom();
    });
  }
}
