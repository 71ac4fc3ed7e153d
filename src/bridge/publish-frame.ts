import type { MessageProperties, QoS } from "../mqtt/index.ts";

/** What a PUBLISH says. */
export interface PublishPacket {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: QoS;
  readonly retain: boolean;
  readonly dup: boolean;
  /** As `packetIdOf` says; ignored for QoS 0. */
  readonly packetId: number;
  /** Null before MQTT 5.0, which has none. */
  readonly properties: MessageProperties | null;
}

/** Identifiers of properties (MQTT 5.0 §2.2.2.2). */
const PAYLOAD_FORMAT_INDICATOR = 0x01;
const MESSAGE_EXPIRY_INTERVAL = 0x02;
const CONTENT_TYPE = 0x03;
const RESPONSE_TOPIC = 0x08;
const CORRELATION_DATA = 0x09;
const USER_PROPERTY = 0x26;

const PUBLISH = 0x30;

/** Size of a PUBLISH, what Maximum Packet Size is about (MQTT 5.0 §3.1.2.11.4). */
export function publishBytes(packet: PublishPacket): number {
  const remaining = remainingBytes(packet);
  return 1 + varintBytes(remaining) + remaining;
}

/** Writes a PUBLISH of {@link publishBytes} at `at`. */
export function writePublish(into: Buffer, at: number, packet: PublishPacket): void {
  const { topic, payload, qos, retain, dup, packetId, properties } = packet;
  into[at++] = PUBLISH | (dup ? 0x08 : 0) | (qos << 1) | (retain ? 1 : 0);
  at = putVarint(into, at, remainingBytes(packet));
  at = putText(into, at, topic);
  if (qos > 0) at = into.writeUInt16BE(packetId, at);
  if (properties !== null) at = putProperties(into, at, properties);
  payload.copy(into, at);
}

function remainingBytes({ topic, payload, qos, properties }: PublishPacket): number {
  const ofProperties = properties === null ? 0 : propertyBytes(properties);
  const forProperties = properties === null ? 0 : varintBytes(ofProperties) + ofProperties;
  return 2 + Buffer.byteLength(topic) + (qos > 0 ? 2 : 0) + forProperties + payload.length;
}

function propertyBytes(properties: MessageProperties): number {
  const { contentType, responseTopic, correlationData, userProperties } = properties;
  let bytes = 0;
  if (properties.payloadFormatIndicator !== undefined) bytes += 2;
  if (properties.messageExpiryInterval !== undefined) bytes += 5;
  if (contentType !== undefined) bytes += 3 + Buffer.byteLength(contentType);
  if (responseTopic !== undefined) bytes += 3 + Buffer.byteLength(responseTopic);
  if (correlationData !== undefined) bytes += 3 + correlationData.length;
  for (const [name, value] of userProperties ?? []) {
    bytes += 5 + Buffer.byteLength(name) + Buffer.byteLength(value);
  }
  return bytes;
}

function putProperties(into: Buffer, start: number, properties: MessageProperties): number {
  const { payloadFormatIndicator, messageExpiryInterval, userProperties } = properties;
  const { contentType, responseTopic, correlationData } = properties;
  let at = putVarint(into, start, propertyBytes(properties));
  if (payloadFormatIndicator !== undefined) {
    into[at++] = PAYLOAD_FORMAT_INDICATOR;
    into[at++] = payloadFormatIndicator ? 1 : 0;
  }
  if (messageExpiryInterval !== undefined) {
    into[at++] = MESSAGE_EXPIRY_INTERVAL;
    at = into.writeUInt32BE(messageExpiryInterval, at);
  }
  if (contentType !== undefined) {
    into[at++] = CONTENT_TYPE;
    at = putText(into, at, contentType);
  }
  if (responseTopic !== undefined) {
    into[at++] = RESPONSE_TOPIC;
    at = putText(into, at, responseTopic);
  }
  if (correlationData !== undefined) {
    into[at++] = CORRELATION_DATA;
    at = into.writeUInt16BE(correlationData.length, at);
    at += correlationData.copy(into, at);
  }
  for (const [name, value] of userProperties ?? []) {
    into[at++] = USER_PROPERTY;
    at = putText(into, putText(into, at, name), value);
  }
  return at;
}

function putText(into: Buffer, at: number, text: string): number {
  const bytes = into.write(text, at + 2, "utf8");
  into.writeUInt16BE(bytes, at);
  return at + 2 + bytes;
}

function putVarint(into: Buffer, start: number, value: number): number {
  let at = start;
  let rest = value;
  while (rest >= 0x80) {
    into[at++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  into[at++] = rest;
  return at;
}

/** Size of a Variable Byte Integer (MQTT 5.0 §1.5.5). */
function varintBytes(value: number): number {
  return value < 128 ? 1 : value < 16_384 ? 2 : value < 2_097_152 ? 3 : 4;
}
