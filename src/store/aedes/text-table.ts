import type { StoreCore } from "../core.ts";
import type { Database } from "../database.ts";
import { TABLE, textKey } from "../keys.ts";
import { openValue } from "../value.ts";

/**
 * A part of the store that looks like a small `level` database with text keys: the ground
 * aedes-persistence-level's own code stands on here. A write resolves once it is committed.
 */
export class TextTable {
  readonly #core: () => StoreCore;
  readonly #database: () => Database;

  constructor(core: () => StoreCore, database: () => Database) {
    this.#core = core;
    this.#database = database;
  }

  async get(key: string): Promise<Buffer | undefined> {
    const rowKey = textKey(TABLE.packet, key);
    const recorded = this.#core().pending.row(rowKey);
    const value =
      recorded !== undefined
        ? recorded.value
        : await this.#database().read((handle) => handle.get(rowKey));
    return value === null || value === undefined ? undefined : openValue(rowKey, value).rest();
  }

  async put(key: string, value: Buffer): Promise<void> {
    const core = this.#core();
    core.putRow(textKey(TABLE.packet, key), (out) => out.rawBytes(value));
    await core.committed(true);
  }

  async del(key: string): Promise<void> {
    const core = this.#core();
    core.removeRow(textKey(TABLE.packet, key));
    await core.committed(true);
  }

  async *values({ gte, lt }: { gte: string; lt: string }): AsyncGenerator<Buffer> {
    for await (const [key, value] of this.#rows(gte, lt)) yield openValue(key, value).rest();
  }

  /** Removes every row from `gte` up to and without `lt`. */
  async clear({ gte, lt }: { gte: string; lt: string }): Promise<void> {
    const core = this.#core();
    for await (const [key] of this.#rows(gte, lt)) core.removeRow(key);
    await core.committed(true);
  }

  async *#rows(gte: string, lt: string): AsyncGenerator<[Buffer, Buffer]> {
    await this.#core().committed(true);
    const range = { gte: textKey(TABLE.packet, gte), lt: textKey(TABLE.packet, lt) };
    for await (const rows of this.#database().rows(range)) yield* rows;
  }
}
