import type {
  ProtocolVersion,
  SessionRecord,
  StoredSubscription,
  StoredWill,
  TopicFilter,
} from "../mqtt/index.ts";
import { type ByteReader, type ByteWriter, MalformedRecord } from "./bytes.ts";
import {
  qosOf,
  readMessage,
  readOptionalText,
  wholeMs,
  writeMessage,
  writeOptionalText,
} from "./message-codec.ts";

/** Bits of a subscription's options byte, above its QoS. */
const NO_LOCAL = 0x04;
const RETAIN_AS_PUBLISHED = 0x08;
const RETAIN_HANDLING_SHIFT = 4;
const SUBSCRIPTION_ID = 0x40;
const GRANTED = 0x80;

/** Bits of a session's flags; records from before there were more have clean start alone. */
const CLEAN_START = 0x01;
const BRIDGE = 0x02;
const HAS_TIMES = 0x04;

/** A session's name and record. */
export interface NamedRecord {
  readonly clientId: string;
  readonly record: SessionRecord;
}

export function writeSession(out: ByteWriter, clientId: string, record: SessionRecord): void {
  out.text(clientId);
  out.u8(record.protocolVersion);
  writeOptionalText(out, record.username);
  out.u8((record.cleanStart ? CLEAN_START : 0) | (record.isBridge ? BRIDGE : 0) | HAS_TIMES);
  out.u16(record.keepAliveS);
  out.u32(record.expiryIntervalS);
  writeOptionalMs(out, record.expiresAtMs);
  out.u48(record.seqLimit);
  out.text(record.listener);
  out.text(record.peerAddress);
  out.u16(record.peerPort);
  out.u48(wholeMs(record.sinceMs));
  out.u48(wholeMs(record.createdMs));
  out.u48(wholeMs(record.connectedMs));
  out.u8(record.will === null ? 0 : 1);
  if (record.will !== null) writeWill(out, record.will);
}

export function readSession(from: ByteReader): NamedRecord {
  const clientId = from.text();
  const version = protocolVersion(from.u8());
  const username = readOptionalText(from);
  const flags = from.u8();
  const keepAliveS = from.u16();
  const expiryIntervalS = from.u32();
  const expiresAtMs = readOptionalMs(from);
  const seqLimit = from.u48();
  const listener = from.text();
  const peerAddress = from.text();
  const peerPort = from.u16();
  const sinceMs = from.u48();
  const hasTimes = (flags & HAS_TIMES) !== 0;
  return {
    clientId,
    record: {
      protocolVersion: version,
      username,
      cleanStart: (flags & CLEAN_START) !== 0,
      keepAliveS,
      expiryIntervalS,
      expiresAtMs,
      seqLimit,
      listener,
      peerAddress,
      peerPort,
      sinceMs,
      createdMs: hasTimes ? from.u48() : sinceMs,
      connectedMs: hasTimes ? from.u48() : sinceMs,
      isBridge: (flags & BRIDGE) !== 0,
      will: from.u8() === 0 ? null : readWill(from),
    },
  };
}

/** Everything of a subscription but its filter, which is in the key. */
export function writeSubscription(out: ByteWriter, subscription: StoredSubscription): void {
  const { qos, noLocal, retainAsPublished, retainHandling, subscriptionId, isGranted } =
    subscription;
  out.u8(
    qos |
      (noLocal ? NO_LOCAL : 0) |
      (retainAsPublished ? RETAIN_AS_PUBLISHED : 0) |
      (retainHandling << RETAIN_HANDLING_SHIFT) |
      (subscriptionId === null ? 0 : SUBSCRIPTION_ID) |
      (isGranted === true ? GRANTED : 0),
  );
  if (subscriptionId !== null) out.varint(subscriptionId);
}

export function readSubscription(from: ByteReader, filter: string): StoredSubscription {
  const options = from.u8();
  const retainHandling = (options >> RETAIN_HANDLING_SHIFT) & 0x03;
  if (retainHandling !== 0 && retainHandling !== 1 && retainHandling !== 2) {
    throw new MalformedRecord("Retain Handling 3");
  }
  return {
    filter: filter as TopicFilter,
    qos: qosOf(options),
    noLocal: (options & NO_LOCAL) !== 0,
    retainAsPublished: (options & RETAIN_AS_PUBLISHED) !== 0,
    retainHandling,
    subscriptionId: (options & SUBSCRIPTION_ID) !== 0 ? from.varint() : null,
    ...((options & GRANTED) !== 0 ? { isGranted: true } : undefined),
  };
}

function writeWill(out: ByteWriter, will: StoredWill): void {
  out.u32(will.delayS);
  writeOptionalMs(out, will.dueAtMs);
  writeMessage(out, will.message);
}

function readWill(from: ByteReader): StoredWill {
  return { delayS: from.u32(), dueAtMs: readOptionalMs(from), message: readMessage(from) };
}

function writeOptionalMs(out: ByteWriter, ms: number | null): void {
  out.u8(ms === null ? 0 : 1);
  if (ms !== null) out.u48(wholeMs(ms));
}

function readOptionalMs(from: ByteReader): number | null {
  return from.u8() === 0 ? null : from.u48();
}

function protocolVersion(value: number): ProtocolVersion {
  if (value === 3 || value === 4 || value === 5) return value;
  throw new MalformedRecord(`protocol version ${value}`);
}
