import { Level } from "level";
import { type Change, GroupWriter } from "./group-writer.ts";

/** Every key that starts with `prefix`, which ends with the separator ":". */
export interface KeyRange {
  readonly gte: string;
  readonly lt: string;
}

/** `prefix` ends with ":"; the next byte is ";", and nothing sorts between the two. */
export function keysUnder(prefix: string): KeyRange {
  return { gte: prefix, lt: `${prefix.slice(0, -1)};` };
}

/** What was written since the process started. */
export interface WriteCounters {
  commits: number;
  fsyncs: number;
  bytes: number;
}

/**
 * The LevelDB database behind a group commit. Reads see what was accepted for writing. Its methods
 * have the names and shapes aedes-persistence-level calls on a `Level`.
 */
export class Database {
  readonly writes: WriteCounters = { commits: 0, fsyncs: 0, bytes: 0 };
  readonly #path: string;
  readonly #writer: GroupWriter;
  #level: Level<string, Buffer> | null = null;

  constructor(path: string) {
    this.#path = path;
    this.#writer = new GroupWriter((changes, isDurable) => this.#write(changes, isDurable));
  }

  get isOpen(): boolean {
    return this.#level !== null;
  }

  async open(): Promise<void> {
    const level = new Level<string, Buffer>(this.#path, { valueEncoding: "buffer" });
    await level.open();
    this.#level = level;
  }

  /** Writes what was accepted, then closes. */
  async close(): Promise<void> {
    const level = this.#level;
    if (level === null) return;
    await this.#writer.flush();
    this.#level = null;
    await level.close();
  }

  async get(key: string): Promise<Buffer | undefined> {
    const pending = this.#writer.pending(key);
    if (pending !== undefined) return pending ?? undefined;
    return this.#opened().get(key);
  }

  async put(key: string, value: Buffer): Promise<void> {
    await this.#writer.commit([[key, value]], { isDurable: true });
  }

  async del(key: string): Promise<void> {
    await this.#writer.commit([[key, null]], { isDurable: false });
  }

  /** Applies all changes or none. */
  async batch(
    operations: readonly { type: "put" | "del"; key: string; value?: Buffer }[],
  ): Promise<void> {
    await this.commit(
      operations.map(({ key, value }): Change => [key, value ?? null]),
      { isDurable: true },
    );
  }

  /** Applies all changes or none; `isDurable` waits for the medium. */
  async commit(changes: readonly Change[], options: { isDurable: boolean }): Promise<void> {
    if (changes.length > 0) await this.#writer.commit(changes, options);
  }

  /** Deletes every key of `range`. */
  async clear(range: KeyRange): Promise<void> {
    const stored = await this.#opened().keys(range).all();
    const keys = [...stored, ...this.#writer.pendingKeys(range.gte, range.lt)];
    await this.commit(
      keys.map((key): Change => [key, null]),
      { isDurable: true },
    );
  }

  async *keys(range: KeyRange): AsyncGenerator<string> {
    await this.#writer.flush();
    yield* this.#opened().keys(range);
  }

  async *values(range: KeyRange): AsyncGenerator<Buffer> {
    await this.#writer.flush();
    yield* this.#opened().values({ gte: range.gte, lt: range.lt });
  }

  async *entries(range: KeyRange): AsyncGenerator<[string, Buffer]> {
    await this.#writer.flush();
    yield* this.#opened().iterator(range);
  }

  async #write(changes: readonly Change[], isDurable: boolean): Promise<void> {
    await this.#opened().batch(
      changes.map(([key, value]) =>
        value === null
          ? ({ type: "del", key } as const)
          : ({ type: "put", key, value, valueEncoding: "buffer" } as const),
      ),
      { sync: isDurable },
    );
    this.writes.commits += 1;
    if (isDurable) this.writes.fsyncs += 1;
    for (const [key, value] of changes) this.writes.bytes += key.length + (value?.length ?? 0);
  }

  #opened(): Level<string, Buffer> {
    if (this.#level === null) throw new Error("the store is not open");
    return this.#level;
  }
}
