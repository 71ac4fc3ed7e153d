import type { ByteWriter } from "./bytes.ts";
import type { Database } from "./database.ts";
import { type KeyRange, TABLE, textKey } from "./keys.ts";
import type { Pending } from "./pending.ts";
import { type DamageReport, parseRow } from "./reader.ts";
import { openValue } from "./value.ts";

/**
 * Small durable values under text keys, for what the API manages and must survive. Operations are
 * recorded into the open group at once and committed with it, within half a second if nobody asks;
 * after a failed commit they are tried again until they are written.
 */
export interface RecordTable {
  /**
   * All records, in byte order of their keys, in slices that give the event loop turns. What is
   * recorded before the call is seen, committed or not. Records that cannot be read are left out.
   * @throws GatewayError STORE_READ_FAILED (rejects)
   */
  entries(): AsyncIterable<readonly (readonly [key: string, value: Buffer])[]>;
  /**
   * A later put or delete of the key replaces it. `key` is any well-formed string; `value` is
   * copied.
   */
  put(key: string, value: Buffer): void;
  delete(key: string): void;
  /**
   * Resolves when everything recorded so far is durable.
   * @throws GatewayError STORE_FULL or STORE_WRITE_FAILED (rejects), the group's own failure only
   */
  committed(): Promise<void>;
}

export interface RecordTableHost {
  readonly database: Database;
  readonly pending: Pending;
  readonly onDamage: DamageReport;
  putRow(key: Buffer, writeValue: (out: ByteWriter) => void): void;
  removeRow(key: Buffer): void;
  committed(): Promise<void>;
}

const NAME = /^[a-z_]{1,32}$/;

type Row = readonly [key: Buffer, value: Buffer | null];

/** A record table as a range of rows in the store. */
export class StoredTable implements RecordTable {
  readonly #host: RecordTableHost;
  readonly #prefix: string;
  readonly #range: KeyRange;

  constructor(host: RecordTableHost, name: string) {
    if (!NAME.test(name)) throw new Error(`"${name}" cannot be the name of a record table`);
    this.#host = host;
    this.#prefix = `${name}\0`;
    this.#range = { gte: this.#key(""), lt: textKey(TABLE.record, `${name}\x01`) };
  }

  async *entries(): AsyncGenerator<readonly (readonly [key: string, value: Buffer])[]> {
    const recorded = this.#host.pending.rowsIn(this.#range);
    for await (const rows of this.#host.database.rows(this.#range)) {
      const last = rows.at(-1)?.[0];
      const until = recorded.findIndex(([key]) => last !== undefined && key.compare(last) > 0);
      const earlier = recorded.splice(0, until < 0 ? recorded.length : until);
      yield this.#parse(earlier.length === 0 ? rows : merged(rows, earlier));
    }
    yield this.#parse(recorded);
  }

  put(key: string, value: Buffer): void {
    this.#host.putRow(this.#key(key), (out) => out.rawBytes(value));
  }

  delete(key: string): void {
    this.#host.removeRow(this.#key(key));
  }

  committed(): Promise<void> {
    return this.#host.committed();
  }

  #key(key: string): Buffer {
    return textKey(TABLE.record, this.#prefix + key);
  }

  #parse(rows: readonly Row[]): (readonly [key: string, value: Buffer])[] {
    const records: (readonly [string, Buffer])[] = [];
    for (const [key, value] of rows) {
      if (value === null) continue;
      const record = parseRow(key, () => openValue(key, value).rest(), this.#host.onDamage);
      if (record !== null) records.push([key.toString("utf8", this.#range.gte.length), record]);
    }
    return records;
  }
}

/** Two lists of rows in the order of their keys; of two with the same key, the recorded one. */
function merged(stored: readonly Row[], recorded: readonly Row[]): Row[] {
  const rows = new Map<string, Row>();
  for (const row of [...stored, ...recorded]) rows.set(row[0].toString("latin1"), row);
  return [...rows.values()].sort(([a], [b]) => a.compare(b));
}
