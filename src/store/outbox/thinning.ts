/** Topics whose last message is known; messages of others are not spared. */
const MAX_TOPICS = 65_536;

/** Messages that may move for each that is appended, and how many such moves can be saved up. */
const MOVES_PER_MESSAGE = 4;
const MOST_MOVES = 4096;

/** Which message is the last of its topic. */
export class LastOfTopics {
  readonly #seqs = new Map<string, number>();
  /** All messages there are have been noted. */
  isComplete = true;

  note(topic: string, seq: number): void {
    const known = this.#seqs.get(topic);
    if (known === undefined && this.#seqs.size >= MAX_TOPICS) return;
    if (known === undefined || known < seq) this.#seqs.set(topic, seq);
  }

  isLast(topic: string, seq: number): boolean {
    return this.#seqs.get(topic) === seq;
  }
}

/**
 * How many messages may move from the head of a full outbox to its end. Where more than four of five
 * are the last of their topic there is not enough to drop in between, and they are no longer spared:
 * else each new message would have the whole queue written anew.
 */
export class Moves {
  #left = MOST_MOVES;

  appended(): void {
    this.#left = Math.min(MOST_MOVES, this.#left + MOVES_PER_MESSAGE);
  }

  /** Whether one more may move. */
  take(): boolean {
    if (this.#left === 0) return false;
    this.#left--;
    return true;
  }
}
