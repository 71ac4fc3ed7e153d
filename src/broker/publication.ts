import type { MessageProperties, Origin, QoS, StoredMessage, Topic } from "../mqtt/index.ts";
import { type Properties, propertyBytes } from "./codec/index.ts";
import type { Ticket } from "./ticket.ts";

const NOTHING = Buffer.alloc(0);
const SYSTEM: Origin = { kind: "system" };

/**
 * A message on its way through the pipeline. One object is used for all live messages of the hot
 * path: its buffers are valid during that call only, and `keep` makes the lasting form, once, when
 * somebody needs it.
 */
export class Publication {
  topic: Topic = "" as Topic;
  topicBytes: Buffer = NOTHING;
  /** The payload is `source[payloadStart, payloadEnd)`. */
  source: Buffer = NOTHING;
  payloadStart = 0;
  payloadEnd = 0;
  qos: QoS = 0;
  retain = false;
  properties: Properties | null = null;
  /** Gateway time, ms; null = never. */
  expiresAtMs: number | null = null;
  origin: Origin = SYSTEM;
  /**
   * The packet it came in, where a receiver's copy can be made of it by copying: `source` from
   * here to `payloadEnd`; -1 = none.
   */
  frameStart = -1;
  /** The form of that packet: see `shapeOf` in outgoing.ts. */
  frameShape = -1;
  /** Where its Packet Identifier stands, -1 without one. */
  frameIdAt = -1;
  /** Made when the first durable receiver is found. */
  ticket: Ticket | null = null;
  /** Copies that were handed to somebody, or stored. */
  receivers = 0;
  isBusy = false;
  /** Another broker has published it, and given it to all others. */
  isForeign = false;
  /** What a copy adds to the counters: the gateway's own messages are left out. */
  counts = 1;
  /** Wall clock at arrival, ms; only while somebody watches (`stamp`), or for what was kept. */
  publishedMs = 0;
  #kept: StoredMessage | null = null;
  #wire: Buffer | null = null;

  get payloadBytes(): number {
    return this.payloadEnd - this.payloadStart;
  }

  /** Topic and payload bytes, as bounds count them. */
  get sizeBytes(): number {
    return this.topicBytes.length + this.payloadEnd - this.payloadStart;
  }

  /** Forgets the last message; every field that is not set here is the caller's to set. */
  begin(): void {
    this.ticket = null;
    this.receivers = 0;
    this.properties = null;
    this.expiresAtMs = null;
    this.isForeign = false;
    this.counts = 1;
    this.frameStart = -1;
    this.frameShape = -1;
    this.frameIdAt = -1;
    this.#kept = null;
    this.#wire = null;
  }

  /** Takes a message from the store or from within the process. */
  load(message: StoredMessage): void {
    this.begin();
    this.topic = message.topic;
    this.topicBytes = Buffer.from(message.topic);
    this.source = message.payload;
    this.payloadStart = 0;
    this.payloadEnd = message.payload.length;
    this.qos = message.qos;
    this.retain = message.retain;
    this.properties = message.properties === undefined ? null : toWire(message.properties);
    this.expiresAtMs = message.expiresAtMs;
    this.origin = message.origin;
    this.counts = message.origin.kind === "system" ? 0 : 1;
    this.publishedMs = message.publishedMs;
    this.#kept = message;
  }

  /** Notes the arrival, for those who watch. */
  stamp(): void {
    this.publishedMs = this.#kept?.publishedMs ?? Date.now();
  }

  /** Another topic; a copy of the packet it came in no longer serves. */
  rename(topic: Topic, topicBytes: Buffer): void {
    this.topic = topic;
    this.topicBytes = topicBytes;
    this.frameStart = -1;
    this.frameShape = -1;
    this.frameIdAt = -1;
    if (this.#kept !== null) this.#kept = { ...this.#kept, topic };
  }

  /** The lasting form; the same object each time. */
  keep(): StoredMessage {
    if (this.#kept !== null) return this.#kept;
    const properties = this.properties === null ? null : fromWire(this.properties);
    const kept: StoredMessage = {
      topic: this.topic,
      payload: Buffer.from(this.source.subarray(this.payloadStart, this.payloadEnd)),
      qos: this.qos,
      retain: this.retain,
      ...(properties === null ? {} : { properties }),
      origin: this.origin,
      publishedMs: Date.now(),
      expiresAtMs: this.expiresAtMs,
    };
    this.#kept = kept;
    return kept;
  }

  /** The properties every receiver gets unchanged ([MQTT-3.3.2-4], -15, -16, -17, -20), encoded once. */
  wireProperties(): Buffer {
    if (this.properties === null) return NOTHING;
    this.#wire ??= propertyBytes(forwarded(this.properties));
    return this.#wire;
  }
}

/** What a message carries on: no alias, no Subscription Identifier, and the expiry is counted down elsewhere. */
function forwarded(properties: Properties): Properties {
  const {
    topicAlias: _a,
    subscriptionIdentifiers: _s,
    messageExpiryInterval: _e,
    ...rest
  } = properties;
  return rest;
}

/** The properties of a message as the gateway's other parts see them, null when there are none. */
export function fromWire(wire: Properties): MessageProperties | null {
  const properties: MessageProperties = {
    ...(wire.payloadFormatIndicator === undefined
      ? {}
      : { payloadFormatIndicator: wire.payloadFormatIndicator === 1 }),
    ...(wire.messageExpiryInterval === undefined
      ? {}
      : { messageExpiryInterval: wire.messageExpiryInterval }),
    ...(wire.contentType === undefined ? {} : { contentType: wire.contentType }),
    ...(wire.responseTopic === undefined ? {} : { responseTopic: wire.responseTopic }),
    ...(wire.correlationData === undefined ? {} : { correlationData: wire.correlationData }),
    ...(wire.userProperties === undefined ? {} : { userProperties: wire.userProperties }),
  };
  return Object.keys(properties).length === 0 ? null : properties;
}

/** The wire form of a message's properties. */
function toWire(properties: MessageProperties): Properties {
  const wire: Properties = {};
  if (properties.payloadFormatIndicator !== undefined) {
    wire.payloadFormatIndicator = properties.payloadFormatIndicator ? 1 : 0;
  }
  if (properties.messageExpiryInterval !== undefined) {
    wire.messageExpiryInterval = properties.messageExpiryInterval;
  }
  if (properties.contentType !== undefined) wire.contentType = properties.contentType;
  if (properties.responseTopic !== undefined) wire.responseTopic = properties.responseTopic;
  if (properties.correlationData !== undefined) wire.correlationData = properties.correlationData;
  if (properties.userProperties !== undefined) {
    wire.userProperties = properties.userProperties.map(([name, value]) => [name, value]);
  }
  return wire;
}
