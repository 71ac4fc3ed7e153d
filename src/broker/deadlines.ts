import type { Clock, Timer } from "../time/index.ts";

/** Looked at this often. */
const PERIOD_MS = 250;
/** Deadlines handled at a time, so that many at once do not hold the loop. */
const BATCH = 500;

/** A task that is due at a moment of gateway time. */
export interface Deadline {
  readonly atMs: number;
  /** Forgets the task; harmless when it has run. */
  cancel(): void;
}

interface Entry extends Deadline {
  task: (() => void) | null;
}

/** Deadlines in gateway time, in one heap behind one timer: expiry of sessions, messages and will delays. */
export class Deadlines {
  readonly #nowMs: () => number;
  readonly #heap: Entry[] = [];
  #timer: Timer | null = null;
  #cancelled = 0;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  start(clock: Clock): void {
    this.#timer ??= clock.every(PERIOD_MS, () => void this.run());
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  at(atMs: number, task: () => void): Deadline {
    const entry: Entry = {
      atMs,
      task,
      cancel: () => {
        if (entry.task === null) return;
        entry.task = null;
        this.#cancelled++;
        if (this.#cancelled > 1000 && this.#cancelled * 2 > this.#heap.length) this.#sweep();
      },
    };
    this.#push(entry);
    return entry;
  }

  /** Runs what is due now; true when that was too much for once and more is due. */
  run(): boolean {
    const nowMs = this.#nowMs();
    for (let i = 0; i < BATCH; i++) {
      const first = this.#heap[0];
      if (first === undefined || (first.task !== null && first.atMs > nowMs)) return false;
      this.#pop();
      const { task } = first;
      first.task = null;
      if (task === null) this.#cancelled--;
      else task();
    }
    return true;
  }

  #sweep(): void {
    const live = this.#heap.filter((entry) => entry.task !== null);
    live.sort((a, b) => a.atMs - b.atMs);
    this.#heap.length = 0;
    for (const entry of live) this.#heap.push(entry);
    this.#cancelled = 0;
  }

  #push(entry: Entry): void {
    const heap = this.#heap;
    let at = heap.push(entry) - 1;
    while (at > 0) {
      const up = (at - 1) >> 1;
      const parent = heap[up];
      if (parent === undefined || parent.atMs <= entry.atMs) break;
      heap[at] = parent;
      at = up;
    }
    heap[at] = entry;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      let down = at * 2 + 1;
      const right = heap[down + 1];
      if (right !== undefined && right.atMs < (heap[down]?.atMs ?? 0)) down++;
      const child = heap[down];
      if (child === undefined || child.atMs >= last.atMs) break;
      heap[at] = child;
      at = down;
    }
    heap[at] = last;
  }
}
