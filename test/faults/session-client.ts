import { once } from "node:events";
import { connect, type Socket } from "node:net";
import {
  ackFrame,
  connectFrame,
  DISCONNECT,
  PACKET,
  type Packet,
  PacketReader,
  PINGREQ,
  PROPERTY,
  type Publication,
  publishFrame,
  type QoS,
  readConnack,
  readPublish,
  readSuback,
  subscribeFrame,
  type Version,
} from "./wire.ts";

export interface SessionOptions {
  readonly clientId: string;
  readonly version?: Version;
  /** The session outlives the connection, here and at the gateway. */
  readonly isPersistent?: boolean;
  /** MQTT 5; a persistent session never expires by default. */
  readonly sessionExpiryS?: number;
  readonly keepAliveS?: number;
  /** Most QoS 1 and 2 publications on their way at once. */
  readonly window?: number;
  /** QoS 1 and 2 messages are answered after this long. */
  readonly answerAfterMs?: number;
  /**
   * When a QoS 2 message counts as received: with PUBLISH ("method B" of MQTT 3.1.1 §4.3.3) or with
   * PUBREL ("method A"). Both must give one copy.
   */
  readonly takesQoS2At?: "publish" | "pubrel";
  onMessage?(message: Publication): void;
}

/** What became of a QoS 1 or 2 publication: acknowledged, or refused with a reason code (MQTT 5). */
export type Outcome = { readonly ok: true } | { readonly ok: false; readonly code: number };

export interface PublishOptions {
  readonly qos: QoS;
  readonly retain?: boolean;
  /** Encoded MQTT 5 properties. */
  readonly properties?: readonly Buffer[];
  onOutcome?(outcome: Outcome): void;
}

interface Outgoing extends PublishOptions {
  readonly topic: string;
  readonly payload: Buffer;
  packetId: number;
  stage: "publish" | "pubrel";
}

const EXPIRES_NEVER = 0xffff_ffff;

/**
 * A client that keeps its side of an MQTT session as the specification asks, over any number of
 * connections: unacknowledged publications are sent again in order, QoS 2 messages are taken once.
 */
export class SessionClient {
  readonly options: SessionOptions;
  /** Connections that found no session although one had been confirmed. */
  lostSessions = 0;
  /** Connections that were ended from the other side. */
  closedConnections = 0;
  #hasSession = false;
  #socket: Socket | null = null;
  #isReady = false;
  #lastId = 0;
  #window: number;
  readonly #waiting: Outgoing[] = [];
  readonly #inflight = new Map<number, Outgoing>();
  readonly #subscribing = new Map<number, PromiseWithResolvers<readonly number[]>>();
  /** QoS 2 packet ids between PUBLISH and PUBREL. */
  readonly #held = new Map<number, Publication | null>();

  constructor(options: SessionOptions) {
    this.options = options;
    this.#window = options.window ?? 20;
  }

  get version(): Version {
    return this.options.version ?? 4;
  }

  get isConnected(): boolean {
    return this.#isReady;
  }

