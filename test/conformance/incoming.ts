import { Cursor, must, WireFault } from "./cursor.ts";
import type { AckType } from "./packets.ts";
import { PROPERTIES, type Properties, type PropertyRow, TYPE, type Version } from "./wire.ts";

interface Packet<T extends string> {
  readonly type: T;
  /** All of it, the fixed header included. */
  readonly bytes: Buffer;
}

interface Connack extends Packet<"connack"> {
  readonly sessionPresent: boolean;
  readonly code: number;
  readonly properties: Properties;
}

interface Publish extends Packet<"publish"> {
  /** Empty where an alias stands for it. */
  readonly topic: string;
  /** 0 at QoS 0. */
  readonly packetId: number;
  readonly qos: number;
  readonly dup: boolean;
  readonly retain: boolean;
  readonly payload: Buffer;
  /** The payload as text. */
  readonly text: string;
  readonly properties: Properties;
}

interface Ack<T extends string> extends Packet<T> {
  readonly packetId: number;
  readonly code: number;
  readonly properties: Properties;
}

interface SubscriptionAck<T extends string> extends Packet<T> {
  readonly packetId: number;
  /** Empty in a 3.1.1 UNSUBACK. */
  readonly codes: readonly number[];
  readonly properties: Properties;
}

interface Reasoned<T extends string> extends Packet<T> {
  readonly code: number;
  readonly properties: Properties;
}

interface IncomingByType {
  readonly connack: Connack;
  readonly publish: Publish;
  readonly puback: Ack<"puback">;
  readonly pubrec: Ack<"pubrec">;
  readonly pubrel: Ack<"pubrel">;
  readonly pubcomp: Ack<"pubcomp">;
  readonly suback: SubscriptionAck<"suback">;
  readonly unsuback: SubscriptionAck<"unsuback">;
  readonly pingresp: Packet<"pingresp">;
  readonly disconnect: Reasoned<"disconnect">;
  readonly auth: Reasoned<"auth">;
}

export type IncomingType = keyof IncomingByType;
export type IncomingOf<T extends IncomingType> = IncomingByType[T];

/** A packet of the server, taken apart. */
export type Incoming = IncomingOf<IncomingType>;

export function isType<T extends IncomingType>(
  packet: Incoming,
  type: T,
): packet is IncomingOf<T> & Incoming {
  return packet.type === type;
}

/** Properties a server may put into each packet (MQTT 5.0 §2.2.2.2, [MQTT-3.14.2-2]). */
const SERVER_PROPERTIES: ReadonlyMap<number, readonly number[]> = new Map([
  [
    TYPE.connack,
    [
      0x11, 0x12, 0x13, 0x15, 0x16, 0x1a, 0x1c, 0x1f, 0x21, 0x22, 0x24, 0x25, 0x26, 0x27, 0x28,
      0x29, 0x2a,
    ],
  ],
  [TYPE.publish, [0x01, 0x02, 0x03, 0x08, 0x09, 0x0b, 0x23, 0x26]],
  [TYPE.puback, [0x1f, 0x26]],
  [TYPE.pubrec, [0x1f, 0x26]],
  [TYPE.pubrel, [0x1f, 0x26]],
  [TYPE.pubcomp, [0x1f, 0x26]],
  [TYPE.suback, [0x1f, 0x26]],
  [TYPE.unsuback, [0x1f, 0x26]],
  [TYPE.disconnect, [0x1c, 0x1f, 0x26]],
  [TYPE.auth, [0x15, 0x16, 0x1f, 0x26]],
]);

