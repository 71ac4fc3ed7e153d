/** The two protocol versions whose statements are tested. */
export type Version = "3.1.1" | "5.0";

/** Bytes in any form a test writes them. */
export type Bytes = Uint8Array | readonly number[];

/** Control packet types (MQTT 5.0 §2.1.2). */
export const TYPE = {
  connect: 1,
  connack: 2,
  publish: 3,
  puback: 4,
  pubrec: 5,
  pubrel: 6,
  pubcomp: 7,
  subscribe: 8,
  suback: 9,
  unsubscribe: 10,
  unsuback: 11,
  pingreq: 12,
  pingresp: 13,
  disconnect: 14,
  auth: 15,
} as const;

export function bytes(...parts: readonly Bytes[]): Buffer {
  return Buffer.concat(parts.map((part) => Uint8Array.from(part)));
}

export function u16(value: number): Buffer {
  return Buffer.from([value >> 8, value & 0xff]);
}

function u32(value: number): Buffer {
  const out = Buffer.alloc(4);
  out.writeUInt32BE(value);
  return out;
}

/** A Variable Byte Integer in `size` bytes, its shortest form unless a longer one is asked for. */
export function varint(value: number, size = 1): Buffer {
  const out: number[] = [];
  let rest = value;
  do {
    const digit = rest % 128;
    rest = Math.floor(rest / 128);
    out.push(rest > 0 || out.length + 1 < size ? digit + 128 : digit);
  } while (rest > 0 || out.length < size);
  return Buffer.from(out);
}

/** A length-prefixed string or binary field; bytes are taken as they are. */
export function text(value: string | Bytes): Buffer {
  const content = typeof value === "string" ? Buffer.from(value) : bytes(value);
  return bytes(u16(content.length), content);
}

/** A whole packet: first byte, Remaining Length in its shortest form, body. */
export function frame(first: number, ...parts: readonly Bytes[]): Buffer {
  const body = bytes(...parts);
  return bytes([first], varint(body.length), body);
}

type Kind = "u8" | "u16" | "u32" | "varint" | "text" | "binary" | "pair";

/** Properties by the specification's names (MQTT 5.0 §2.2.2.2). */
export interface Properties {
  payloadFormatIndicator?: number;
  messageExpiryInterval?: number;
  contentType?: string;
  responseTopic?: string;
  correlationData?: Buffer;
  /** One in a SUBSCRIBE, any number in a PUBLISH. */
  subscriptionIdentifiers?: number[];
  sessionExpiryInterval?: number;
  assignedClientIdentifier?: string;
  serverKeepAlive?: number;
  authenticationMethod?: string;
  authenticationData?: Buffer;
  requestProblemInformation?: number;
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

export interface PropertyRow {
  readonly id: number;
  readonly name: keyof Properties;
  readonly kind: Kind;
}

/** MQTT 5.0 §2.2.2.2, table 2-4. */
export const PROPERTIES: readonly PropertyRow[] = [
  { id: 0x01, name: "payloadFormatIndicator", kind: "u8" },
  { id: 0x02, name: "messageExpiryInterval", kind: "u32" },
  { id: 0x03, name: "contentType", kind: "text" },
  { id: 0x08, name: "responseTopic", kind: "text" },
  { id: 0x09, name: "correlationData", kind: "binary" },
  { id: 0x0b, name: "subscriptionIdentifiers", kind: "varint" },
  { id: 0x11, name: "sessionExpiryInterval", kind: "u32" },
  { id: 0x12, name: "assignedClientIdentifier", kind: "text" },
  { id: 0x13, name: "serverKeepAlive", kind: "u16" },
  { id: 0x15, name: "authenticationMethod", kind: "text" },
  { id: 0x16, name: "authenticationData", kind: "binary" },
  { id: 0x17, name: "requestProblemInformation", kind: "u8" },
  { id: 0x18, name: "willDelayInterval", kind: "u32" },
  { id: 0x19, name: "requestResponseInformation", kind: "u8" },
  { id: 0x1a, name: "responseInformation", kind: "text" },
  { id: 0x1c, name: "serverReference", kind: "text" },
  { id: 0x1f, name: "reasonString", kind: "text" },
  { id: 0x21, name: "receiveMaximum", kind: "u16" },
  { id: 0x22, name: "topicAliasMaximum", kind: "u16" },
  { id: 0x23, name: "topicAlias", kind: "u16" },
  { id: 0x24, name: "maximumQoS", kind: "u8" },
  { id: 0x25, name: "retainAvailable", kind: "u8" },
  { id: 0x26, name: "userProperties", kind: "pair" },
  { id: 0x27, name: "maximumPacketSize", kind: "u32" },
  { id: 0x28, name: "wildcardSubscriptionAvailable", kind: "u8" },
  { id: 0x29, name: "subscriptionIdentifierAvailable", kind: "u8" },
  { id: 0x2a, name: "sharedSubscriptionAvailable", kind: "u8" },
];

/** A property list behind its length. */
export function propertyList(properties: Properties): Buffer {
  const parts: Buffer[] = [];
  for (const { id, name, kind } of PROPERTIES) {
    const value = properties[name];
    if (value === undefined) continue;
    const members = Array.isArray(value) ? value : [value];
    for (const member of members) parts.push(Buffer.from([id]), valueBytes(kind, member));
  }
  const list = bytes(...parts);
  return bytes(varint(list.length), list);
}

function valueBytes(kind: Kind, value: number | string | Buffer | [string, string]): Buffer {
  if (typeof value === "string") return text(value);
  if (Buffer.isBuffer(value)) return text(value);
  if (typeof value !== "number") return bytes(text(value[0]), text(value[1]));
  if (kind === "u16") return u16(value);
  if (kind === "u32") return u32(value);
  return kind === "varint" ? varint(value) : Buffer.from([value]);
}
