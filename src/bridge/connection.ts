import type { IConnackPacket, IPublishPacket, MqttClient, Packet } from "mqtt";
import type { ServerUrl } from "../config/index.ts";
import { reasonOf } from "../errors/index.ts";
import type { MessageProperties, QoS } from "../mqtt/index.ts";
import { FrameWriter } from "./frame-writer.ts";
import { type DiscardedPublish, GuardedStream } from "./guard.ts";
import { type ConnectOptions, createClient } from "./mqtt-client.ts";
import { fromWire, subscriptionIds } from "./properties.ts";
import { type PublishPacket, publishBytes, writePublish } from "./publish-frame.ts";
import { ReceiveWindow } from "./receive-window.ts";
import { DEFAULT_LIMITS, type ServerLimits, serverLimits } from "./server-limits.ts";
import type { OpenStream } from "./transport.ts";
import {
  addressOf,
  connackInWords,
  disconnectInWords,
  isCertificateTrouble,
  socketErrorInWords,
} from "./words.ts";

export interface ConnectionOptions extends ConnectOptions {
  readonly server: ServerUrl;
  /** Our side of the QoS 2 messages the server has not released; outlives the connection. */
  readonly unreleased: Map<number, Promise<void>>;
}

/** A PUBLISH from the server. */
export interface InboundMessage {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: QoS;
  readonly retain: boolean;
  readonly properties: MessageProperties | undefined;
  /** Of the subscriptions that caused it, where the server tells (MQTT 5.0). */
  readonly subscriptionIds: readonly number[];
}

/** How a connection ended. */
export interface ConnectionEnd {
  readonly reason: string;
  /** Code of the CONNACK that refused it, else null. */
  readonly refusal: number | null;
  /** The server closed before it said anything. */
  readonly isSilent: boolean;
  /** Certificates or keys are the trouble. */
  readonly isCertificate: boolean;
}

export interface ConnectionEvents {
  onConnected(): void;
  /** The message is acknowledged once this resolves; a rejection ends the connection. */
  onMessage(message: InboundMessage): Promise<void>;
  onDiscard(reason: DiscardedPublish["reason"]): void;
  /** PUBREC came: the server owns the QoS 2 message with this packet identifier, and waits for `release`. */
  onReceived(packetId: number): void;
  /** What was written has left. */
  onDrain(): void;
  /** Called once. */
  onEnd(end: ConnectionEnd): void;
}

/** Success of a PUBLISH that nobody has subscribed to (MQTT 5.0 §3.4.2.1). */
const NO_MATCHING_SUBSCRIBERS = 0x10;

/** What the server made of a PUBLISH: accepted, or the reason code of its refusal (MQTT 5.0). */
export type PublishResult = { readonly isAccepted: true } | { readonly refusal: number };

const PUBACK = 0x40;
const PUBREC = 0x50;
const PUBREL = 0x62;
const DISCONNECT = 0xe0;

/**
 * One connection to the cloud on one MQTT.js client; neither is used twice. MQTT.js connects, pings,
 * subscribes, parses, and pairs the acknowledgements of QoS 2. It does not reconnect, resubscribe or
 * store here. What there is much of is done by us: PUBLISH is written and PUBACK paired without it,
 * at a third of the cost, and messages from the cloud are acknowledged by us: its own way handles one
 * message at a time and would hold the next, and every acknowledgement, until the local broker has
 * stored the one before.
 */
export class Connection {
  readonly #options: ConnectionOptions;
  readonly #events: ConnectionEvents;
  readonly #client: MqttClient;
  readonly #window: ReceiveWindow;
  readonly #frames = new FrameWriter((bytes) => this.#write(bytes));
  /** QoS 1 messages the server has not acknowledged, by packet identifier. */
  readonly #unacknowledged = new Map<number, (result: PublishResult) => void>();
  #stream: GuardedStream | null = null;
  #limits = DEFAULT_LIMITS;
  #isSessionPresent = false;
  #isOver = false;

