import { PACKET } from "./packet-types.ts";
import { ByteSink, Reader } from "./primitives.ts";
import { malformed, protocolError } from "./reason-codes.ts";

/** Where a property may stand: the packet's type, or a will's own list. */
export const WILL = 0;

/** All properties of MQTT 5.0 §2.2.2.2; absent ones are left out. */
export interface Properties {
  payloadFormatIndicator?: number;
  /** Seconds. */
  messageExpiryInterval?: number;
  contentType?: string;
  responseTopic?: string;
  correlationData?: Buffer;
  subscriptionIdentifiers?: number[];
  /** Seconds; 0xFFFFFFFF = never. */
  sessionExpiryInterval?: number;
  assignedClientIdentifier?: string;
  serverKeepAlive?: number;
  authenticationMethod?: string;
  authenticationData?: Buffer;
  requestProblemInformation?: number;
  /** Seconds. */
  willDelayInterval?: number;
  requestResponseInformation?: number;
  responseInformation?: string;
  serverReference?: string;
  reasonString?: string;
  receiveMaximum?: number;
  topicAliasMaximum?: number;
  topicAlias?: number;
  maximumQoS?: number;
  retainAvailable?: number;
  userProperties?: [string, string][];
  maximumPacketSize?: number;
  wildcardSubscriptionAvailable?: number;
  subscriptionIdentifierAvailable?: number;
  sharedSubscriptionAvailable?: number;
}

type Kind = "flag" | "u8" | "u16" | "u32" | "varint" | "text" | "binary" | "pair";

interface PropertyRow {
  readonly id: number;
  readonly name: keyof Properties;
  readonly kind: Kind;
  /** Packets that may carry it. */
  readonly packets: readonly number[];
  /** A value of 0 is a Protocol Error. */
  readonly isNeverZero?: true;
}

const { connect, connack, publish, puback, pubrec, pubrel, pubcomp, subscribe, suback } = PACKET;
const { unsubscribe, unsuback, disconnect, auth } = PACKET;
const ACKS = [puback, pubrec, pubrel, pubcomp, suback, unsuback];

/** MQTT 5.0 §2.2.2.2, table 2-4. */
const TABLE: readonly PropertyRow[] = [
  { id: 0x01, name: "payloadFormatIndicator", kind: "flag", packets: [publish, WILL] },
  { id: 0x02, name: "messageExpiryInterval", kind: "u32", packets: [publish, WILL] },
  { id: 0x03, name: "contentType", kind: "text", packets: [publish, WILL] },
  { id: 0x08, name: "responseTopic", kind: "text", packets: [publish, WILL] },
  { id: 0x09, name: "correlationData", kind: "binary", packets: [publish, WILL] },
  {
    id: 0x0b,
    name: "subscriptionIdentifiers",
    kind: "varint",
    packets: [publish, subscribe],
    isNeverZero: true,
  },
  { id: 0x11, name: "sessionExpiryInterval", kind: "u32", packets: [connect, connack, disconnect] },
  { id: 0x12, name: "assignedClientIdentifier", kind: "text", packets: [connack] },
  { id: 0x13, name: "serverKeepAlive", kind: "u16", packets: [connack] },
  { id: 0x15, name: "authenticationMethod", kind: "text", packets: [connect, connack, auth] },
  { id: 0x16, name: "authenticationData", kind: "binary", packets: [connect, connack, auth] },
  { id: 0x17, name: "requestProblemInformation", kind: "flag", packets: [connect] },
  { id: 0x18, name: "willDelayInterval", kind: "u32", packets: [WILL] },
  { id: 0x19, name: "requestResponseInformation", kind: "flag", packets: [connect] },
  { id: 0x1a, name: "responseInformation", kind: "text", packets: [connack] },
  { id: 0x1c, name: "serverReference", kind: "text", packets: [connack, disconnect] },
  { id: 0x1f, name: "reasonString", kind: "text", packets: [connack, ...ACKS, disconnect, auth] },
  { id: 0x21, name: "receiveMaximum", kind: "u16", packets: [connect, connack], isNeverZero: true },
  { id: 0x22, name: "topicAliasMaximum", kind: "u16", packets: [connect, connack] },
  { id: 0x23, name: "topicAlias", kind: "u16", packets: [publish] },
  { id: 0x24, name: "maximumQoS", kind: "flag", packets: [connack] },
  { id: 0x25, name: "retainAvailable", kind: "flag", packets: [connack] },
  {
    id: 0x26,
    name: "userProperties",
    kind: "pair",
    packets: [connect, connack, publish, WILL, ...ACKS, subscribe, unsubscribe, disconnect, auth],
  },
  {
    id: 0x27,
    name: "maximumPacketSize",
    kind: "u32",
    packets: [connect, connack],
    isNeverZero: true,
  },
  { id: 0x28, name: "wildcardSubscriptionAvailable", kind: "flag", packets: [connack] },
  { id: 0x29, name: "subscriptionIdentifierAvailable", kind: "flag", packets: [connack] },
  { id: 0x2a, name: "sharedSubscriptionAvailable", kind: "flag", packets: [connack] },
];

