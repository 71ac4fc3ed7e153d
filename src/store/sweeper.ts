import { isGatewayError, reasonOf } from "../errors/index.ts";
import type { Log } from "../log/index.ts";
import type { Clock } from "../time/index.ts";
import type { Database } from "./database.ts";
import { seqOfKey, sessionRange, TABLE, type Table } from "./keys.ts";
import type { Pending } from "./pending.ts";
import type { QueueTotals, StoredSession } from "./session-store.ts";

/** Rows removed in one commit. */
const ROWS_PER_SLICE = 2048;

/** Pause after trouble. */
const RETRY_MS = 1000;

const TABLES: readonly Table[] = [TABLE.subscription, TABLE.inbound, TABLE.queue, TABLE.session];

export interface SweeperDeps {
  readonly log: Log;
  readonly clock: Clock;
  readonly database: Database;
  readonly pending: Pending;
  readonly totals: QueueTotals;
  recorded(): void;
  committed(isUrgent: boolean): Promise<void>;
}

/**
 * Removes the rows of sessions that have ended, one slice a commit, so that a queue of a million
 * entries holds nobody up. What a crash leaves is found by the scan at the start.
 */
export class Sweeper {
  readonly #deps: SweeperDeps;
  readonly #ended: StoredSession[] = [];
  #running: Promise<void> | null = null;
  #isStopped = false;
  #endPause: () => void = () => {};

  constructor(deps: SweeperDeps) {
    this.#deps = deps;
  }

  /** The session has ended; its end is recorded, or long committed. */
  add(session: StoredSession): void {
    this.#ended.push(session);
    if (this.#isStopped) return;
    this.#running ??= this.#run().finally(() => {
      this.#running = null;
    });
  }

  /** Sessions that still have rows. */
  get left(): number {
    return this.#ended.length;
  }

  /** Resolves when there is nothing left to sweep, or after `stop`. */
  async idle(): Promise<void> {
    await this.#running;
  }

  stop(): void {
    this.#isStopped = true;
    this.#endPause();
  }

  async #run(): Promise<void> {
    for (;;) {
      const session = this.#ended[0];
      if (session === undefined || this.#isStopped) return;
      try {
        // The end itself goes first: a crash in between must not leave a session without its queue.
        await this.#deps.committed(false);
        while (!this.#isStopped && (await this.#sweepSlice(session)));
        if (!this.#isStopped) this.#ended.shift();
      } catch (err) {
        if (!isGatewayError(err)) throw err;
        if (this.#isStopped) return;
        this.#deps.log.warn({ code: err.code, err: reasonOf(err) }, "sweeping will be tried again");
        await this.#pause();
      }
    }
  }

  async #pause(): Promise<void> {
    if (this.#isStopped) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#endPause = resolve;
    const timer = this.#deps.clock.after(RETRY_MS, resolve);
    await promise;
    timer.cancel();
  }

  /** Removes up to ROWS_PER_SLICE rows; false when there are none. */
  async #sweepSlice(session: StoredSession): Promise<boolean> {
    const { database, pending, recorded, committed } = this.#deps;
    for (const table of TABLES) {
      const range = sessionRange(table, session.number);
      const rows = await database.read(async (handle) => {
        const iterator = handle.iterator(range, { withValues: false });
        try {
          return await iterator.nextv(ROWS_PER_SLICE);
        } finally {
          await iterator.close();
        }
      });
      if (rows.length === 0) continue;
      for (const [key] of rows) {
        if (table === TABLE.queue) this.#freeBody(session, seqOfKey(key));
        pending.putRow({ key, value: null, cause: "delete" });
        recorded();
      }
      await committed(false);
      return true;
    }
    return false;
  }

  #freeBody(session: StoredSession, seq: number): void {
    const body = session.index.bodyOf(seq);
    if (body !== 0) this.#deps.pending.open.freedBodies.push(body);
    this.#deps.totals.removedBytes += Math.max(0, session.index.bytesOf(seq));
    session.index.remove(seq);
  }
}
