import { type LevelBatch, type LevelDriver, type LevelHandle, levelDriver } from "./level.ts";

/** What goes wrong with a write. */
export type WriteFault =
  /** Nothing reaches the disk. */
  | { readonly kind: "refused"; readonly reason: string }
  /** All of it does, and the fsync is reported as failed. */
  | { readonly kind: "written"; readonly reason: string };

export const NO_SPACE = "IO error: 000003.log: No space left on device";
export const IO_ERROR = "IO error: 000003.log: Input/output error";

/**
 * LevelDB with faults on demand. Like the real one it takes no more writes after one that failed,
 * until it is opened again.
 */
export class FaultyLevel implements LevelDriver {
  /** Asked before every write: the fault it meets, or null. `write` counts from 1. */
  onWrite: (write: number) => WriteFault | null = () => null;
  /** Asked before every open but the first. */
  onOpen: () => string | null = () => null;
  onRead: () => string | null = () => null;
  /** Writes wait for it. */
  gate: Promise<void> = Promise.resolve();
  writes = 0;
  opens = 0;
  /** Writes to a handle that had failed before. */
  writesAfterFailure = 0;

  create(path: string): LevelHandle {
    // LevelDB's binding opens a handle by itself once it is made.
    let inner = NOT_OPEN;
    const state = { isBroken: false };
    return {
      open: async () => {
        const reason = this.opens++ === 0 ? null : this.onOpen();
        if (reason !== null) throw ioError(reason);
        inner = levelDriver.create(path);
        await inner.open();
      },
      close: () => inner.close(),
      batch: () => this.#batch(inner.batch(), state),
      iterator: (range, options) => {
        this.#read();
        return inner.iterator(range, options);
      },
      values: async (range, count) => {
        this.#read();
        return inner.values(range, count);
      },
      get: async (key) => {
        this.#read();
        return inner.get(key);
      },
      getMany: async (keys) => {
        this.#read();
        return inner.getMany(keys);
      },
      compact: (range) => inner.compact(range),
      stats: () => inner.stats(),
    };
  }

  repair(path: string): Promise<void> {
    return levelDriver.repair(path);
  }

  #batch(inner: LevelBatch, state: { isBroken: boolean }): LevelBatch {
    return {
      put: (key, value) => inner.put(key, value),
      del: (key) => inner.del(key),
      close: () => inner.close(),
      write: async (options) => {
        if (state.isBroken) this.writesAfterFailure++;
        const fault = this.onWrite(++this.writes);
        await this.gate;
        if (fault === null) return inner.write(options);
        state.isBroken = true;
        if (fault.kind === "written") await inner.write(options);
        else await inner.close();
        throw ioError(fault.reason);
      },
    };
  }

  #read(): void {
    const reason = this.onRead();
    if (reason !== null) throw ioError(reason);
  }
}

function ioError(reason: string): Error {
  return Object.assign(new Error(reason), { code: "LEVEL_IO_ERROR" });
}

const notOpen = () => {
  throw Object.assign(new Error("Database is not open"), { code: "LEVEL_DATABASE_NOT_OPEN" });
};

const NOT_OPEN: LevelHandle = {
  open: async () => {},
  close: async () => {},
  batch: notOpen,
  iterator: notOpen,
  values: async () => notOpen(),
  get: async () => notOpen(),
  getMany: async () => notOpen(),
  compact: async () => notOpen(),
  stats: () => "",
};
