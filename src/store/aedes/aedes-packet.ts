import { deserialize, serialize } from "node:v8";
import type {
  MessageProperties,
  QoS,
  QueueEntry,
  StoredMessage,
  StoredSubscription,
  Topic,
  TopicFilter,
} from "../../mqtt/index.ts";
import { isQoS } from "../../mqtt/index.ts";

/** A packet as aedes passes it to a persistence: of mqtt-packet's shape, with aedes's own fields. */
export interface AedesPacket {
  cmd?: string;
  topic?: string;
  payload?: Buffer | string;
  qos?: number;
  retain?: boolean;
  messageId?: number | undefined;
  brokerId?: string;
  brokerCounter?: number;
  clientId?: string;
  properties?: Readonly<Record<string, unknown>>;
  /** Wall clock at which it expires, ms. */
  messageExpiry?: number;
  [field: string]: unknown;
}

/** A subscription as aedes passes it. */
export interface AedesSubscription {
  topic: string;
  qos: QoS;
  rh?: number;
  rap?: boolean;
  nl?: boolean;
  subscriptionIdentifier?: number;
}

/** Both clocks now, ms. */
export interface Moment {
  readonly wallMs: number;
  readonly gatewayMs: number;
}

/** What a message of ours says of a packet: everything but the fields only aedes knows. */
export function messageOf(packet: AedesPacket, now: Moment): StoredMessage {
  const { topic = "", payload = "", qos, retain, clientId } = packet;
  const properties = propertiesOf(packet.properties);
  return {
    topic: topic as Topic,
    payload: typeof payload === "string" ? Buffer.from(payload) : payload,
    qos: isQoS(qos) ? qos : 0,
    retain: retain === true,
    ...(properties === undefined ? undefined : { properties }),
    origin:
      typeof clientId === "string" && clientId !== ""
        ? { kind: "client", clientId, username: null }
        : { kind: "system" },
    publishedMs: now.wallMs,
    expiresAtMs: expiryOf(packet, properties, now),
  };
}

/** Every field of the packet that is not in its message, to be kept beside it. */
export function extensionOf(packet: AedesPacket): Buffer {
  const { topic: _topic, payload, qos: _qos, retain: _retain, ...rest } = packet;
  return serialize({ ...rest, payloadIsText: typeof payload === "string" });
}

/** The packet a message was made of, or would be if aedes had stored it. */
export function packetOf(
  message: StoredMessage,
  extension: Buffer | undefined,
  qos: QoS,
  retain: boolean,
): AedesPacket {
  const { topic } = message;
  if (extension === undefined) {
    const { origin, payload, properties } = message;
    return {
      cmd: "publish",
      topic,
      payload,
      qos,
      retain,
      dup: false,
      ...(origin.kind === "client" ? { clientId: origin.clientId } : undefined),
      ...(properties === undefined ? undefined : { properties: aedesProperties(properties) }),
    };
  }
  const { payloadIsText, ...rest } = fieldsOf(extension);
  const payload = payloadIsText === true ? message.payload.toString() : message.payload;
  return { ...rest, topic, payload, qos, retain };
}

/** The fields kept with an entry that has no message any more. */
export function releasedPacketOf(entry: QueueEntry): AedesPacket {
  if (entry.extension === undefined) return { cmd: "pubrel" };
  const { payloadIsText: _, ...rest } = fieldsOf(entry.extension);
  return rest;
}

function fieldsOf(extension: Buffer): AedesPacket {
  const fields: unknown = deserialize(extension);
  return typeof fields === "object" && fields !== null ? { ...fields } : {};
}

/** The subscription with options that were left out at what MQTT 3.1.1 means by that. */
export function subscriptionOf(subscription: AedesSubscription): StoredSubscription {
  const { topic, qos, rh, rap, nl, subscriptionIdentifier } = subscription;
  return {
    filter: topic as TopicFilter,
    qos: isQoS(qos) ? qos : 0,
    noLocal: nl === true,
    retainAsPublished: rap === true,
    retainHandling: rh === 1 || rh === 2 ? rh : 0,
    subscriptionId: subscriptionIdentifier ?? null,
  };
}

export function aedesSubscriptionOf(stored: StoredSubscription): AedesSubscription {
  const { filter, qos, retainHandling, retainAsPublished, noLocal, subscriptionId } = stored;
  return {
    topic: filter,
    qos,
    rh: retainHandling,
    rap: retainAsPublished,
    nl: noLocal,
    ...(subscriptionId === null ? undefined : { subscriptionIdentifier: subscriptionId }),
  };
}

function expiryOf(
  { messageExpiry }: AedesPacket,
  properties: MessageProperties | undefined,
  now: Moment,
): number | null {
  if (typeof messageExpiry === "number") {
    return now.gatewayMs + Math.max(0, messageExpiry - now.wallMs);
  }
  const intervalS = properties?.messageExpiryInterval;
  return intervalS === undefined ? null : now.gatewayMs + intervalS * 1000;
}

/** mqtt-packet's properties as ours; what is not of a known kind is left out. */
function propertiesOf(from: AedesPacket["properties"]): MessageProperties | undefined {
  if (from === undefined || from === null || typeof from !== "object") return undefined;
  const {
    payloadFormatIndicator,
    messageExpiryInterval,
    contentType,
    responseTopic,
    correlationData,
    userProperties,
  } = from;
  const pairs = userPairs(userProperties);
  const properties: MessageProperties = {
    ...(typeof payloadFormatIndicator === "boolean" ? { payloadFormatIndicator } : undefined),
    ...(typeof messageExpiryInterval === "number" ? { messageExpiryInterval } : undefined),
    ...(typeof contentType === "string" ? { contentType } : undefined),
    ...(typeof responseTopic === "string" ? { responseTopic } : undefined),
    ...(Buffer.isBuffer(correlationData) ? { correlationData } : undefined),
    ...(pairs.length > 0 ? { userProperties: pairs } : undefined),
  };
  return Object.keys(properties).length === 0 ? undefined : properties;
}

function userPairs(from: unknown): [string, string][] {
  if (typeof from !== "object" || from === null) return [];
  const pairs: [string, string][] = [];
  for (const [name, values] of Object.entries(from)) {
    for (const value of Array.isArray(values) ? values : [values]) {
      if (typeof value === "string") pairs.push([name, value]);
    }
  }
  return pairs;
}

function aedesProperties(properties: MessageProperties): Record<string, unknown> {
  const { userProperties, ...rest } = properties;
  if (userProperties === undefined) return rest;
  const named: Record<string, string[]> = Object.create(null);
  for (const [name, value] of userProperties) {
    named[name] ??= [];
    named[name].push(value);
  }
  return { ...rest, userProperties: named };
}
