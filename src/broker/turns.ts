import { Deque } from "./deque.ts";

/** Time the readers of one phase of the event loop have together before each gets the least. */
const TURN_MS = 5;
/** Work between two looks at the clock: packets read and receivers reached. */
const SLICE = 1000;
/** Enough for a client that says little, however busy others are. */
const LEAST = 50;

/** Goes on reading what it has. */
export interface Reader {
  goOn(): void;
}

/**
 * Shares the event loop among the connections: a few milliseconds are read at a stretch, what is
 * left then waits for its turn, so that those who flood the gateway wait for each other and nobody
 * waits for them.
 */
export class Turns {
  readonly #waiting = new Deque<Reader>();
  #startMs = 0;
  #isFresh = true;
  #isScheduled = false;
  readonly #run = (): void => this.#goOn();

  /** The work a reader may do now. */
  slice(): number {
    const nowMs = performance.now();
    if (this.#isFresh) {
      this.#isFresh = false;
      this.#startMs = nowMs;
      this.#schedule();
    }
    return nowMs - this.#startMs < TURN_MS ? SLICE : LEAST;
  }

  /** More work for a reader that has used up its slice; 0 when others are to have their turn. */
  more(): number {
    return performance.now() - this.#startMs < TURN_MS ? SLICE : 0;
  }

  /** `reader` goes on when it is its turn. */
  wait(reader: Reader): void {
    this.#waiting.push(reader);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(this.#run);
  }

  #goOn(): void {
    this.#isScheduled = false;
    this.#isFresh = false;
    this.#startMs = performance.now();
    // Who waits again meanwhile has had its turn.
    for (let count = this.#waiting.length; count > 0; count--) {
      this.#waiting.shift()?.goOn();
      if (performance.now() - this.#startMs >= TURN_MS) break;
    }
    this.#isFresh = true;
    if (this.#waiting.length > 0) this.#schedule();
  }
}
