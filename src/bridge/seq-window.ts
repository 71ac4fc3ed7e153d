/** Numbers below the highest that are remembered one by one. */
const SPAN = 4096;

/**
 * Which numbers of one sender have come. A sender counts up, and goes back only to send again what
 * was not acknowledged, so the highest and the few that are missing below it say everything. A number
 * from below the span is a sender that has begun anew: it is taken, and the window with it.
 */
export class SeqWindow {
  #highest: number;
  /** Nothing is known of numbers below. */
  #floor: number;
  readonly #missing: Set<number>;
  /** Taken, and not safe yet. */
  readonly #pending = new Map<number, PromiseWithResolvers<void>>();

  constructor(highest = -1, floor = 0, missing: Iterable<number> = []) {
    this.#highest = highest;
    this.#floor = floor;
    this.#missing = new Set(missing);
  }

  /** Null when the number is new; else whether the one before is safe, or when it will be. */
  take(seq: number): "safe" | Promise<void> | null {
    const known = this.#pending.get(seq);
    if (known !== undefined) return known.promise;
    if (this.#highest < 0 || seq < this.#floor) {
      this.#beginAt(seq);
    } else if (seq > this.#highest) {
      const from = Math.max(this.#highest + 1, seq - SPAN);
      for (let n = from; n < seq; n++) this.#missing.add(n);
      this.#highest = seq;
      this.#prune();
    } else if (!this.#missing.delete(seq)) {
      return "safe";
    }
    const pending = Promise.withResolvers<void>();
    // Mostly nobody asks.
    pending.promise.catch(() => {});
    this.#pending.set(seq, pending);
    return null;
  }

  settle(seq: number, isSafe: boolean): void {
    const pending = this.#pending.get(seq);
    if (pending === undefined) return;
    this.#pending.delete(seq);
    if (isSafe) {
      pending.resolve();
      return;
    }
    if (seq >= this.#floor && seq <= this.#highest) this.#missing.add(seq);
    pending.reject(new Error("the message before it was refused"));
  }

  /** What is safe, as text: highest, floor, and the runs that are missing. */
  text(): string {
    const open = [...this.#missing, ...this.#pending.keys()].toSorted((a, b) => a - b);
    const runs: [number, number][] = [];
    for (const n of open) {
      const last = runs.at(-1);
      if (last !== undefined && last[1] === n - 1) last[1] = n;
      else runs.push([n, n]);
    }
    return JSON.stringify([this.#highest, this.#floor, runs]);
  }

  /** Reads {@link text}; null when it is damaged. */
  static read(text: string): SeqWindow | null {
    try {
      const [highest, floor, runs]: [number, number, [number, number][]] = JSON.parse(text);
      if (!Number.isSafeInteger(highest) || !Number.isSafeInteger(floor)) return null;
      const missing = runs.flatMap(([from, to]) =>
        Array.from({ length: Math.min(SPAN, to - from + 1) }, (_, index) => from + index),
      );
      return new SeqWindow(highest, floor, missing);
    } catch {
      return null;
    }
  }

  #beginAt(seq: number): void {
    this.#highest = seq;
    this.#floor = seq;
    this.#missing.clear();
  }

  #prune(): void {
    const floor = this.#highest - SPAN;
    if (floor <= this.#floor) return;
    this.#floor = floor;
    if (this.#missing.size === 0) return;
    for (const n of this.#missing) if (n < floor) this.#missing.delete(n);
  }
}
