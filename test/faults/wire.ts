/**
 * MQTT's bytes as a client writes and reads them, on purpose not the gateway's own codec: an error
 * both would share could not be seen.
 */

export type Version = 4 | 5;
export type QoS = 0 | 1 | 2;

export const PACKET = {
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

/** Property identifiers, MQTT 5 §2.2.2.2. */
export const PROPERTY = {
  messageExpiryS: 0x02,
  sessionExpiryS: 0x11,
  receiveMaximum: 0x21,
  userProperty: 0x26,
} as const;

/** A whole packet as it was read. */
export interface Packet {
  readonly type: number;
  readonly flags: number;
  /** Everything behind the Remaining Length. */
  readonly body: Buffer;
}

/** A PUBLISH as it was read. */
export interface Publication {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: number;
  readonly retain: boolean;
  readonly dup: boolean;
  /** 0 with QoS 0. */
  readonly packetId: number;
  readonly properties: Properties;
}

/** The numeric properties of a packet, by identifier. */
export type Properties = ReadonlyMap<number, number>;

export function uint16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** A string or binary with its two-byte length. */
export function prefixed(value: string | Buffer): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([uint16(bytes.length), bytes]);
}

/** A Variable Byte Integer, MQTT 5 §1.5.5. */
export function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  do {
    const more = rest > 127 ? 128 : 0;
    bytes.push((rest % 128) | more);
    rest = Math.floor(rest / 128);
  } while (rest > 0);
  return Buffer.from(bytes);
}

export function frame(type: number, flags: number, ...parts: readonly Buffer[]): Buffer {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  return Buffer.concat([Buffer.from([(type << 4) | flags]), varint(length), ...parts]);
}

/** Properties with their length, or nothing where the version has none. */
export function properties(version: Version, entries: readonly Buffer[] = []): Buffer {
  if (version === 4) return Buffer.alloc(0);
  const all = Buffer.concat(entries);
  return Buffer.concat([varint(all.length), all]);
}

/** One four-byte property. */
export function property32(id: number, value: number): Buffer {
  return Buffer.concat([Buffer.from([id]), uint32(value)]);
}

export function connectFrame(options: {
  readonly clientId: string;
  readonly version: Version;
  readonly isClean: boolean;
  readonly keepAliveS?: number;
  readonly sessionExpiryS?: number | undefined;
}): Buffer {
  const { clientId, version, isClean, keepAliveS = 0, sessionExpiryS } = options;
  const entries =
    sessionExpiryS === undefined ? [] : [property32(PROPERTY.sessionExpiryS, sessionExpiryS)];
  return frame(
    PACKET.connect,
    0,
    prefixed("MQTT"),
    Buffer.from([version, isClean ? 2 : 0]),
    uint16(keepAliveS),
    properties(version, entries),
    prefixed(clientId),
  );
}

export function publishFrame(
  version: Version,
  message: {
    readonly topic: string;
    readonly payload: Buffer;
    readonly qos: QoS;
    readonly packetId: number;
    readonly retain?: boolean | undefined;
    readonly dup?: boolean;
    readonly properties?: readonly Buffer[] | undefined;
  },
): Buffer {
  const { topic, payload, qos, packetId, retain = false, dup = false } = message;
  const flags = (dup ? 8 : 0) | (qos << 1) | (retain ? 1 : 0);
  const id = qos === 0 ? Buffer.alloc(0) : uint16(packetId);
  const props = properties(version, message.properties);
  return frame(PACKET.publish, flags, prefixed(topic), id, props, payload);
}

/** PUBACK, PUBREC, PUBREL or PUBCOMP of success, whose short form is the same in both versions. */
export function ackFrame(type: number, packetId: number): Buffer {
  return frame(type, type === PACKET.pubrel ? 2 : 0, uint16(packetId));
}