const CONNACK_CODES = [
  0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c, 0x90, 0x95, 0x97,
  0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9f,
];
const PUBLISH_CODES = [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
const RELEASE_CODES = [0x00, 0x92];
const SUBACK_CODES = [0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8f, 0x91, 0x97, 0x9e, 0xa1, 0xa2];
const UNSUBACK_CODES = [0x00, 0x11, 0x80, 0x83, 0x87, 0x8f, 0x91];
const DISCONNECT_CODES = [
  0x00, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8b, 0x8c, 0x8d, 0x8e, 0x8f, 0x90, 0x93, 0x94, 0x95,
  0x96, 0x97, 0x98, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f, 0xa0, 0xa1, 0xa2,
];
const AUTH_CODES = [0x00, 0x18];

/**
 * Takes apart one whole packet as strictly as the specification allows a client to.
 * @throws WireFault naming the rule the server broke.
 */
export function decode(version: Version, packet: Buffer): Incoming {
  const first = packet.readUInt8();
  const type = first >> 4;
  let body = 1;
  while ((packet[body] ?? 0) > 127) body++;
  const cursor = new Cursor(packet, body + 1);
  const flags = first & 15;
  if (type !== TYPE.publish) {
    must(
      flags === (type === TYPE.pubrel ? 2 : 0),
      "reserved flags have their values [MQTT-2.1.3-1]",
    );
  }
  const isV5 = version === "5.0";
  const read = reader(isV5, cursor, packet, type);
  const found = read(flags);
  must(cursor.isDone, "nothing follows the last field");
  return found;
}

function reader(
  isV5: boolean,
  cursor: Cursor,
  packet: Buffer,
  type: number,
): (flags: number) => Incoming {
  switch (type) {
    case TYPE.connack:
      return () => readConnack(isV5, cursor, packet);
    case TYPE.publish:
      return (flags) => readPublish(isV5, cursor, packet, flags);
    case TYPE.puback:
      return () => readAck(isV5, cursor, packet, "puback", PUBLISH_CODES);
    case TYPE.pubrec:
      return () => readAck(isV5, cursor, packet, "pubrec", PUBLISH_CODES);
    case TYPE.pubrel:
      return () => readAck(isV5, cursor, packet, "pubrel", RELEASE_CODES);
    case TYPE.pubcomp:
      return () => readAck(isV5, cursor, packet, "pubcomp", RELEASE_CODES);
    case TYPE.suback:
      return () => readSuback(isV5, cursor, packet);
    case TYPE.unsuback:
      return () => readUnsuback(isV5, cursor, packet);
    case TYPE.pingresp:
      return () => ({ type: "pingresp", bytes: packet });
    case TYPE.disconnect:
      must(isV5, "a 3.1.1 server sends no DISCONNECT");
      return () => readReasoned(cursor, packet, "disconnect", DISCONNECT_CODES);
    case TYPE.auth:
      must(isV5, "there is no AUTH in 3.1.1");
      return () => readReasoned(cursor, packet, "auth", AUTH_CODES);
    default:
      throw new WireFault(`the server broke a rule: a server sends no packet of type ${type}`);
  }
}

function readConnack(isV5: boolean, cursor: Cursor, packet: Buffer): Incoming {
  const flags = cursor.u8();
  must((flags & 0xfe) === 0, "CONNACK flags 7 to 1 are 0 [MQTT-3.2.2-1]");
  const code = cursor.u8();
  must(
    isV5 ? CONNACK_CODES.includes(code) : code <= 5,
    "CONNACK has a defined code [MQTT-3.2.2-8]",
  );
  const sessionPresent = flags === 1;
  must(code === 0 || !sessionPresent, "a refusal has Session Present 0 [MQTT-3.2.2-6]");
  const properties = isV5 ? readProperties(cursor, TYPE.connack) : {};
  return { type: "connack", sessionPresent, code, properties, bytes: packet };
}

function readPublish(isV5: boolean, cursor: Cursor, packet: Buffer, flags: number): Incoming {
  const qos = (flags >> 1) & 3;
  const dup = (flags & 8) !== 0;
  const retain = (flags & 1) !== 0;
  must(qos < 3, "QoS is 0, 1 or 2 [MQTT-3.3.1-4]");
  must(qos > 0 || !dup, "DUP is 0 at QoS 0 [MQTT-3.3.1-2]");
  const topic = cursor.text();
  must(!/[+#]/.test(topic), "a Topic Name holds no wildcard [MQTT-3.3.2-2]");
  const packetId = qos > 0 ? cursor.u16() : 0;
  must(qos === 0 || packetId > 0, "a Packet Identifier is not 0 [MQTT-2.2.1-4]");
  const properties = isV5 ? readProperties(cursor, TYPE.publish) : {};
  const { topicAlias } = properties;
  must(topicAlias !== 0, "a Topic Alias is not 0 [MQTT-3.3.2-8]");
  must(topic !== "" || topicAlias !== undefined, "a Topic Name is not empty [MQTT-4.7.3-1]");
  const payload = cursor.rest();
  return {
    type: "publish",
    topic,
    packetId,
    qos,
    dup,
    retain,
    payload,
    text: payload.toString(),
    properties,
    bytes: packet,
  };
}

function readAck(
  isV5: boolean,
  cursor: Cursor,
  packet: Buffer,
  type: AckType,
  codes: readonly number[],
): Incoming {
  const packetId = readPacketId(cursor);
  const code = isV5 && !cursor.isDone ? cursor.u8() : 0;
  must(codes.includes(code), `${type} has a defined Reason Code`);
  const properties = isV5 && !cursor.isDone ? readProperties(cursor, TYPE[type]) : {};
  return { type, packetId, code, properties, bytes: packet };
}

function readReasoned(
  cursor: Cursor,
  packet: Buffer,
  type: "disconnect" | "auth",
  codes: readonly number[],
): Incoming {
  const code = cursor.isDone ? 0 : cursor.u8();
  must(codes.includes(code), `${type} has a defined Reason Code`);
  const properties = cursor.isDone ? {} : readProperties(cursor, TYPE[type]);
  return { type, code, properties, bytes: packet };
}

function readSuback(isV5: boolean, cursor: Cursor, packet: Buffer): Incoming {
  const packetId = readPacketId(cursor);
  const properties = isV5 ? readProperties(cursor, TYPE.suback) : {};
  const codes = [...cursor.rest()];
  const allowed = isV5 ? SUBACK_CODES : [0, 1, 2, 0x80];
  must(
    codes.every((code) => allowed.includes(code)),
    "SUBACK has defined codes [MQTT-3.9.3-2]",
  );
  must(codes.length > 0, "SUBACK has a code for each filter [MQTT-3.8.4-6]");
  return { type: "suback", packetId, codes, properties, bytes: packet };
}

function readUnsuback(isV5: boolean, cursor: Cursor, packet: Buffer): Incoming {
  const packetId = readPacketId(cursor);
  const properties = isV5 ? readProperties(cursor, TYPE.unsuback) : {};
  const codes = isV5 ? [...cursor.rest()] : [];
  must(
    codes.every((code) => UNSUBACK_CODES.includes(code)),
    "UNSUBACK has defined codes [MQTT-3.11.3-2]",
  );
  return { type: "unsuback", packetId, codes, properties, bytes: packet };
}

function readPacketId(cursor: Cursor): number {
  const packetId = cursor.u16();
  must(packetId > 0, "a Packet Identifier is not 0");
  return packetId;
}

function readProperties(cursor: Cursor, type: number): Properties {
  const list = new Cursor(cursor.take(cursor.varint()), 0);
  const found: Properties = {};
  while (!list.isDone) {
    const id = list.varint();
    const row = PROPERTIES.find((candidate) => candidate.id === id);
    must(row !== undefined, `there is no property 0x${id.toString(16)}`);
    must(
      SERVER_PROPERTIES.get(type)?.includes(id) === true,
      `${row.name} may stand in this packet`,
    );
    readProperty(list, row, found);
  }
  return found;
}

function readProperty(list: Cursor, { name, kind }: PropertyRow, into: Properties): void {
  if (kind === "pair") {
    into.userProperties ??= [];
    into.userProperties.push([list.text(), list.text()]);
    return;
  }
  if (kind === "varint") {
    const id = list.varint();
    must(id > 0, "a Subscription Identifier is not 0");
    into.subscriptionIdentifiers ??= [];
    into.subscriptionIdentifiers.push(id);
    return;
  }
  must(into[name] === undefined, `${name} is given once`);
  const value = {
    u8: () => list.u8(),
    u16: () => list.u16(),
    u32: () => list.u32(),
    text: () => list.text(),
    binary: () => list.binary(),
  }[kind]();
  Object.assign(into, { [name]: value });
}