  get socket(): Socket {
    if (this.#socket === null) throw new Error(`${this.options.clientId} is not connected`);
    return this.#socket;
  }

  /** Publications that are not settled yet. */
  get unsettled(): number {
    return this.#waiting.length + this.#inflight.size;
  }

  /** Resolves with Session Present; rejects when the connection ends before, or is refused. */
  connect(tcpPort: number): Promise<boolean> {
    this.drop();
    const { clientId, isPersistent = false, keepAliveS } = this.options;
    const socket = connect({ port: tcpPort, host: "127.0.0.1", noDelay: true });
    this.#socket = socket;
    const reader = new PacketReader();
    const { promise, resolve, reject } = Promise.withResolvers<boolean>();
    const { sessionExpiryS = isPersistent ? EXPIRES_NEVER : undefined } = this.options;
    socket.on("error", () => {});
    socket.on("close", () => {
      if (this.#socket === socket) {
        this.closedConnections++;
        this.#forget();
      }
      reject(new Error(`${clientId}: connection closed before CONNACK`));
    });
    socket.on("data", (chunk: Buffer) => {
      for (const packet of reader.push(chunk)) {
        if (this.#socket !== socket) return;
        if (packet.type === PACKET.connack) this.#onConnack(packet, resolve, reject);
        else this.#onPacket(packet);
      }
    });
    socket.write(
      connectFrame({
        ...{ clientId, version: this.version, isClean: !isPersistent, sessionExpiryS },
        ...(keepAliveS === undefined ? {} : { keepAliveS }),
      }),
    );
    return promise;
  }

  /** Resolves with the codes of SUBACK; rejects when the connection ends before. */
  async subscribe(filters: readonly string[], qos: QoS): Promise<readonly number[]> {
    const packetId = this.#nextId();
    const answer = Promise.withResolvers<readonly number[]>();
    this.#subscribing.set(packetId, answer);
    this.socket.write(subscribeFrame(this.version, packetId, filters, qos));
    return answer.promise;
  }

  /** Sends it now or as soon as the window and the connection allow. */
  publish(topic: string, payload: Buffer, options: PublishOptions): void {
    if (options.qos === 0) {
      const message = { topic, payload, packetId: 0, ...options };
      if (this.#isReady) this.socket.write(publishFrame(this.version, message));
      return;
    }
    this.#waiting.push({ topic, payload, ...options, packetId: 0, stage: "publish" });
    this.#send();
  }

  /** Publishes and waits for the acknowledgement. */
  published(topic: string, payload: Buffer, options: Omit<PublishOptions, "onOutcome">) {
    const { promise, resolve } = Promise.withResolvers<Outcome>();
    this.publish(topic, payload, { ...options, onOutcome: resolve });
    return promise;
  }

  ping(): void {
    if (this.#isReady) this.socket.write(PINGREQ);
  }

  /** Ends the connection without a word. */
  drop(): void {
    this.#socket?.destroy();
    this.#forget();
  }

  /** Says DISCONNECT and waits until the gateway has closed. */
  async end(): Promise<void> {
    const socket = this.#socket;
    if (socket === null) return;
    const closed = once(socket, "close");
    this.#forget();
    socket.end(DISCONNECT);
    await closed;
  }

  /** The connection is no more; the session goes on. */
  #forget(): void {
    this.#socket = null;
    this.#isReady = false;
    for (const { reject } of this.#subscribing.values()) {
      reject(new Error(`${this.options.clientId}: connection closed before SUBACK`));
    }
    this.#subscribing.clear();
  }

  #onConnack(
    packet: Packet,
    resolve: (isPresent: boolean) => void,
    reject: (err: Error) => void,
  ): void {
    const { code, isSessionPresent, properties } = readConnack(packet, this.version);
    if (code !== 0) {
      reject(new Error(`${this.options.clientId}: refused with ${code}`));
      return;
    }
    if (!isSessionPresent) {
      if (this.#hasSession) this.lostSessions++;
      this.#held.clear();
    }
    this.#hasSession = this.options.isPersistent ?? false;
    const allowed = properties.get(PROPERTY.receiveMaximum) ?? 65_535;
    this.#window = Math.min(this.options.window ?? 20, allowed);
    this.#isReady = true;
    for (const message of this.#inflight.values()) this.#transmit(message, true);
    this.#send();
    resolve(isSessionPresent);
  }

  #onPacket(packet: Packet): void {
    switch (packet.type) {
      case PACKET.publish:
        this.#onPublish(readPublish(packet, this.version));
        break;
      case PACKET.puback:
      case PACKET.pubrec:
      case PACKET.pubcomp:
        this.#onAcknowledged(packet);
        break;
      case PACKET.pubrel:
        this.#onPubrel(packet.body.readUInt16BE(0));
        break;
      case PACKET.suback: {
        const packetId = packet.body.readUInt16BE(0);
        this.#subscribing.get(packetId)?.resolve(readSuback(packet, this.version));
        this.#subscribing.delete(packetId);
        break;
      }
    }
  }

  #onPublish(message: Publication): void {
    const { packetId, qos } = message;
    if (qos < 2) {
      this.options.onMessage?.(message);
    } else if (!this.#held.has(packetId)) {
      const isTaken = this.options.takesQoS2At !== "pubrel";
      if (isTaken) this.options.onMessage?.(message);
      this.#held.set(packetId, isTaken ? null : message);
    }
    if (qos > 0) this.#answer(qos === 1 ? PACKET.puback : PACKET.pubrec, packetId);
  }

  #onPubrel(packetId: number): void {
    const message = this.#held.get(packetId);
    this.#held.delete(packetId);
    if (message) this.options.onMessage?.(message);
    this.#answer(PACKET.pubcomp, packetId);
  }

  #answer(type: number, packetId: number): void {
    const socket = this.#socket;
    const { answerAfterMs = 0 } = this.options;
    if (answerAfterMs === 0) socket?.write(ackFrame(type, packetId));
    else setTimeout(() => socket?.write(ackFrame(type, packetId)), answerAfterMs);
  }

  #onAcknowledged({ type, body }: Packet): void {
    const packetId = body.readUInt16BE(0);
    const message = this.#inflight.get(packetId);
    if (message === undefined) return;
    const code = body.length > 2 ? body.readUInt8(2) : 0;
    if (code < 0x80 && type === PACKET.pubrec) {
      message.stage = "pubrel";
      this.#transmit(message, false);
      return;
    }
    this.#inflight.delete(packetId);
    // PUBCOMP may say that the id is not known, when it is sent again after a lost connection.
    const isTaken = code < 0x80 || type === PACKET.pubcomp;
    message.onOutcome?.(isTaken ? { ok: true } : { ok: false, code });
    this.#send();
  }

  #send(): void {
    while (this.#isReady && this.#inflight.size < this.#window) {
      const message = this.#waiting.shift();
      if (message === undefined) return;
      message.packetId = this.#nextId();
      this.#inflight.set(message.packetId, message);
      this.#transmit(message, false);
    }
  }

  #transmit(message: Outgoing, isAgain: boolean): void {
    const { packetId, stage } = message;
    this.socket.write(
      stage === "pubrel"
        ? ackFrame(PACKET.pubrel, packetId)
        : publishFrame(this.version, { ...message, dup: isAgain }),
    );
  }

  #nextId(): number {
    do this.#lastId = (this.#lastId % 65_535) + 1;
    while (this.#inflight.has(this.#lastId) || this.#subscribing.has(this.#lastId));
    return this.#lastId;
  }
}
