import { isGatewayError } from "../errors/index.ts";
import type { Log } from "../log/index.ts";
import type { Database } from "./database.ts";
import { type Table, tableRange } from "./keys.ts";

/** Less than this is not worth a compaction while entries are still being removed. */
const BUSY_BYTES = 8_388_608;

/** Less than this is never worth one. */
const QUIET_BYTES = 1_048_576;

/** Topic and payload bytes: what is there, and what was removed from disk since the last compaction. */
export interface RemovedBytes {
  readonly bytes: number;
  removedBytes: number;
}

/**
 * LevelDB frees what was removed only when it happens to rewrite that part. After a drain that
 * leaves less than it removed, the queues are rewritten at once: the files stay below twice the
 * live data, and the next reader need not pass over what is gone.
 */
export class Compaction {
  readonly #log: Log;
  readonly #database: Database;
  readonly #totals: RemovedBytes;
  readonly #tables: readonly Table[];
  #removedBefore = 0;
  #running: Promise<void> | null = null;
  count = 0;

  constructor(log: Log, database: Database, totals: RemovedBytes, tables: readonly Table[]) {
    this.#log = log;
    this.#database = database;
    this.#totals = totals;
    this.#tables = tables;
  }

  /** Starts a compaction if one is due; to be called every few seconds. */
  check(): void {
    const { removedBytes, bytes } = this.#totals;
    const isQuiet = removedBytes === this.#removedBefore;
    this.#removedBefore = removedBytes;
    if (this.#running !== null || this.#database.isBroken || removedBytes < bytes) return;
    if (removedBytes >= (isQuiet ? QUIET_BYTES : BUSY_BYTES)) {
      this.#running = this.#compact().finally(() => {
        this.#running = null;
      });
    }
  }

  /** Resolves when none is under way. */
  async idle(): Promise<void> {
    await this.#running;
  }

  async #compact(): Promise<void> {
    const { removedBytes } = this.#totals;
    try {
      for (const table of this.#tables) {
        const { gte, lt } = tableRange(table);
        await this.#database.compact(gte, lt);
      }
      this.#totals.removedBytes -= removedBytes;
      this.count++;
      this.#log.debug({ bytes: removedBytes }, "store compacted");
    } catch (err) {
      if (!isGatewayError(err)) throw err;
      this.#log.warn({ code: err.code, err: err.message }, "store compaction failed");
    }
  }
}

/** Bytes LevelDB wrote into tables, from the text of `leveldb.stats` (last column, MiB). */
export function tableBytesIn(stats: string): number {
  let mebibytes = 0;
  for (const line of stats.split("\n")) {
    const columns = line.trim().split(/\s+/);
    if (columns.length === 6 && /^\d+$/.test(columns[0] ?? "")) mebibytes += Number(columns[5]);
  }
  return mebibytes * 1_048_576;
}