export function subscribeFrame(
  version: Version,
  packetId: number,
  filters: readonly string[],
  qos: QoS,
): Buffer {
  const wanted = filters.map((filter) => Buffer.concat([prefixed(filter), Buffer.from([qos])]));
  return frame(PACKET.subscribe, 2, uint16(packetId), properties(version), ...wanted);
}

export const PINGREQ = frame(PACKET.pingreq, 0);
export const DISCONNECT = frame(PACKET.disconnect, 0);

/** Cuts a stream of bytes into packets. */
export class PacketReader {
  #rest: Buffer = Buffer.alloc(0);

  /** The packets that are complete now. */
  push(chunk: Buffer): Packet[] {
    const data = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const packets: Packet[] = [];
    let at = 0;
    for (;;) {
      const length = readVarint(data, at + 1);
      if (length === null || data.length < length.end + length.value) break;
      const first = data.readUInt8(at);
      const end = length.end + length.value;
      packets.push({ type: first >> 4, flags: first & 15, body: data.subarray(length.end, end) });
      at = end;
    }
    this.#rest = data.subarray(at);
    return packets;
  }
}

export function readPublish({ flags, body }: Packet, version: Version): Publication {
  const qos = (flags >> 1) & 3;
  const topicEnd = 2 + body.readUInt16BE(0);
  const idEnd = topicEnd + (qos === 0 ? 0 : 2);
  const found = version === 5 ? readProperties(body, idEnd) : { properties: NONE, end: idEnd };
  return {
    topic: body.toString("utf8", 2, topicEnd),
    payload: body.subarray(found.end),
    qos,
    retain: (flags & 1) === 1,
    dup: (flags & 8) === 8,
    packetId: qos === 0 ? 0 : body.readUInt16BE(topicEnd),
    properties: found.properties,
  };
}

/** Session Present, the return or reason code, and the properties of a CONNACK. */
export function readConnack({ body }: Packet, version: Version) {
  return {
    isSessionPresent: (body.readUInt8(0) & 1) === 1,
    code: body.readUInt8(1),
    // A server that does not know the version refuses without.
    properties: version === 5 && body.length > 2 ? readProperties(body, 2).properties : NONE,
  };
}

/** The reason codes of a SUBACK. */
export function readSuback({ body }: Packet, version: Version): readonly number[] {
  return [...body.subarray(version === 5 ? readProperties(body, 2).end : 2)];
}

const NONE: Properties = new Map();

/** How a property's value is written, MQTT 5 §2.2.2.2; what is not listed here is a string or binary. */
const SIZES = new Map<number, number | "varint" | "pair">([
  ...[0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2a].map((id): [number, number] => [id, 1]),
  ...[0x13, 0x21, 0x22, 0x23].map((id): [number, number] => [id, 2]),
  ...[0x02, 0x11, 0x18, 0x27].map((id): [number, number] => [id, 4]),
  [0x0b, "varint"],
  [0x26, "pair"],
]);

function readProperties(data: Buffer, start: number): { properties: Properties; end: number } {
  const length = readVarint(data, start);
  if (length === null) throw new Error("properties without a length");
  const end = length.end + length.value;
  const found = new Map<number, number>();
  let at = length.end;
  while (at < end) {
    const id = data.readUInt8(at++);
    const size = SIZES.get(id);
    if (typeof size === "number") {
      found.set(id, data.readUIntBE(at, size));
      at += size;
    } else if (size === "varint") {
      at = readVarint(data, at)?.end ?? end;
    } else {
      at += 2 + data.readUInt16BE(at);
      if (size === "pair") at += 2 + data.readUInt16BE(at);
    }
  }
  return { properties: found, end };
}

function readVarint(data: Buffer, start: number): { value: number; end: number } | null {
  let value = 0;
  for (let n = 0; n < 4 && start + n < data.length; n++) {
    const byte = data.readUInt8(start + n);
    value += (byte & 127) * 128 ** n;
    if (byte < 128) return { value, end: start + n + 1 };
  }
  return null;
}
