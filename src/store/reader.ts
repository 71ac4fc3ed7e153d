import type { QueueEntry, StoredMessage } from "../mqtt/index.ts";
import type { Bodies } from "./bodies.ts";
import { MalformedRecord } from "./bytes.ts";
import type { Database } from "./database.ts";
import { readEntry, type StoredEntry } from "./entry-codec.ts";
import { bodyKey, queueKey, SEQ_AT, SEQ_BYTES, seqOfKey } from "./keys.ts";
import { rowsOf } from "./leveldb/index.ts";
import { readMessage } from "./message-codec.ts";
import type { StoredSession } from "./session-store.ts";
import { openValue } from "./value.ts";

/** Called for a record that cannot be read. */
export type DamageReport = (key: Buffer, reason: string) => void;

/** Runs `parse`; a malformed record is reported and gives null. */
export function parseRow<T>(key: Buffer, parse: () => T, onDamage: DamageReport): T | null {
  try {
    return parse();
  } catch (err) {
    if (!(err instanceof MalformedRecord)) throw err;
    onDamage(key, err.message);
    return null;
  }
}

/** Reads queue entries and the bodies they name. */
export class Reader {
  readonly #database: Database;
  readonly #bodies: Bodies;
  readonly #onDamage: DamageReport;

  constructor(database: Database, bodies: Bodies, onDamage: DamageReport) {
    this.#database = database;
    this.#bodies = bodies;
    this.#onDamage = onDamage;
  }

  /** The entries in `session.index` from `from` to `to`, in order; unreadable ones are given up. */
  async readEntries(session: StoredSession, from: number, to: number): Promise<QueueEntry[]> {
    const expected = session.index.sequences(from, to);
    const found =
      (await this.#readValues(session, expected)) ?? (await this.#readRows(session, from, to));
    const bodies = await this.#bodiesOf(found);
    const entries = this.#complete(session, found, bodies);
    if (expected.length > entries.length) await this.#giveUpMissing(session, expected, entries);
    return entries;
  }

  /**
   * The fast way: values without keys, which are known. The checksum covers the key too, so that a
   * value in another's place is seen: then null. Rows that are removed but not committed are such.
   */
  async #readValues(
    session: StoredSession,
    expected: readonly number[],
  ): Promise<StoredEntry[] | null> {
    const first = expected[0];
    const last = expected.at(-1);
    if (first === undefined || last === undefined) return [];
    const range = { gte: queueKey(session.number, first), lt: queueKey(session.number, last + 1) };
    const values = await this.#database.read((handle) => handle.values(range, expected.length + 1));
    if (values.length !== expected.length) return null;
    const key = queueKey(session.number, first);
    const found: StoredEntry[] = [];
    for (const [i, value] of values.entries()) {
      const seq = expected[i] ?? 0;
      key.writeUIntBE(seq, SEQ_AT, SEQ_BYTES);
      const entry = parseRow(
        key,
        () => readEntry(seq, key, value),
        () => {},
      );
      if (entry === null) return null;
      found.push(entry);
    }
    return found;
  }

  async #readRows(session: StoredSession, from: number, to: number): Promise<StoredEntry[]> {
    const range = { gte: queueKey(session.number, from), lt: queueKey(session.number, to + 1) };
    return this.#database.read(async (handle) => {
      const entries: StoredEntry[] = [];
      for await (const rows of rowsOf(handle, range)) this.#parse(session, rows, entries);
      return entries;
    });
  }

  #parse(session: StoredSession, rows: [Buffer, Buffer][], found: StoredEntry[]): void {
    for (const [key, value] of rows) {
      const seq = seqOfKey(key);
      if (!session.index.has(seq)) continue;
      const entry = parseRow(key, () => readEntry(seq, key, value), this.#onDamage);
      if (entry === null) session.lost(seq);
      else found.push(entry);
    }
  }

  /** Puts entries and bodies together, in view of what was removed or released meanwhile. */
  #complete(
    session: StoredSession,
    found: readonly StoredEntry[],
    bodies: ReadonlyMap<number, StoredMessage>,
  ): QueueEntry[] {
    const entries: QueueEntry[] = [];
    for (const stored of found) {
      const seq = stored.kind === "body" ? stored.seq : stored.entry.seq;
      const bytes = session.index.bytesOf(seq);
      if (bytes < 0) continue;
      if (stored.kind === "released") entries.push(stored.entry);
      else if (bytes === 0) entries.push(session.released(seq));
      else if (stored.kind === "complete") entries.push(stored.entry);
      else {
        const message = bodies.get(stored.body);
        if (message !== undefined) entries.push(stored.with(message));
        else this.#giveUp(session, seq, "its body is missing");
      }
    }
    return entries;
  }

  /** An entry whose row is not there would be asked for again and again. */
  async #giveUpMissing(
    session: StoredSession,
    expected: readonly number[],
    entries: readonly QueueEntry[],
  ): Promise<void> {
    const present = new Set(entries.map((entry) => entry.seq));
    const missing = expected.filter((seq) => !present.has(seq));
    const keys = missing.map((seq) => queueKey(session.number, seq));
    const values = await this.#database.read((handle) => handle.getMany(keys));
    for (const [i, seq] of missing.entries()) {
      if (values[i] === undefined) this.#giveUp(session, seq, "its row is missing");
    }
  }

  #giveUp(session: StoredSession, seq: number, reason: string): void {
    if (!session.index.has(seq)) return;
    this.#onDamage(queueKey(session.number, seq), reason);
    session.lost(seq);
  }

  async #bodiesOf(found: readonly StoredEntry[]): Promise<ReadonlyMap<number, StoredMessage>> {
    const bodies = new Map<number, StoredMessage>();
    const missing = new Set<number>();
    for (const stored of found) {
      if (stored.kind !== "body") continue;
      const cached = this.#bodies.cached(stored.body);
      if (cached === undefined) missing.add(stored.body);
      else bodies.set(stored.body, cached);
    }
    if (missing.size === 0) return bodies;
    const numbers = [...missing];
    const keys = numbers.map(bodyKey);
    const values = await this.#database.read((handle) => handle.getMany(keys));
    for (const [i, body] of numbers.entries()) {
      const key = keys[i];
      const value = values[i];
      if (key === undefined || value === undefined) continue;
      const message = parseRow(key, () => readMessage(openValue(key, value)), this.#onDamage);
      if (message === null) continue;
      bodies.set(body, message);
      this.#bodies.keep(body, message);
    }
    return bodies;
  }
}
