import type { SessionRecord } from "../mqtt/index.ts";
import type { Accounting } from "./accounting.ts";
import type { Bodies } from "./bodies.ts";
import { MalformedRecord } from "./bytes.ts";
import { readEntrySummary } from "./entry-codec.ts";
import type { TimeMark } from "./gateway-time.ts";
import {
  FOREIGN_TABLES,
  nameOfChunkKey,
  seqOfKey,
  sessionOfKey,
  TABLE,
  tableRange,
  textKey,
} from "./keys.ts";
import { type LevelHandle, rowsOf } from "./leveldb/index.ts";
import { readState, type StoredOutbox } from "./outbox/index.ts";
import { readSession } from "./record-codec.ts";
import type { StoredSession } from "./session-store.ts";
import { openValue } from "./value.ts";

/** Rows of the meta table. */
export const META = {
  format: textKey(TABLE.meta, "format"),
  time: textKey(TABLE.meta, "time"),
  writes: textKey(TABLE.meta, "writes"),
} as const;

/** The layout described in keys.ts. */
export const FORMAT = 1;

/** What one walk over the whole store finds. */
export interface ScanResult {
  /** Null in a new store, and in one whose migration was not finished. */
  readonly format: number | null;
  readonly time: TimeMark | null;
  /** By session number. */
  readonly records: Map<number, SessionRecord>;
  /** Ended sessions that left rows. */
  readonly left: StoredSession[];
  readonly highestSession: number;
  readonly highestBody: number;
  /** Rows that cannot be read. */
  readonly damaged: Buffer[];
  /** Whole rows of kinds that this version does not know; they stay as they are. */
  readonly unknown: number;
  /** There are rows of another program's layout. */
  readonly hasForeign: boolean;
}

export interface ScanTarget {
  readonly bodies: Bodies;
  readonly accounting: Accounting;
  /** Makes the session that was found, or one whose rows were left. */
  found(number: number, clientId: string): StoredSession;
  left(number: number): StoredSession;
  outbox(name: string): StoredOutbox;
}

/**
 * Walks over everything but the bodies, in key order: records come first, so that every other row
 * finds its session. It is also the verification: LevelDB reports blocks it cannot read, and the
 * checksum of each row shows the rest.
 * @throws whatever LevelDB reports (rejects).
 */
export async function scan(handle: LevelHandle, target: ScanTarget): Promise<ScanResult> {
  const walk = new Walk(target);
  const all = { gte: Buffer.of(0), lt: tableRange(TABLE.body).gte };
  for await (const rows of rowsOf(handle, all))
    for (const [key, value] of rows) walk.row(key, value);
  const highest = await highestBody(handle);
  target.bodies.startAfter(highest);
  return walk.result(highest, await hasRows(handle, FOREIGN_TABLES, 0xfe));
}

/** A whole row of a kind that only a newer version knows. It stays for the day that version is back. */
class UnknownRow extends Error {}

class Walk {
  readonly #target: ScanTarget;
  readonly #sessions = new Map<number, StoredSession>();
  readonly #left = new Map<number, StoredSession>();
  readonly #records = new Map<number, SessionRecord>();
  readonly #damaged: Buffer[] = [];
  #unknown = 0;
  #format: number | null = null;
  #time: TimeMark | null = null;
  #highestSession = 0;

  constructor(target: ScanTarget) {
    this.#target = target;
  }

  row(key: Buffer, value: Buffer): void {
    try {
      this.#take(key, value);
    } catch (err) {
      if (err instanceof UnknownRow) {
        this.#unknown += 1;
        return;
      }
      if (!(err instanceof MalformedRecord)) throw err;
      this.#damaged.push(key);
    }
  }

  result(highestBody: number, hasForeign: boolean): ScanResult {
    return {
      format: this.#format,
      time: this.#time,
      records: this.#records,
      left: [...this.#left.values()],
      highestSession: this.#highestSession,
      highestBody,
      damaged: this.#damaged,
      unknown: this.#unknown,
      hasForeign,
    };
  }

  #take(key: Buffer, value: Buffer): void {
    switch (key[0] ?? 0) {
      case TABLE.meta:
        this.#takeMeta(key, value);
        break;
      case TABLE.session: {
        const { clientId, record } = readSession(openValue(key, value));
        const number = this.#number(key, 7);
        this.#records.set(number, record);
        this.#sessions.set(number, this.#target.found(number, clientId));
        break;
      }
      case TABLE.subscription:
        openValue(key, value);
        this.#session(this.#number(key, 7));
        break;
      case TABLE.inbound:
        openValue(key, value);
        this.#session(this.#number(key, 9)).inboundOnDisk.add(key.readUInt16BE(7));
        break;
      case TABLE.queue: {
        const { bytes, body } = readEntrySummary(key, value);
        this.#session(this.#number(key, 13)).found(seqOfKey(key), bytes, body);
        if (body !== 0) this.#target.bodies.use(body, 1);
        break;
      }
      case TABLE.outbox:
        this.#target.outbox(key.toString("utf8", 1)).foundState(readState(openValue(key, value)));
        break;
      case TABLE.gap: {
        const [name = "", topic] = key.toString("utf8", 1).split("\0");
        if (topic === undefined) throw new MalformedRecord("the key names no topic");
        this.#target.outbox(name).foundGap(topic, openValue(key, value));
        break;
      }
      case TABLE.chunk:
        if (key.length < 8) throw new MalformedRecord("the key is too short");
        this.#target.outbox(nameOfChunkKey(key)).foundChunk(key, value);
        break;
      case TABLE.retained:
      case TABLE.packet:
      case TABLE.record:
        openValue(key, value);
        break;
      default:
        openValue(key, value);
        throw new UnknownRow();
    }
  }

  #takeMeta(key: Buffer, value: Buffer): void {
    const from = openValue(key, value);
    if (key.equals(META.format)) this.#format = from.u8();
    else if (key.equals(META.time)) this.#time = { gatewayMs: from.u48(), wallMs: from.u48() };
    else if (key.equals(META.writes)) this.#target.accounting.restore(from);
    else throw new UnknownRow();
  }

  /** The session number in a key of at least `minBytes`. */
  #number(key: Buffer, minBytes: number): number {
    if (key.length < minBytes) throw new MalformedRecord("the key is too short");
    const number = sessionOfKey(key);
    this.#highestSession = Math.max(this.#highestSession, number);
    return number;
  }

  /** The session a row belongs to; one without a record has ended, or its record is damaged. */
  #session(number: number): StoredSession {
    const session = this.#sessions.get(number) ?? this.#left.get(number);
    if (session !== undefined) return session;
    const left = this.#target.left(number);
    this.#left.set(number, left);
    return left;
  }
}

async function highestBody(handle: LevelHandle): Promise<number> {
  const iterator = handle.iterator(tableRange(TABLE.body), { reverse: true, withValues: false });
  try {
    const [row] = await iterator.nextv(1);
    return row === undefined ? 0 : sessionOfKey(row[0]);
  } finally {
    await iterator.close();
  }
}

async function hasRows(handle: LevelHandle, first: number, last: number): Promise<boolean> {
  const iterator = handle.iterator(tableRange(first, last), { withValues: false });
  try {
    return (await iterator.nextv(1)).length > 0;
  } finally {
    await iterator.close();
  }
}
