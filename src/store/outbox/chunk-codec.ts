import type { OutboxMessage, Topic } from "../../mqtt/index.ts";
import type { ByteReader, ByteWriter } from "../bytes.ts";
import {
  qosOf,
  readProperties,
  skipProperties,
  wholeMs,
  writeProperties,
} from "../message-codec.ts";

/** Bits of an entry's first byte, above its QoS. */
const RETAIN = 0x04;
const PROPERTIES = 0x08;
const REPORT = 0x10;

/** An entry as it is kept. */
export interface KeptEntry {
  readonly seq: number;
  readonly message: OutboxMessage;
  /** Gateway time, ms. */
  readonly atMs: number;
  /** Topic and payload bytes. */
  readonly bytes: number;
  /** It reports gaps, and is not itself dropped. */
  readonly isReport: boolean;
}

/** What a chunk says of itself before its entries. */
export interface ChunkSummary {
  readonly count: number;
  readonly bytes: number;
  readonly last: number;
  readonly firstMs: number;
}

/**
 * A row of the outbox: the entries of one commit, or as many of them as make a row of about 64 kB.
 * Its key holds the sequence of the first.
 *
 *     count bytes last-first firstMs(6) { seq-first flags(1) atMs(6) topic [properties] payload }
 */
export function writeChunk(out: ByteWriter, entries: readonly KeptEntry[]): void {
  const first = entries[0]?.seq ?? 0;
  out.varint(entries.length);
  out.varint(entries.reduce((sum, { bytes }) => sum + bytes, 0));
  out.varint((entries.at(-1)?.seq ?? 0) - first);
  out.u48(wholeMs(entries[0]?.atMs ?? 0));
  for (const { seq, message, atMs, isReport } of entries) {
    const { topic, payload, qos, retain, properties } = message;
    out.varint(seq - first);
    out.u8(
      qos |
        (retain ? RETAIN : 0) |
        (properties !== undefined ? PROPERTIES : 0) |
        (isReport ? REPORT : 0),
    );
    out.u48(wholeMs(atMs));
    out.text(topic);
    if (properties !== undefined) writeProperties(out, properties);
    out.bytes(payload);
  }
}

export function readSummary(from: ByteReader, first: number): ChunkSummary {
  const count = from.varint();
  const bytes = from.varint();
  return { count, bytes, last: first + from.varint(), firstMs: from.u48() };
}

/** The entries of a chunk; Buffers in them are views of the row. */
export function readChunk(from: ByteReader, first: number): KeptEntry[] {
  const { count } = readSummary(from, first);
  const entries: KeptEntry[] = [];
  for (let i = 0; i < count; i++) {
    const seq = first + from.varint();
    const flags = from.u8();
    const atMs = from.u48();
    const topic = from.text() as Topic;
    const properties = (flags & PROPERTIES) !== 0 ? readProperties(from) : undefined;
    const payload = from.bytes();
    const message: OutboxMessage = {
      topic,
      payload,
      qos: qosOf(flags),
      retain: (flags & RETAIN) !== 0,
      ...(properties === undefined ? undefined : { properties }),
    };
    const bytes = Buffer.byteLength(topic) + payload.length;
    entries.push({ seq, message, atMs, bytes, isReport: (flags & REPORT) !== 0 });
  }
  return entries;
}

/** The topics of a chunk's entries, reports left out. */
export function readTopics(
  from: ByteReader,
  first: number,
  onEntry: (topic: string, seq: number) => void,
): void {
  const { count } = readSummary(from, first);
  for (let i = 0; i < count; i++) {
    const seq = first + from.varint();
    const flags = from.u8();
    from.skip(6);
    const topic = from.text();
    if ((flags & PROPERTIES) !== 0) skipProperties(from);
    from.skip(from.varint());
    if ((flags & REPORT) === 0) onEntry(topic, seq);
  }
}

/** What is known of an outbox besides its chunks. */
export interface OutboxState {
  /** No sequence at or above this has been used. */
  readonly seqLimit: number;
  /** Sequences that are gone from chunks that are still there, in order. */
  readonly gone: readonly number[];
  /** Sequences of QoS 2 messages that the other side has received, in order. */
  readonly received: readonly number[];
}

/** Runs of numbers as pairs of distance and length; behind an empty run, those received by distance. */
export function writeState(out: ByteWriter, { seqLimit, gone, received }: OutboxState): void {
  out.u48(seqLimit);
  let next = 0;
  for (let i = 0; i < gone.length; ) {
    const start = gone[i] ?? 0;
    let length = 1;
    while (gone[i + length] === start + length) length++;
    out.varint(start - next);
    out.varint(length);
    next = start + length;
    i += length;
  }
  if (received.length === 0) return;
  out.varint(0);
  out.varint(0);
  next = 0;
  for (const seq of received) {
    out.varint(seq - next);
    next = seq;
  }
}

export function readState(from: ByteReader): OutboxState {
  const seqLimit = from.u48();
  const gone: number[] = [];
  const received: number[] = [];
  let next = 0;
  while (!from.isAtEnd) {
    const start = next + from.varint();
    const end = start + from.varint();
    if (end === next) break;
    next = end;
    for (let seq = start; seq < next; seq++) gone.push(seq);
  }
  next = 0;
  while (!from.isAtEnd) {
    next += from.varint();
    received.push(next);
  }
  return { seqLimit, gone, received };
}
