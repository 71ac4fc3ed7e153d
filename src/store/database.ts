import { GatewayError } from "../errors/index.ts";
import type { KeyRange } from "./keys.ts";
import {
  isDiskFull,
  type LevelBatch,
  type LevelDriver,
  type LevelHandle,
  levelReason,
  type OpeningNeeds,
  openingNeeds,
  reclaim,
  rowsOf,
} from "./leveldb/index.ts";

/**
 * The open LevelDB folder. After a write that failed LevelDB is not written to again before it has
 * been closed and opened: its log may end in half a record then, and LevelDB would go on behind it
 * with records its own recovery does not find. Reads work on in between.
 */
export class Database {
  readonly #driver: LevelDriver;
  readonly #path: string;
  #handle: LevelHandle;
  #isBroken = false;
  #isOpen = true;
  #reopening: Promise<void> | null = null;

  /** `handle` is open. */
  constructor(driver: LevelDriver, path: string, handle: LevelHandle) {
    this.#driver = driver;
    this.#path = path;
    this.#handle = handle;
  }

  /** It cannot be written to before `reopen`. */
  get isBroken(): boolean {
    return this.#isBroken;
  }

  /** It is to be opened again before the next write. */
  distrust(): void {
    this.#isBroken = true;
  }

  batch(): LevelBatch {
    return this.#handle.batch();
  }

  /** @throws GatewayError STORE_FULL or STORE_WRITE_FAILED (rejects). */
  async write(batch: LevelBatch, isSynced: boolean): Promise<void> {
    try {
      await batch.write({ sync: isSynced });
    } catch (err) {
      this.#isBroken = true;
      throw writeError(err);
    }
  }

  /** Makes a broken database writable again. @throws GatewayError STORE_FULL or STORE_WRITE_FAILED (rejects). */
  async reopen(): Promise<void> {
    this.#reopening ??= this.#closeAndOpen().finally(() => {
      this.#reopening = null;
    });
    await this.#reopening;
  }

  /**
   * Runs a read; once more when the database was reopened meanwhile.
   * @throws GatewayError STORE_READ_FAILED (rejects).
   */
  async read<T>(task: (handle: LevelHandle) => Promise<T>): Promise<T> {
    await this.#reopening?.catch(() => {});
    const handle = this.#handle;
    try {
      return await task(handle);
    } catch (err) {
      if (handle === this.#handle && this.#reopening === null) throw readError(err);
    }
    await this.#reopening?.catch(() => {});
    try {
      return await task(this.#handle);
    } catch (err) {
      throw readError(err);
    }
  }

  /**
   * The rows of a range, in batches.
   * @throws GatewayError STORE_READ_FAILED (rejects).
   */
  async *rows(range: KeyRange, rowsPerRead?: number): AsyncGenerator<[Buffer, Buffer][]> {
    await this.#reopening?.catch(() => {});
    try {
      yield* rowsOf(this.#handle, range, rowsPerRead);
    } catch (err) {
      throw readError(err);
    }
  }

  /** Rewrites a range of tables without what was removed from them. */
  async compact(first: Buffer, end: Buffer): Promise<void> {
    await this.read((handle) => handle.compact({ gte: first, lt: end }));
  }

  /** LevelDB's own figures, empty while it is not open. */
  stats(): string {
    return this.#isOpen && this.#reopening === null ? this.#handle.stats() : "";
  }

  async close(): Promise<void> {
    await this.#reopening?.catch(() => {});
    this.#isOpen = false;
    await this.#handle.close();
  }

  /** See OpeningNeeds. @throws GatewayError STORE_WRITE_FAILED (rejects). */
  async openingNeeds(): Promise<OpeningNeeds> {
    try {
      return await openingNeeds(this.#path);
    } catch (err) {
      throw writeError(err);
    }
  }

  async #closeAndOpen(): Promise<void> {
    try {
      this.#isOpen = false;
      await this.#handle.close();
      await reclaim(this.#path);
      this.#handle = this.#driver.create(this.#path);
      await this.#handle.open();
      this.#isOpen = true;
      this.#isBroken = false;
    } catch (err) {
      throw writeError(err);
    }
  }
}

function writeError(err: unknown): GatewayError {
  const reason = levelReason(err);
  return isDiskFull(reason)
    ? new GatewayError("STORE_FULL", { reason }, { cause: err })
    : new GatewayError("STORE_WRITE_FAILED", { reason }, { cause: err });
}

function readError(err: unknown): GatewayError {
  return new GatewayError("STORE_READ_FAILED", { reason: levelReason(err) }, { cause: err });
}
