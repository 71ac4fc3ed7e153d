import type { EngineStore } from "../mqtt/index.ts";
import { Deque } from "./deque.ts";

/** Waits for a group of the store. */
export interface CommitWaiter {
  /** The group it waits for; set by the committer. */
  group: number;
  onCommit(failed: boolean): void;
}

/** Tells everybody who waits for a commit, in order, with one registration at the store. */
export class Committer {
  readonly #store: EngineStore;
  readonly #waiting = new Deque<CommitWaiter>();
  #stop: (() => void) | null = null;

  constructor(store: EngineStore) {
    this.#store = store;
  }

  /** Listens to the store, which must have been started. */
  start(): void {
    this.#stop ??= this.#store.onSettled((group, error) => this.#settle(group, error !== null));
  }

  stop(): void {
    this.#stop?.();
    this.#stop = null;
  }

  /** Has everything recorded so far committed and tells `waiter`. */
  wait(waiter: CommitWaiter, urgent: boolean): void {
    waiter.group = this.#store.schedule(urgent);
    if (waiter.group > this.#store.settledGroup) this.#waiting.push(waiter);
    // Nothing was open: all of it is durable already, and nobody will say so.
    else queueMicrotask(() => waiter.onCommit(false));
  }

  /** Calls `then` after the commit of everything recorded so far. */
  after(urgent: boolean, then: (failed: boolean) => void): void {
    this.wait({ group: 0, onCommit: then }, urgent);
  }

  #settle(group: number, failed: boolean): void {
    for (let next = this.#waiting.peek(); next !== undefined; next = this.#waiting.peek()) {
      if (next.group > group) return;
      this.#waiting.shift();
      next.onCommit(failed);
    }
  }
}