  constructor(openStream: OpenStream, options: ConnectionOptions, events: ConnectionEvents) {
    this.#options = options;
    this.#events = events;
    this.#window = new ReceiveWindow({
      acknowledge: (type, packetId) => this.#send(type === 2 ? PUBREC : PUBACK, packetId),
      fail: (reason) => this.fail(reason),
    });
    this.#client = createClient((client) => this.#guard(openStream(client)), options);
    this.#client.handleMessage = (_, done) => this.#window.whenOpen(done);
  }

  get limits(): ServerLimits {
    return this.#limits;
  }

  /** Whether the server kept the session of an earlier connection (MQTT 5.0 §3.2.2.1.1). */
  get isSessionPresent(): boolean {
    return this.#isSessionPresent;
  }

  /** Whether the server has said anything yet. */
  get hasHeard(): boolean {
    return this.#stream?.hasHeard === true;
  }

  /** Bytes that wait for the network. */
  get backlogBytes(): number {
    return (this.#stream?.writableLength ?? 0) + this.#frames.waitingBytes;
  }

  open(): void {
    const client = this.#client;
    client.on("packetreceive", (packet) => this.#onPacket(packet));
    client.on("connect", () => {
      if (!this.#isOver) this.#events.onConnected();
    });
    client.on("error", (err) => this.fail(this.#clientErrorInWords(err)));
    client.on("close", () => this.#onClose());
    try {
      client.connect();
    } catch (err) {
      this.#broken(err, false);
    }
  }

  publish(packet: PublishPacket, onResult: (result: PublishResult) => void): void {
    const { qos, packetId } = packet;
    if (qos === 1) this.#unacknowledged.set(packetId, onResult);
    if (qos === 2) {
      this.#client.outgoing[packetId] = {
        volatile: false,
        cmd: "publish",
        cb: (err, ack) => {
          if (this.#isOver) return;
          const code = err instanceof Error && "code" in err ? err.code : null;
          // A PUBCOMP can only say that the identifier is not known any more: the message is there.
          if (!err || ack?.cmd === "pubcomp") onResult({ isAccepted: true });
          else if (typeof code === "number") onResult({ refusal: code });
        },
      };
    }
    this.#frames.add(publishBytes(packet), (into, at) => writePublish(into, at, packet));
  }

  /** Goes on with a QoS 2 message whose PUBREC came, on this connection or an earlier one ([MQTT-4.4.0-1]). */
  release(packetId: number, onComplete: () => void): void {
    this.#client.outgoing[packetId] = {
      volatile: false,
      cmd: "pubrel",
      cb: () => {
        if (!this.#isOver) onComplete();
      },
    };
    this.#send(PUBREL, packetId);
  }

  /** One SUBSCRIBE; the codes of its SUBACK by filter, or null when the connection ended. */
  subscribe(
    filters: readonly string[],
    options: { qos: QoS; noLocal: boolean; id: number | null },
  ): Promise<readonly number[] | null> {
    const properties = options.id === null ? {} : { subscriptionIdentifier: options.id };
    const isV5 = this.#options.protocolVersion === 5;
    return new Promise((resolve) => {
      this.#client.subscribe(
        [...filters],
        { qos: options.qos, ...(isV5 && { nl: options.noLocal, rap: false, rh: 0, properties }) },
        (_, __, suback) => {
          const codes = suback?.granted ?? [];
          resolve(codes.length === filters.length ? codes.map(Number) : null);
        },
      );
    });
  }

  unsubscribe(filters: readonly string[]): void {
    this.#client.unsubscribe([...filters]);
  }

  /** Gives the connection up. */
  fail(reason: string): void {
    this.#finish({ reason, refusal: null, isSilent: false, isCertificate: false });
  }

  /** Says DISCONNECT; resolves when that has left or cannot, and `destroy` is next. */
  disconnect(): Promise<void> {
    this.#frames.flush();
    this.#isOver = true;
    const stream = this.#stream;
    if (stream === null || stream.destroyed) return Promise.resolve();
    return new Promise((resolve) => {
      stream.once("close", resolve);
      stream.end(Buffer.of(DISCONNECT, 0), resolve);
    });
  }

  /** Ends at once, without a word and without events. */
  destroy(): void {
    this.#isOver = true;
    if (this.#stream === null) return;
    this.#client.end(true);
    this.#stream.destroy();
  }

  #guard(socket: ReturnType<OpenStream>): GuardedStream {
    const { maxPacketBytes, protocolVersion } = this.#options;
    const limits = { maxPacketBytes, skipsLargePublish: protocolVersion !== 5 };
    const stream = new GuardedStream(socket, limits, {
      onDiscard: (publish) => this.#onDiscard(publish),
      onPuback: (packetId, code) => this.#onPuback(packetId, code),
      onFault: (reason) => this.fail(reason),
    });
    stream.on("error", (err) => {
      this.#broken(err, !stream.hasHeard && isReset(err));
    });
    stream.on("drain", () => this.#events.onDrain());
    this.#stream = stream;
    return stream;
  }

  /** Runs before MQTT.js handles the packet. */
  #onPacket(packet: Packet): void {
    if (this.#isOver) return;
    if (packet.cmd === "connack") this.#onConnack(packet);
    if (packet.cmd === "publish") this.#onPublish(packet);
    if (packet.cmd === "pubrec" && (packet.reasonCode ?? 0) < 0x80) {
      const packetId = packet.messageId ?? 0;
      // MQTT.js would answer with PUBREL at once; `release` does when the outbox has noted it.
      if (this.#client.outgoing[packetId]?.cmd === "publish")
        delete this.#client.outgoing[packetId];
      this.#events.onReceived(packetId);
    }
    // MQTT.js itself answers PUBCOMP: its own store does not know the identifier.
    if (packet.cmd === "pubrel") this.#options.unreleased.delete(packet.messageId ?? 0);
    if (packet.cmd === "disconnect") {
      this.fail(disconnectInWords(packet.reasonCode ?? 0, packet.properties?.reasonString));
    }
  }

  #onConnack(packet: IConnackPacket): void {
    const { protocolVersion, cleanStart, unreleased } = this.#options;
    const code = protocolVersion === 5 ? packet.reasonCode : packet.returnCode;
    if (code !== 0) {
      const reason = connackInWords(code ?? 0xff, packet.properties?.reasonString);
      this.#finish({ reason, refusal: code ?? 0xff, isSilent: false, isCertificate: false });
      return;
    }
    this.#limits = serverLimits(packet.properties);
    const { serverKeepAlive } = this.#limits;
    // MQTT.js throws for a Server Keep Alive that is no number; of the rest it needs nothing.
    packet.properties = serverKeepAlive === null ? {} : { serverKeepAlive };
    // CONNACK of MQTT 3.1 has no Session Present flag.
    this.#isSessionPresent = !cleanStart && (protocolVersion === 3 || packet.sessionPresent);
    if (!this.#isSessionPresent) unreleased.clear();
  }

  #onPublish(packet: IPublishPacket): void {
    const { qos, messageId: packetId = 0, properties } = packet;
    // MQTT.js refuses an alias it has not offered and ends the connection.
    if (properties?.topicAlias !== undefined) return;
    packet.qos = 0; // So that MQTT.js leaves the acknowledgement to us.
    const payload = Buffer.isBuffer(packet.payload) ? packet.payload : Buffer.from(packet.payload);
    const message: InboundMessage = {
      topic: packet.topic,
      payload,
      qos,
      retain: packet.retain,
      properties: fromWire(properties),
      subscriptionIds: subscriptionIds(properties),
    };
    const deliver = () => this.#events.onMessage(message);
    const delivered = qos === 2 ? this.#once(packetId, deliver) : deliver();
    this.#window.add({ qos, packetId, bytes: payload.length }, delivered);
  }

  /** A QoS 2 message that comes again before its PUBREL is the same one ([MQTT-4.3.3-2]). */
  #once(packetId: number, deliver: () => Promise<void>): Promise<void> {
    const { unreleased } = this.#options;
    const before = unreleased.get(packetId);
    if (before !== undefined) return before;
    const delivered = deliver();
    unreleased.set(packetId, delivered);
    delivered.catch(() => unreleased.delete(packetId));
    return delivered;
  }

  #onPuback(packetId: number, code: number): void {
    const onResult = this.#unacknowledged.get(packetId);
    if (this.#isOver || onResult === undefined) return;
    this.#unacknowledged.delete(packetId);
    const isAccepted = code === 0 || code === NO_MATCHING_SUBSCRIBERS;
    onResult(isAccepted ? { isAccepted } : { refusal: code });
  }

  #onDiscard({ reason, qos, packetId }: DiscardedPublish): void {
    if (this.#isOver) return;
    this.#events.onDiscard(reason);
    const acknowledged = { qos, packetId: packetId ?? 0, bytes: 0 };
    this.#window.add(acknowledged, Promise.resolve());
  }

  #onClose(): void {
    const reason = `connection closed by ${addressOf(this.#options.server)}`;
    const isSilent = this.#stream?.hasHeard === false;
    this.#finish({ reason, refusal: null, isSilent, isCertificate: false });
  }

  #send(type: number, packetId: number): void {
    this.#frames.add(4, (into, at) => {
      into[at] = type;
      into[at + 1] = 2;
      into.writeUInt16BE(packetId, at + 2);
    });
  }

  #write(bytes: Buffer): void {
    if (!this.#isOver && this.#stream?.writable) this.#stream.write(bytes);
  }

  #finish(end: ConnectionEnd): void {
    if (this.#isOver) return;
    this.destroy();
    this.#events.onEnd(end);
  }

  #broken(err: unknown, isSilent: boolean): void {
    const reason = socketErrorInWords(err, this.#options.server);
    this.#finish({ reason, refusal: null, isSilent, isCertificate: isCertificateTrouble(err) });
  }

  #clientErrorInWords(err: Error): string {
    const at = addressOf(this.#options.server);
    if (err.message === "Keepalive timeout") return `no answer from ${at} within the keep alive`;
    return `the server broke the protocol (${reasonOf(err)})`;
  }
}

function isReset(err: unknown): boolean {
  return (
    err instanceof Error && "code" in err && (err.code === "ECONNRESET" || err.code === "EPIPE")
  );
}
