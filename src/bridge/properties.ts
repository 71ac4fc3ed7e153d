import type { IPublishPacket } from "mqtt";
import type { MessageProperties, QoS } from "../mqtt/index.ts";

/** The PUBLISH properties as MQTT.js takes and gives them. */
export type WireProperties = NonNullable<IPublishPacket["properties"]>;

const MAX_UINT32 = 0xffff_ffff;

/**
 * Properties for the wire. MQTT.js keeps user properties in an object, so of several with
 * different names the order is that of first appearance, and names that are whole numbers come
 * first.
 */
export function toWire(
  properties: MessageProperties | undefined,
  expiryS: number | undefined,
): WireProperties {
  const { payloadFormatIndicator, contentType, responseTopic, correlationData } = properties ?? {};
  const userProperties = properties?.userProperties ?? [];
  return {
    ...(payloadFormatIndicator !== undefined && { payloadFormatIndicator }),
    ...(expiryS !== undefined && { messageExpiryInterval: expiryS }),
    ...(contentType !== undefined && { contentType }),
    ...(responseTopic !== undefined && { responseTopic }),
    ...(correlationData !== undefined && { correlationData }),
    ...(userProperties.length > 0 && { userProperties: grouped(userProperties) }),
  };
}

/** Properties from the wire; whatever a hostile server made of them, only sound ones are kept. */
export function fromWire(wire: WireProperties | undefined): MessageProperties | undefined {
  if (wire === undefined) return undefined;
  const {
    payloadFormatIndicator,
    messageExpiryInterval,
    contentType,
    responseTopic,
    correlationData,
    userProperties,
  } = wire;
  const properties: MessageProperties = {
    ...(typeof payloadFormatIndicator === "boolean" && { payloadFormatIndicator }),
    ...(isUint32(messageExpiryInterval) && { messageExpiryInterval }),
    ...(typeof contentType === "string" && { contentType }),
    ...(typeof responseTopic === "string" && { responseTopic }),
    ...(Buffer.isBuffer(correlationData) && { correlationData }),
    ...(userProperties !== undefined && { userProperties: pairs(userProperties) }),
  };
  return Object.keys(properties).length > 0 ? properties : undefined;
}

/** The subscription identifiers a PUBLISH carries (MQTT 5.0 §3.3.2.3.8). */
export function subscriptionIds(wire: WireProperties | undefined): readonly number[] {
  const ids: unknown = wire?.subscriptionIdentifier;
  const list: readonly unknown[] = Array.isArray(ids) ? ids : [ids];
  return list.filter((id) => typeof id === "number");
}

/** Size of an MQTT 5.0 PUBLISH, what Maximum Packet Size is about (§3.1.2.11.4). */
export function publishBytes(
  packet: { readonly topic: string; readonly payload: Buffer; readonly qos: QoS },
  wire: WireProperties,
): number {
  const packetId = packet.qos > 0 ? 2 : 0;
  const properties = propertyBytes(wire);
  const remaining =
    2 +
    Buffer.byteLength(packet.topic) +
    packetId +
    lengthBytes(properties) +
    properties +
    packet.payload.length;
  return 1 + lengthBytes(remaining) + remaining;
}

function propertyBytes(wire: WireProperties): number {
  let bytes = 0;
  if (wire.payloadFormatIndicator !== undefined) bytes += 2;
  if (wire.messageExpiryInterval !== undefined) bytes += 5;
  if (wire.contentType !== undefined) bytes += 3 + Buffer.byteLength(wire.contentType);
  if (wire.responseTopic !== undefined) bytes += 3 + Buffer.byteLength(wire.responseTopic);
  if (wire.correlationData !== undefined) bytes += 3 + wire.correlationData.length;
  for (const [name, value] of pairs(wire.userProperties ?? {})) {
    bytes += 5 + Buffer.byteLength(name) + Buffer.byteLength(value);
  }
  return bytes;
}

/** Size of a Variable Byte Integer (§1.5.5). */
function lengthBytes(value: number): number {
  return value < 128 ? 1 : value < 16_384 ? 2 : value < 2_097_152 ? 3 : 4;
}

function grouped(list: NonNullable<MessageProperties["userProperties"]>): Record<string, string[]> {
  const byName: Record<string, string[]> = Object.create(null);
  for (const [name, value] of list) {
    const values = byName[name];
    if (values === undefined) byName[name] = [value];
    else values.push(value);
  }
  return byName;
}

function pairs(
  userProperties: NonNullable<WireProperties["userProperties"]>,
): readonly (readonly [string, string])[] {
  return Object.entries(userProperties).flatMap(([name, values]) =>
    [values]
      .flat()
      .filter((value) => typeof value === "string")
      .map((value) => [name, value] as const),
  );
}

function isUint32(value: unknown): value is number {
  return Number.isInteger(value) && Number(value) >= 0 && Number(value) <= MAX_UINT32;
}
