import {
  type Bytes,
  bytes,
  frame,
  type Properties,
  propertyList,
  text,
  u16,
  type Version,
} from "./wire.ts";

export interface WillFields {
  readonly topic: string | Bytes;
  readonly payload?: string | Bytes;
  readonly qos?: number;
  readonly retain?: boolean;
  readonly properties?: Properties;
}

/** A CONNECT; what is left out is valid, and 3.1.1 leaves out all properties. */
export interface ConnectFields {
  readonly protocolName?: string;
  readonly level?: number;
  /** Connect Flags that replace the ones the other fields ask for. */
  readonly flags?: number;
  readonly cleanStart?: boolean;
  readonly keepAliveS?: number;
  readonly properties?: Properties;
  /** The property list with its length, in place of `properties`. */
  readonly rawProperties?: Bytes;
  readonly clientId?: string | Bytes;
  readonly will?: WillFields;
  readonly username?: string | Bytes;
  readonly password?: string | Bytes;
}

export interface PublishFields {
  readonly topic: string | Bytes;
  readonly payload?: string | Bytes;
  readonly qos?: number;
  readonly retain?: boolean;
  readonly dup?: boolean;
  readonly packetId?: number;
  readonly properties?: Properties;
  readonly rawProperties?: Bytes;
}

export interface FilterFields {
  readonly filter: string | Bytes;
  readonly qos?: number;
  readonly noLocal?: boolean;
  readonly retainAsPublished?: boolean;
  readonly retainHandling?: number;
  /** Subscription Options that replace the ones the other fields ask for. */
  readonly options?: number;
}

/** The properties of a packet: none in 3.1.1, in 5.0 at least the length 0. */
function properties(version: Version, fields: Properties = {}, raw?: Bytes): Bytes {
  if (version === "3.1.1") return [];
  return raw ?? propertyList(fields);
}

export function connectPacket(version: Version, fields: ConnectFields = {}): Buffer {
  const { will, username, password } = fields;
  return frame(
    0x10,
    text(fields.protocolName ?? "MQTT"),
    [fields.level ?? (version === "5.0" ? 5 : 4), fields.flags ?? connectFlags(fields)],
    u16(fields.keepAliveS ?? 0),
    properties(version, fields.properties, fields.rawProperties),
    text(fields.clientId ?? ""),
    will === undefined
      ? []
      : bytes(properties(version, will.properties), text(will.topic), text(will.payload ?? "")),
    username === undefined ? [] : text(username),
    password === undefined ? [] : text(password),
  );
}

function connectFlags({ cleanStart = true, will, username, password }: ConnectFields): number {
  const willFlags =
    will === undefined ? 0 : 0x04 | ((will.qos ?? 0) << 3) | (will.retain === true ? 0x20 : 0);
  return (
    (cleanStart ? 0x02 : 0) |
    willFlags |
    (username === undefined ? 0 : 0x80) |
    (password === undefined ? 0 : 0x40)
  );
}

export function publishPacket(version: Version, fields: PublishFields): Buffer {
  const { qos = 0, retain = false, dup = false, packetId = 0 } = fields;
  const payload = fields.payload ?? "";
  return frame(
    0x30 | (dup ? 8 : 0) | (qos << 1) | (retain ? 1 : 0),
    text(fields.topic),
    qos > 0 ? u16(packetId) : [],
    properties(version, fields.properties, fields.rawProperties),
    typeof payload === "string" ? Buffer.from(payload) : payload,
  );
}

export type AckType = "puback" | "pubrec" | "pubrel" | "pubcomp";

const ACK_FIRST = { puback: 0x40, pubrec: 0x50, pubrel: 0x62, pubcomp: 0x70 } as const;

/** In 5.0 the reason code is left out when it is 0 and there are no properties. */
export function ackPacket(type: AckType, packetId: number, code = 0, fields?: Properties): Buffer {
  const tail = code === 0 && fields === undefined ? [] : [code];
  const list = fields === undefined ? [] : propertyList(fields);
  return frame(ACK_FIRST[type], u16(packetId), tail, list);
}

export function subscribePacket(
  version: Version,
  packetId: number,
  filters: readonly FilterFields[],
  fields?: Properties,
): Buffer {
  const payload = filters.map((item) =>
    bytes(text(item.filter), [item.options ?? optionsOf(item)]),
  );
  return frame(0x82, u16(packetId), properties(version, fields), ...payload);
}

function optionsOf(fields: FilterFields): number {
  const { qos = 0, noLocal = false, retainAsPublished = false, retainHandling = 0 } = fields;
  return qos | (noLocal ? 4 : 0) | (retainAsPublished ? 8 : 0) | (retainHandling << 4);
}

export function unsubscribePacket(
  version: Version,
  packetId: number,
  filters: readonly (string | Bytes)[],
  fields?: Properties,
): Buffer {
  return frame(0xa2, u16(packetId), properties(version, fields), ...filters.map(text));
}

export const PINGREQ = frame(0xc0);

/** In 3.1.1 always without a body; in 5.0 the reason code is left out when it is 0 and alone. */
export function disconnectPacket(version: Version, code = 0, fields?: Properties): Buffer {
  if (version === "3.1.1" || (code === 0 && fields === undefined)) return frame(0xe0);
  return frame(0xe0, [code], fields === undefined ? [] : propertyList(fields));
}

export function authPacket(code: number, fields: Properties): Buffer {
  return frame(0xf0, [code], propertyList(fields));
}
