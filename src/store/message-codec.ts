import type {
  MessageProperties,
  Origin,
  QoS,
  QueueEntry,
  StoredMessage,
  Topic,
} from "../mqtt/index.ts";
import { isQoS } from "../mqtt/index.ts";
import { type ByteReader, type ByteWriter, MAX_UINT48, MalformedRecord } from "./bytes.ts";

/** Bits of a message's first byte, above its QoS. */
const RETAIN = 0x04;
const EXPIRES = 0x08;
const PROPERTIES = 0x10;
const EXTENSION = 0x20;
const ORIGIN_SHIFT = 6;

const ORIGIN = { client: 0, bridge: 1, api: 2, system: 3 } as const;

/** Bits of the byte that says which properties follow. */
const FORMAT_INDICATOR = 0x01;
const FORMAT_IS_UTF8 = 0x02;
const EXPIRY_INTERVAL = 0x04;
const CONTENT_TYPE = 0x08;
const RESPONSE_TOPIC = 0x10;
const CORRELATION_DATA = 0x20;
const USER_PROPERTIES = 0x40;

/**
 * Writes a message; the payload is the rest of the record.
 *
 *     flags(1) topic published(6) [expiry(6)] origin [properties] [extension] payload
 */
export function writeMessage(out: ByteWriter, message: StoredMessage): void {
  const { properties, expiresAtMs, extension, origin } = message;
  out.u8(
    message.qos |
      (message.retain ? RETAIN : 0) |
      (expiresAtMs !== null ? EXPIRES : 0) |
      (properties !== undefined ? PROPERTIES : 0) |
      (extension !== undefined ? EXTENSION : 0) |
      (ORIGIN[origin.kind] << ORIGIN_SHIFT),
  );
  out.text(message.topic);
  out.u48(wholeMs(message.publishedMs));
  if (expiresAtMs !== null) out.u48(wholeMs(expiresAtMs));
  writeOrigin(out, origin);
  if (properties !== undefined) writeProperties(out, properties);
  if (extension !== undefined) out.bytes(extension);
  out.rawBytes(message.payload);
}

/** Reads what `writeMessage` wrote; Buffers in it are views of the record. */
export function readMessage(from: ByteReader): StoredMessage {
  const flags = from.u8();
  const topic = from.text() as Topic;
  const publishedMs = from.u48();
  const expiresAtMs = (flags & EXPIRES) !== 0 ? from.u48() : null;
  const origin = readOrigin(from, flags >> ORIGIN_SHIFT);
  const properties = (flags & PROPERTIES) !== 0 ? readProperties(from) : undefined;
  const extension = (flags & EXTENSION) !== 0 ? from.bytes() : undefined;
  return {
    topic,
    payload: from.rest(),
    qos: qosOf(flags),
    retain: (flags & RETAIN) !== 0,
    origin,
    publishedMs,
    expiresAtMs,
    ...(properties === undefined ? undefined : { properties }),
    ...(extension === undefined ? undefined : { extension }),
  };
}

/** The QoS in the two lowest bits. @throws MalformedRecord for 3. */
export function qosOf(flags: number): QoS {
  const qos = flags & 0x03;
  if (!isQoS(qos)) throw new MalformedRecord("QoS 3");
  return qos;
}

/** Milliseconds as a 48-bit field holds them: whole, not negative (a clock before 1970 is 1970). */
export function wholeMs(ms: number): number {
  return Math.min(MAX_UINT48, Math.max(0, Math.floor(ms)));
}

/** Topic and payload bytes: what the bounds and the queue summaries count. */
export function sizeOf(message: StoredMessage): number {
  return Buffer.byteLength(message.topic) + message.payload.length;
}

/** What an entry counts: nothing once it is released. */
export function entrySize(entry: QueueEntry): number {
  return entry.message === null ? 0 : sizeOf(entry.message);
}

