/** What comes within this time of the first one has been let go together by another gateway. */
const BURST_MS = 50;

/** Copies that come so far apart make a publisher wait too long for another chance. */
const MAX_GAP_MS = 300;

const MAX_BURSTS = 3;

/**
 * Counts what comes while everything is held. Mostly its publisher has a pace of its own; but another
 * gateway that looks for the same loop holds messages too, and lets them go, some at a time.
 */
export class Strays {
  readonly #maxBursts: number;
  #bursts = 0;
  #beganMs = Number.NEGATIVE_INFINITY;

  /** `gapMs` is the time between messages while nothing is held. */
  constructor(gapMs: number) {
    this.#maxBursts = gapMs > MAX_GAP_MS ? 0 : MAX_BURSTS;
  }

  /** Whether it is one too many. */
  add(nowMs: number): boolean {
    if (nowMs - this.#beganMs > BURST_MS) {
      this.#beganMs = nowMs;
      this.#bursts += 1;
    }
    return this.#bursts > this.#maxBursts;
  }

  forget(): void {
    this.#bursts = 0;
  }
}
