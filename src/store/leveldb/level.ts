import { ClassicLevel } from "classic-level";
import { isGatewayError, reasonOf } from "../../errors/index.ts";
import type { KeyRange } from "../keys.ts";
import { LogGuard } from "./log-guard.ts";
import { LogNames } from "./log-names.ts";

/** One atomic batch. `put` and `del` copy what they are given at once. */
export interface LevelBatch {
  put(key: Buffer, value: Buffer): void;
  del(key: Buffer): void;
  /** Appends the batch to LevelDB's log, and fsyncs it and a name it got newly when `sync`. */
  write(options: { sync: boolean }): Promise<void>;
  /** Gives the batch up without writing it. */
  close(): Promise<void>;
}

export interface LevelIterator {
  /** The next `count` rows at most; empty at the end. */
  nextv(count: number): Promise<[Buffer, Buffer][]>;
  close(): Promise<void>;
}

/** What the store needs of one LevelDB folder; a test has a second implementation that fails. */
export interface LevelHandle {
  open(): Promise<void>;
  close(): Promise<void>;
  batch(): LevelBatch;
  iterator(range: KeyRange, options?: { reverse?: boolean; withValues?: boolean }): LevelIterator;
  /** The values of a range alone, which cost half of what rows do; at most `count`, in order. */
  values(range: KeyRange, count: number): Promise<Buffer[]>;
  get(key: Buffer): Promise<Buffer | undefined>;
  getMany(keys: Buffer[]): Promise<(Buffer | undefined)[]>;
  compact(range: KeyRange): Promise<void>;
  /** Text of LevelDB's `leveldb.stats`. */
  stats(): string;
}

/** Makes handles; nothing happens before `open`. */
export interface LevelDriver {
  create(path: string): LevelHandle;
  /** Rebuilds a folder from whatever of its tables and logs is readable. */
  repair(path: string): Promise<void>;
}

/** Bytes an iterator reads ahead in one call; LevelDB's binding stops at 16 kB unless told. */
const READ_AHEAD_BYTES = 262_144;

/** Rows fetched in one call. */
const ROWS_PER_READ = 1000;

type Level = ClassicLevel<Buffer, Buffer>;

/** LevelDB itself. */
export const levelDriver: LevelDriver = {
  create(path) {
    let opened: Level | null = null;
    const db = () => {
      if (opened === null) throw new Error("Database is not open");
      return opened;
    };
    const logs = new LogNames(path);
    return {
      async open() {
        const guard = await LogGuard.read(path);
        // It begins to open the folder by itself as soon as it is made.
        opened = new ClassicLevel(path, { keyEncoding: "buffer", valueEncoding: "buffer" });
        await opened.open();
        try {
          await guard.restore(() => batchOf(db()));
          // LevelDB leaves the renaming of CURRENT and the name of its new log to the file system.
          await logs.syncAll();
        } catch (err) {
          await opened.close();
          throw err;
        }
      },
      async close() {
        await opened?.close();
      },
      batch: () => {
        const batch = batchOf(db());
        return {
          ...batch,
          async write(options) {
            await batch.write(options);
            if (options.sync) await logs.syncNew();
          },
        };
      },
      iterator: ({ gte, lt }, { reverse = false, withValues = true } = {}) =>
        db().iterator({
          gte,
          lt,
          reverse,
          values: withValues,
          highWaterMarkBytes: READ_AHEAD_BYTES,
        }),
      async values({ gte, lt }, count) {
        const iterator = db().values({ gte, lt, highWaterMarkBytes: READ_AHEAD_BYTES });
        const values: Buffer[] = [];
        try {
          while (values.length < count) {
            const more = await iterator.nextv(count - values.length);
            if (more.length === 0) break;
            for (const value of more) values.push(value);
          }
        } finally {
          await iterator.close();
        }
        return values;
      },
      get: async (key) => db().get(key),
      getMany: async (keys) => db().getMany(keys),
      compact: async ({ gte, lt }) => db().compactRange(gte, lt),
      stats: () => db().getProperty("leveldb.stats"),
    };
  },
  repair: (path) => ClassicLevel.repair(path),
};

function batchOf(db: Level): LevelBatch {
  const batch = db.batch();
  return {
    put(key, value) {
      batch.put(key, value);
    },
    del(key) {
      batch.del(key);
    },
    write: (options) => batch.write(options),
    close: () => batch.close(),
  };
}

/** The rows of a range, in batches; the iterator is closed whatever happens. */
export async function* rowsOf(
  handle: LevelHandle,
  range: KeyRange,
  rowsPerRead = ROWS_PER_READ,
): AsyncGenerator<[Buffer, Buffer][]> {
  const iterator = handle.iterator(range);
  try {
    for (;;) {
      const rows = await iterator.nextv(rowsPerRead);
      if (rows.length === 0) return;
      yield rows;
    }
  } finally {
    await iterator.close();
  }
}

/** The text LevelDB gave: abstract-level wraps it when opening. */
export function levelReason(err: unknown): string {
  if (isGatewayError(err)) return err.message;
  if (err instanceof Error && err.cause instanceof Error) return err.cause.message;
  return reasonOf(err);
}

/** The innermost `LEVEL_…` code, or null. */
export function levelCode(err: unknown): string | null {
  if (!(err instanceof Error)) return null;
  const inner = levelCode(err.cause);
  if (inner !== null) return inner;
  return "code" in err && typeof err.code === "string" ? err.code : null;
}

/** Whether the reason is that the disk, or the owner's share of it, is full. */
export function isDiskFull(reason: string): boolean {
  return /no space left|quota exceeded|ENOSPC|EDQUOT/i.test(reason);
}
