import { type ByteWriter, MAX_UINT48 } from "./bytes.ts";

/**
 * The first byte of every key says which table it is in. A session has a number, given once and
 * never to a second one while anything of the first is left: keys need no escaping, no key is a
 * prefix of another's range, and a new session of the same client can start while the old one's
 * rows are still being removed. Numbers and sequences are 48-bit big endian, so byte order is
 * numerical order.
 *
 * | table | rest of the key |
 * | --- | --- |
 * | meta | name |
 * | session | session number |
 * | subscription | session number, filter (UTF-8) |
 * | inbound | session number, Packet Identifier (16 bit) |
 * | queue | session number, sequence |
 * | retained | topic (UTF-8) |
 * | packet | text (UTF-8), see TextTable |
 * | record | name of the record table, U+0000, key (UTF-8) |
 * | outbox | name of the outbox: see OutboxState |
 * | gap | name of the outbox, U+0000, topic (UTF-8) |
 * | chunk | name of the outbox, U+0000, sequence of its first entry |
 * | body | body number |
 *
 * Keys of aedes-persistence-level start with a lower-case letter and stand behind all of these.
 */
export const TABLE = {
  meta: 0x01,
  session: 0x10,
  subscription: 0x11,
  inbound: 0x12,
  queue: 0x13,
  retained: 0x14,
  packet: 0x15,
  record: 0x16,
  outbox: 0x17,
  gap: 0x18,
  chunk: 0x19,
  body: 0x1f,
} as const;

export type Table = (typeof TABLE)[keyof typeof TABLE];

/** First byte of the keys another program's layout uses. */
export const FOREIGN_TABLES = 0x20;

const QUEUE_KEY_BYTES = 13;

/** Where the sequence stands in a queue key. */
export const SEQ_AT = 7;
export const SEQ_BYTES = 6;

/** Highest session, body or sequence number. */
const MAX_NUMBER = MAX_UINT48;

export function writeSessionKey(out: ByteWriter, session: number): void {
  out.u8(TABLE.session);
  out.u48(session);
}

export function writeSubscriptionKey(out: ByteWriter, session: number, filter: string): void {
  out.u8(TABLE.subscription);
  out.u48(session);
  out.rawText(filter);
}

export function writeInboundKey(out: ByteWriter, session: number, packetId: number): void {
  out.u8(TABLE.inbound);
  out.u48(session);
  out.u16(packetId);
}

export function writeQueueKey(out: ByteWriter, session: number, seq: number): void {
  out.u8(TABLE.queue);
  out.u48(session);
  out.u48(seq);
}

export function writeRetainedKey(out: ByteWriter, topic: string): void {
  out.u8(TABLE.retained);
  out.rawText(topic);
}

export function writeBodyKey(out: ByteWriter, body: number): void {
  out.u8(TABLE.body);
  out.u48(body);
}

export function textKey(table: Table, text: string): Buffer {
  return Buffer.concat([Buffer.of(table), Buffer.from(text)]);
}

export function queueKey(session: number, seq: number): Buffer {
  const key = Buffer.allocUnsafe(QUEUE_KEY_BYTES);
  key[0] = TABLE.queue;
  key.writeUIntBE(session, 1, 6);
  key.writeUIntBE(seq, SEQ_AT, SEQ_BYTES);
  return key;
}

export function bodyKey(body: number): Buffer {
  const key = Buffer.allocUnsafe(7);
  key[0] = TABLE.body;
  key.writeUIntBE(body, 1, 6);
  return key;
}

/** The session number in a key of a table that has one. */
export function sessionOfKey(key: Buffer): number {
  return key.readUIntBE(1, 6);
}

export function seqOfKey(key: Buffer): number {
  return key.readUIntBE(SEQ_AT, SEQ_BYTES);
}

/** The key of a row behind a name, which holds no U+0000. */
export function namedKey(table: Table, name: string, text: string): Buffer {
  return textKey(table, `${name}\0${text}`);
}

export function outboxChunkKey(name: string, first: number): Buffer {
  const prefix = namedKey(TABLE.chunk, name, "");
  const key = Buffer.allocUnsafe(prefix.length + SEQ_BYTES);
  prefix.copy(key);
  key.writeUIntBE(first, prefix.length, SEQ_BYTES);
  return key;
}

/** The outbox and the sequence in a chunk's key. */
export function nameOfChunkKey(key: Buffer): string {
  return key.toString("utf8", 1, Math.max(1, key.length - SEQ_BYTES - 1));
}

export function seqOfChunkKey(key: Buffer): number {
  return key.readUIntBE(key.length - SEQ_BYTES, SEQ_BYTES);
}

/** A range of keys: from `gte` up to and without `lt`. */
export interface KeyRange {
  readonly gte: Buffer;
  readonly lt: Buffer;
}

/** Every key of a table, or of all tables from one to another. */
export function tableRange(first: number, last: number = first): KeyRange {
  return { gte: Buffer.of(first), lt: Buffer.of(last + 1) };
}

/** Every key of one session in a table. */
export function sessionRange(table: Table, session: number): KeyRange {
  const gte = Buffer.allocUnsafe(7);
  gte[0] = table;
  gte.writeUIntBE(session, 1, 6);
  if (session === MAX_NUMBER) return { gte, lt: Buffer.of(table + 1) };
  const lt = Buffer.from(gte);
  lt.writeUIntBE(session + 1, 1, 6);
  return { gte, lt };
}

/** Every key in a table that stands behind a name. */
function namedRange(table: Table, name: string): KeyRange {
  return { gte: namedKey(table, name, ""), lt: textKey(table, `${name}\x01`) };
}

export function outboxChunks(name: string): KeyRange {
  return namedRange(TABLE.chunk, name);
}

/** Every row of an outbox. */
export function outboxRanges(name: string): readonly KeyRange[] {
  const state = textKey(TABLE.outbox, name);
  return [
    { gte: state, lt: Buffer.concat([state, Buffer.of(0)]) },
    namedRange(TABLE.gap, name),
    outboxChunks(name),
  ];
}
