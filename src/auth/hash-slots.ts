/** Hashes at work at once: libuv's pool has four threads, and the store needs some of them. */
const MAX_PARALLEL = 2;

/** Verifications that may wait for a thread; at 35 to 150 ms each the last waits a minute or two. */
const MAX_WAITING = 1000;

/** Keeps password hashing, whoever asks for it, from taking every thread of the process. */
export class HashSlots {
  readonly #queue: (() => void)[] = [];
  #parallel = 0;

  /** @returns null, with nothing done, when there is no room to wait for a thread */
  async run<T>(work: () => Promise<T>): Promise<T | null> {
    if (this.#parallel >= MAX_PARALLEL) {
      if (this.#queue.length >= MAX_WAITING) return null;
      await new Promise<void>((resolve) => this.#queue.push(resolve));
    } else {
      this.#parallel++;
    }
    try {
      return await work();
    } finally {
      // The place goes straight to the next in line.
      const next = this.#queue.shift();
      if (next === undefined) this.#parallel--;
      else next();
    }
  }
}