function writeOrigin(out: ByteWriter, origin: Origin): void {
  switch (origin.kind) {
    case "client":
      out.text(origin.clientId);
      writeOptionalText(out, origin.username);
      break;
    case "bridge":
      out.text(origin.bridge);
      break;
    case "api":
      // No client id holds U+0000.
      out.text(
        origin.serial === undefined ? origin.clientId : `${origin.clientId}\0${origin.serial}`,
      );
      break;
    case "system":
      break;
  }
}

function readOrigin(from: ByteReader, kind: number): Origin {
  switch (kind) {
    case ORIGIN.client:
      return { kind: "client", clientId: from.text(), username: readOptionalText(from) };
    case ORIGIN.bridge:
      return { kind: "bridge", bridge: from.text() };
    case ORIGIN.api:
      return apiOrigin(from.text());
    default:
      return { kind: "system" };
  }
}

function apiOrigin(text: string): Origin {
  const end = text.indexOf("\0");
  if (end < 0) return { kind: "api", clientId: text };
  return { kind: "api", clientId: text.slice(0, end), serial: text.slice(end + 1) };
}

export function writeOptionalText(out: ByteWriter, text: string | null): void {
  out.u8(text === null ? 0 : 1);
  if (text !== null) out.text(text);
}

export function readOptionalText(from: ByteReader): string | null {
  return from.u8() === 0 ? null : from.text();
}

export function writeProperties(out: ByteWriter, properties: MessageProperties): void {
  const format = properties.payloadFormatIndicator;
  const expiry = properties.messageExpiryInterval;
  const { contentType, responseTopic, correlationData, userProperties } = properties;
  out.u8(
    (format !== undefined ? FORMAT_INDICATOR : 0) |
      (format === true ? FORMAT_IS_UTF8 : 0) |
      (expiry !== undefined ? EXPIRY_INTERVAL : 0) |
      (contentType !== undefined ? CONTENT_TYPE : 0) |
      (responseTopic !== undefined ? RESPONSE_TOPIC : 0) |
      (correlationData !== undefined ? CORRELATION_DATA : 0) |
      (userProperties !== undefined ? USER_PROPERTIES : 0),
  );
  if (expiry !== undefined) out.u32(expiry);
  if (contentType !== undefined) out.text(contentType);
  if (responseTopic !== undefined) out.text(responseTopic);
  if (correlationData !== undefined) out.bytes(correlationData);
  if (userProperties !== undefined) {
    out.varint(userProperties.length);
    for (const [name, value] of userProperties) {
      out.text(name);
      out.text(value);
    }
  }
}

export function readProperties(from: ByteReader): MessageProperties {
  const flags = from.u8();
  const has = (flag: number) => (flags & flag) !== 0;
  return {
    ...(has(FORMAT_INDICATOR) ? { payloadFormatIndicator: has(FORMAT_IS_UTF8) } : undefined),
    ...(has(EXPIRY_INTERVAL) ? { messageExpiryInterval: from.u32() } : undefined),
    ...(has(CONTENT_TYPE) ? { contentType: from.text() } : undefined),
    ...(has(RESPONSE_TOPIC) ? { responseTopic: from.text() } : undefined),
    ...(has(CORRELATION_DATA) ? { correlationData: from.bytes() } : undefined),
    ...(has(USER_PROPERTIES) ? { userProperties: readUserProperties(from) } : undefined),
  };
}

/** Goes past what `writeProperties` wrote. */
export function skipProperties(from: ByteReader): void {
  const flags = from.u8();
  if ((flags & EXPIRY_INTERVAL) !== 0) from.skip(4);
  for (const flag of [CONTENT_TYPE, RESPONSE_TOPIC, CORRELATION_DATA]) {
    if ((flags & flag) !== 0) from.skip(from.varint());
  }
  if ((flags & USER_PROPERTIES) === 0) return;
  for (let texts = 2 * from.varint(); texts > 0; texts--) from.skip(from.varint());
}

function readUserProperties(from: ByteReader): [string, string][] {
  const count = from.varint();
  const list: [string, string][] = [];
  for (let i = 0; i < count; i++) list.push([from.text(), from.text()]);
  return list;
}
