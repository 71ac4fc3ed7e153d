import {
  isQoS,
  type Message,
  type MessageProperties,
  type Origin,
  type QoS,
  type Topic,
  topic,
} from "../mqtt/index.ts";
import type { Connect } from "./codec/index.ts";
import type { Connection } from "./connection.ts";

/** What a hook may change of a message. */
export interface MessageChange {
  readonly topic: Topic;
  readonly payload: Buffer;
  readonly retain: boolean;
}

/** A message as mqtt-packet, and so aedes's hooks and events, write it. */
export function packetOf(message: Message): Record<string, unknown> {
  const { topic: name, payload, qos, retain, properties, origin } = message;
  return {
    cmd: "publish",
    topic: name,
    payload,
    qos,
    retain,
    dup: false,
    ...(origin.kind === "client" ? { clientId: origin.clientId } : {}),
    ...(properties === undefined ? {} : { properties: wireProperties(properties) }),
  };
}

/**
 * A message somebody gave as such a packet.
 * @throws GatewayError MQTT_TOPIC_INVALID; TypeError for a packet that is none.
 */
export function messageOf(packet: object, origin: Origin = { kind: "system" }): Message {
  const read = (name: string): unknown => Reflect.get(packet, name);
  const name = read("topic");
  const qos = read("qos") ?? 0;
  if (typeof name !== "string" || !isQoS(qos)) throw new TypeError("not a PUBLISH packet");
  const properties = messageProperties(read("properties"));
  return {
    topic: topic(name),
    payload: payloadOf(read("payload") ?? ""),
    qos,
    retain: read("retain") === true,
    ...(properties === null ? {} : { properties }),
    origin,
  };
}

/**
 * What a hook has changed of the packet made of `message`; null = nothing.
 * @throws GatewayError MQTT_TOPIC_INVALID; TypeError for a packet that is none.
 */
export function changeOf(message: Message, packet: object): MessageChange | null {
  const name: unknown = Reflect.get(packet, "topic");
  const payload: unknown = Reflect.get(packet, "payload");
  const retain = Reflect.get(packet, "retain") === true;
  if (name === message.topic && payload === message.payload && retain === message.retain) {
    return null;
  }
  if (typeof name !== "string") throw new TypeError("not a PUBLISH packet");
  return { topic: topic(name), payload: payloadOf(payload ?? ""), retain };
}

/** A subscription a hook has granted, with what it changed; null = refused. */
export function grantOf(granted: unknown): { readonly topic: string; readonly qos: QoS } | null {
  if (typeof granted !== "object" || granted === null) return null;
  const name: unknown = Reflect.get(granted, "topic");
  const qos: unknown = Reflect.get(granted, "qos");
  return typeof name === "string" && isQoS(qos) ? { topic: name, qos } : null;
}

export function connectOf(connection: Connection, connect: Connect): object {
  return {
    cmd: "connect",
    protocolId: connect.version === 3 ? "MQIsdp" : "MQTT",
    protocolVersion: connect.version,
    clean: connect.cleanStart,
    clientId: connection.clientId,
    keepalive: connect.keepAliveS,
    username: connect.username ?? undefined,
    password: connect.password ?? undefined,
    will: connect.will ?? undefined,
    properties: connect.properties,
  };
}

function payloadOf(payload: unknown): Buffer {
  if (typeof payload === "string") return Buffer.from(payload);
  if (Buffer.isBuffer(payload)) return payload;
  throw new TypeError("payload is neither text nor Buffer");
}

/** mqtt-packet has user properties by name, which loses their order between names. */
function wireProperties({ userProperties, ...rest }: MessageProperties): object {
  if (userProperties === undefined) return rest;
  const byName = new Map<string, string | string[]>();
  for (const [name, value] of userProperties) {
    const known = byName.get(name);
    byName.set(name, known === undefined ? value : [known, value].flat());
  }
  return { ...rest, userProperties: nullPrototype(byName) };
}

function nullPrototype<T>(entries: Iterable<readonly [string, T]>): Record<string, T> {
  const record: Record<string, T> = Object.create(null);
  for (const [name, value] of entries) record[name] = value;
  return record;
}

/** The properties of such a packet; what is not of its kind is left out. */
function messageProperties(given: unknown): MessageProperties | null {
  if (typeof given !== "object" || given === null) return null;
  const read = (name: string): unknown => Reflect.get(given, name);
  const isUtf8 = read("payloadFormatIndicator");
  const expiry = read("messageExpiryInterval");
  const contentType = read("contentType");
  const responseTopic = read("responseTopic");
  const correlationData = read("correlationData");
  const userProperties = pairsOf(read("userProperties"));
  const properties: MessageProperties = {
    ...(typeof isUtf8 === "boolean" ? { payloadFormatIndicator: isUtf8 } : {}),
    ...(typeof expiry === "number" ? { messageExpiryInterval: expiry } : {}),
    ...(typeof contentType === "string" ? { contentType } : {}),
    ...(typeof responseTopic === "string" ? { responseTopic } : {}),
    ...(Buffer.isBuffer(correlationData) ? { correlationData } : {}),
    ...(userProperties.length === 0 ? {} : { userProperties }),
  };
  return Object.keys(properties).length === 0 ? null : properties;
}

/** User properties by name, as mqtt-packet has them, or as pairs in their order. */
function pairsOf(given: unknown): readonly (readonly [string, string])[] {
  if (typeof given !== "object" || given === null) return [];
  const entries: readonly unknown[] = Array.isArray(given)
    ? given
    : Object.entries(given).flatMap(([name, values]) =>
        [values].flat().map((value: unknown) => [name, value]),
      );
  const pairs: [string, string][] = [];
  for (const entry of entries) {
    const [name, value]: readonly unknown[] = Array.isArray(entry) ? entry : [];
    if (typeof name === "string" && typeof value === "string") pairs.push([name, value]);
  }
  return pairs;
}
