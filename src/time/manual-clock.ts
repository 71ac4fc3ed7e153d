import type { Clock, Timer } from "./clock.ts";

interface Task {
  dueMs: number;
  readonly periodMs: number | null;
  readonly run: () => void;
}

/** A clock that moves only when a test moves it; tasks run inside `advance`, in due order. */
export class ManualClock implements Clock {
  #monotonicMs = 0;
  #nowMs: number;
  readonly #tasks = new Set<Task>();

  constructor(startMs = Date.UTC(2026, 0, 1)) {
    this.#nowMs = startMs;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  monotonicMs(): number {
    return this.#monotonicMs;
  }

  after(delayMs: number, task: () => void): Timer {
    return this.#schedule({ dueMs: this.#monotonicMs + delayMs, periodMs: null, run: task });
  }

  every(periodMs: number, task: () => void): Timer {
    return this.#schedule({ dueMs: this.#monotonicMs + periodMs, periodMs, run: task });
  }

  /** Lets `ms` milliseconds pass on both clocks. */
  advance(ms: number): void {
    const endMs = this.#monotonicMs + ms;
    for (let next = this.#nextDue(endMs); next !== null; next = this.#nextDue(endMs)) {
      this.#moveTo(next.dueMs);
      if (next.periodMs === null) this.#tasks.delete(next);
      else next.dueMs += next.periodMs;
      next.run();
    }
    this.#moveTo(endMs);
  }

  /** Sets the wall clock alone, as NTP or an operator does. */
  jumpTo(nowMs: number): void {
    this.#nowMs = nowMs;
  }

  #schedule(task: Task): Timer {
    this.#tasks.add(task);
    return { cancel: () => this.#tasks.delete(task) };
  }

  #nextDue(endMs: number): Task | null {
    let first: Task | null = null;
    for (const task of this.#tasks) {
      if (task.dueMs <= endMs && (first === null || task.dueMs < first.dueMs)) first = task;
    }
    return first;
  }

  #moveTo(monotonicMs: number): void {
    this.#nowMs += monotonicMs - this.#monotonicMs;
    this.#monotonicMs = monotonicMs;
  }
}