const BY_ID: readonly (PropertyRow | undefined)[] = Array.from({ length: 0x2b }, (_, id) =>
  TABLE.find((row) => row.id === id),
);

/** User Properties of one packet; more is a Protocol Error of this server, to bound CPU and memory. */
const MAX_USER_PROPERTIES = 1000;

/**
 * Reads the property list of a packet.
 * @throws PacketFault 0x81 for an unknown id, a property that the packet may not carry or a broken
 * value; 0x82 for a doubled one or a value out of range (MQTT 5.0 §2.2.2.2).
 */
export function readProperties(reader: Reader, packetType: number): Properties {
  const length = reader.varint();
  const end = reader.pos + length;
  if (end > reader.end) throw malformed("properties are longer than the packet");
  const list = new Reader(reader.buf, reader.pos, end);
  const properties: Properties = {};
  while (!list.isDone) readProperty(list, packetType, properties);
  reader.pos = end;
  return properties;
}

function readProperty(list: Reader, packetType: number, into: Properties): void {
  const row = BY_ID[list.varint()];
  if (row === undefined) throw malformed("unknown property");
  if (!row.packets.includes(packetType)) throw malformed(`${row.name} may not stand here`);
  if (row.kind === "pair") {
    into.userProperties ??= [];
    const pair: [string, string] = [list.text(), list.text()];
    if (into.userProperties.push(pair) > MAX_USER_PROPERTIES) {
      throw protocolError("too many user properties");
    }
    return;
  }
  if (into[row.name] !== undefined) throw protocolError(`${row.name} is given twice`);
  const value = readValue(list, row);
  if (row.isNeverZero && value === 0) throw protocolError(`${row.name} is 0`);
  Object.assign(into, { [row.name]: row.kind === "varint" ? [value] : value });
}

function readValue(list: Reader, row: PropertyRow): number | string | Buffer {
  switch (row.kind) {
    case "flag": {
      const value = list.u8();
      if (value > 1) throw protocolError(`${row.name} is neither 0 nor 1`);
      return value;
    }
    case "u8":
      return list.u8();
    case "u16":
      return list.u16();
    case "u32":
      return list.u32();
    case "varint":
      return list.varint();
    case "text":
      return list.text();
    case "binary":
    case "pair":
      return list.binary();
  }
}

/** Appends a property list, its length first. */
export function writeProperties(sink: ByteSink, properties: Properties): void {
  const list = propertyBytes(properties);
  sink.varint(list.length).bytes(list);
}

/** The list without its length; user properties keep their order ([MQTT-3.3.2-18]). */
export function propertyBytes(properties: Properties): Buffer {
  const sink = new ByteSink();
  for (const row of TABLE) {
    const value = properties[row.name];
    if (value === undefined) continue;
    if (Array.isArray(value)) {
      for (const member of value) writeValue(sink.varint(row.id), row.kind, member);
    } else {
      writeValue(sink.varint(row.id), row.kind, value);
    }
  }
  return sink.finish();
}

function writeValue(
  sink: ByteSink,
  kind: Kind,
  value: number | string | Buffer | [string, string],
): void {
  if (typeof value === "number") {
    if (kind === "varint") sink.varint(value);
    else if (kind === "u32") sink.u32(value);
    else if (kind === "u16") sink.u16(value);
    else sink.u8(value);
  } else if (typeof value === "string") {
    sink.text(value);
  } else if (Buffer.isBuffer(value)) {
    sink.binary(value);
  } else {
    sink.text(value[0]).text(value[1]);
  }
}
