import type { Duplex } from "node:stream";
import type { Origin, Peer } from "../mqtt/index.ts";
import { type AckOwner, AckQueue } from "./ack-queue.ts";
import type { IncomingAliases, OutgoingAliases } from "./alias.ts";
import {
  ack5,
  type Connect,
  connack5,
  disconnect5,
  PACKET,
  PacketFault,
  protocolError,
  REASON,
  type ReasonCode,
  readAck,
  readDisconnect,
} from "./codec/index.ts";
import { checkFixedHeader, FrameScanner, type FrameSink } from "./decoder.ts";
import type { KnownWay } from "./detour.ts";
import type { Engine } from "./engine.ts";
import type { Link } from "./link.ts";
import type { TopicPlan } from "./pipeline.ts";
import { ownsItsChunks, release } from "./release.ts";
import type { Session } from "./session.ts";
import type { Reader } from "./turns.ts";
import { Writer } from "./writer.ts";

/** Why reading is paused; it goes on when none is left. */
export const PAUSE = { connecting: 1, unacknowledged: 2, fairness: 4, hook: 8 } as const;

const NO_ORIGIN: Origin = { kind: "system" };

type State = "new" | "connecting" | "ready" | "closed";

/**
 * One network connection: what has come, what may come now, and how it ends. It reads packets and
 * hands each to its part of the engine.
 */
export class Connection implements FrameSink, Link, AckOwner, Reader {
  readonly engine: Engine;
  readonly stream: Duplex;
  readonly peer: Peer;
  readonly writer: Writer;
  readonly acks: AckQueue;
  state: State = "new";
  session: Session | null = null;
  connect: Connect | null = null;
  clientId = "";
  username: string | null = null;
  isSuperuser = false;
  origin: Origin = NO_ORIGIN;
  isV5 = false;
  isReady = false;
  wantsProblemInformation = true;
  maxPacketBytes = Number.MAX_SAFE_INTEGER;
  window = 0;
  aliases: OutgoingAliases | null = null;
  incomingAliases: IncomingAliases<TopicPlan> | null = null;
  /** PUBLISH packets by QoS, and all others received. */
  in0 = 0;
  in1 = 0;
  in2 = 0;
  out0 = 0;
  out1 = 0;
  out2 = 0;
  othersIn = 0;
  refusedIn = 0;
  bytesIn = 0;
  readsIn = 0;
  sinceMs = 0;
  /** Engine tick of the newest packet, and after how many silent ticks the client is gone; 0 = never. */
  lastTick: number;
  keepAliveTicks = 0;
  stalledTicks = 0;
  /** The last topic published to, with what was decided about it. */
  lastPlan: TopicPlan | null = null;
  lastMayPublish = false;
  /** QoS of that message, 3 more with Retain. */
  lastKind = -1;
  lastRevision = -1;
  /** Where the last message went whose topic is not routed as it comes. */
  lastWay: KnownWay | null = null;
  /** Work left in this turn of the loop. */
  workLeft = 0;
  /** What a DISCONNECT or fault said, for logs and `$SYS`. */
  endReason: ReasonCode = REASON.success;
  #pauses = 0;
  #isOverfull = false;
  readonly #scanner: FrameScanner;
  readonly #releases: boolean;

  constructor(engine: Engine, stream: Duplex, peer: Peer) {
    this.engine = engine;
    this.stream = stream;
    this.peer = peer;
    this.lastTick = engine.tickAt(peer.acceptedMs);
    this.writer = new Writer(stream, engine.flusher, engine.counters, () => this.#onDrained());
    this.acks = new AckQueue(this, engine.counters);
    this.#scanner = new FrameScanner(this, engine.limits, engine.flusher.pool);
    this.#releases = ownsItsChunks(stream);
    stream.on("data", (chunk: Buffer) => this.#onData(chunk));
    stream.on("error", () => this.close("connection lost"));
    stream.on("end", () => this.close("connection closed by the client"));
    stream.on("close", () => this.close("connection closed"));
  }

  /** For the access rules. */
  get address(): string {
    return this.peer.address;
  }

  get isPaused(): boolean {
    return this.#pauses !== 0;
  }

  /** Bytes kept of packets that are not complete. */
  get heldBytes(): number {
    return this.#scanner.heldBytes;
  }

  admit(firstByte: number, remaining: number): void {
    checkFixedHeader(firstByte, remaining, this.isV5);
    this.#checkTurn(firstByte >> 4);
  }

  onFrame(buf: Buffer, start: number, body: number, end: number): boolean {
    const first = buf[start] ?? 0;
    const type = first >> 4;
    this.lastTick = this.engine.tick;
    try {
      if (type === PACKET.publish && this.state === "ready") {
        this.engine.publishing.receive(this, buf, start, body, end);
      } else {
        checkFixedHeader(first, end - body, this.isV5);
        this.#checkTurn(type);
        this.othersIn++;
        this.workLeft--;
        this.#handle(type, buf, body, end);
      }
    } catch (err) {
      this.engine.counters.faultIn(type);
      throw err;
    }
    if (this.workLeft < 0 && this.#pauses === 0) {
      this.workLeft = this.engine.turns.more();
      if (this.workLeft === 0) this.#yield();
    }
    return this.#pauses === 0 && this.state !== "closed";
  }

  /** Stops reading until `resumeReading` with the same cause. */
  pauseReading(cause: number): void {
    if (this.#pauses === 0) this.stream.pause();
    this.#pauses |= cause;
  }

  resumeReading(cause: number): void {
    if ((this.#pauses & cause) === 0) return;
    this.#pauses &= ~cause;
    if (this.#pauses !== 0 || this.state === "closed") return;
    this.lastTick = this.engine.tick;
    setImmediate(() => this.#readOn());
  }

  /** Its turn has come again. */
  goOn(): void {
    this.#pauses &= ~PAUSE.fairness;
    this.lastTick = this.engine.tick;
    this.#readOn();
  }

  /** Another Keep Alive from now on, seconds; 0 = none. */
  setKeepAlive(seconds: number): void {
    const ms = seconds * this.engine.limits.keepAlivePermille;
    this.keepAliveTicks = seconds === 0 ? 0 : Math.ceil(ms / this.engine.tickMs);
    this.lastTick = this.engine.tick;
  }

  /** CONNECT is accepted: packets are read by its version's rules from here on. */
  useVersion(connect: Connect): void {
    this.connect = connect;
    this.isV5 = connect.version === 5;
    this.#scanner.refusesPadding = this.isV5;
    // A 5.0 client is told the limit, which then holds for its connection.
    if (this.isV5) this.#scanner.limit = { maxPacketBytes: this.engine.limits.maxPacketBytes };
  }

  onRefused(packetId: number): void {
    if (this.session?.inbound.delete(packetId) === true) {
      this.session.store?.deleteInbound(packetId);
    }
  }

  onQueueFull(): void {
    // Not at once: a message is on its way to others as well.
    if (this.#isOverfull) return;
    this.#isOverfull = true;
    setImmediate(() => this.end(REASON.quotaExceeded, "the client's queue is full"));
  }

  closeUnacknowledged(): void {
    this.fail(REASON.quotaExceeded, "the store takes no more messages");
  }

  onAcknowledged(): void {
    const { limits } = this.engine;
    const isBelow =
      this.acks.waiting < limits.maxUnacknowledged / 2 &&
      this.acks.waitingBytes < limits.maxUnacknowledgedBytes / 2;
    if (isBelow) this.resumeReading(PAUSE.unacknowledged);
  }

  /** Ends the connection because of the client: with DISCONNECT where its version has one ([MQTT-4.13.1-1]). */
  fail(code: ReasonCode, reason: string): void {
    if (this.state === "closed") return;
    if (this.state === "ready" && this.isV5) this.#sendDisconnect(code, reason);
    this.endReason = code;
    this.close(reason, new PacketFault(code, reason));
  }

  /** Ends the connection on the server's account. */
  end(code: ReasonCode, reason: string): void {
    if (this.state === "closed") return;
    if (this.state === "ready" && this.isV5) this.#sendDisconnect(code, reason);
    this.endReason = code;
    this.close(reason);
  }

  /** The connection is over; safe to call twice. What was gathered for the client is still sent. */
  close(reason: string, fault: PacketFault | null = null): void {
    if (this.state === "closed") return;
    const wasReady = this.state === "ready";
    this.state = "closed";
    this.isReady = false;
    this.writer.finish();
    this.engine.onClosed(this, reason, wasReady, fault);
  }

  /** Sends the first of `packets` that the client takes ([MQTT-3.1.2-24]); false when there is none. */
  sendFitting(...packets: readonly Buffer[]): boolean {
    const fitting = packets.find((packet) => packet.length <= this.maxPacketBytes);
    if (fitting !== undefined) this.writer.send(fitting);
    return fitting !== undefined;
  }

  #sendDisconnect(code: ReasonCode, reason: string): void {
    const hasText = this.wantsProblemInformation && reason !== "";
    const full = disconnect5(code, hasText ? { reasonString: reason } : {});
    // [MQTT-3.14.2-3]: the reason string is left out when it makes the packet too large.
    if (this.sendFitting(full, disconnect5(code, {}))) this.engine.counters.disconnectOut++;
  }

  #onData(chunk: Buffer): void {
    if (this.state === "closed") return;
    this.engine.counters.bytesIn += chunk.length;
    this.readsIn++;
    this.bytesIn += chunk.length;
    this.workLeft = this.engine.turns.slice();
    this.#guard(() => this.#scanner.push(chunk));
    if (this.#releases && this.#scanner.isDoneWith(chunk)) release(chunk);
  }

  #readOn(): void {
    if (this.state === "closed" || this.#pauses !== 0) return;
    this.workLeft = this.engine.turns.slice();
    this.#guard(() => {
      if (this.#scanner.resume()) this.stream.resume();
    });
  }

  #guard(work: () => void): void {
    try {
      work();
    } catch (err) {
      if (!(err instanceof PacketFault)) throw err;
      this.#refuse(err);
    }
  }

  #refuse(fault: PacketFault): void {
    if (this.state === "connecting" && this.isV5) {
      const isSent = this.sendFitting(connack5(false, fault.code, {}));
      if (isSent) this.engine.counters.connackRefused(fault.code);
    }
    this.fail(fault.code, fault.message);
  }

  #yield(): void {
    this.pauseReading(PAUSE.fairness);
    this.engine.turns.wait(this);
  }

  #onDrained(): void {
    this.session?.pump();
  }

  #checkTurn(type: number): void {
    if (this.state === "new") {
      if (type !== PACKET.connect) throw protocolError("the first packet is not CONNECT"); // [MQTT-3.1.0-1]
    } else if (type === PACKET.connect) {
      throw protocolError("a second CONNECT"); // [MQTT-3.1.0-2]
    }
  }

  #handle(type: number, buf: Buffer, body: number, end: number): void {
    const { engine, session } = this;
    const { counters } = engine;
    if (type === PACKET.connect) {
      this.state = "connecting";
      counters.connectIn++;
      this.pauseReading(PAUSE.connecting);
      engine.handshake.begin(this, buf, body, end);
      return;
    }
    if (session === null) return;
    switch (type) {
      case PACKET.puback:
        this.#onAck(session, type, this.#readAck(type, buf, body, end).packetId);
        return;
      case PACKET.pubrec:
        counters.pubrecIn++;
        this.#onPubrec(session, buf, body, end);
        return;
      case PACKET.pubrel:
        counters.pubrelIn++;
        engine.publishing.release(this, this.#readAck(type, buf, body, end).packetId);
        return;
      case PACKET.pubcomp:
        this.#onAck(session, type, this.#readAck(type, buf, body, end).packetId);
        return;
      case PACKET.subscribe:
        counters.subscribeIn++;
        engine.subscribing.subscribe(this, session, buf, body, end);
        return;
      case PACKET.unsubscribe:
        counters.unsubscribeIn++;
        engine.subscribing.unsubscribe(this, session, buf, body, end);
        return;
      case PACKET.pingreq: {
        const at = this.writer.reserve(2);
        this.writer.others++;
        this.writer.out[at] = PACKET.pingresp << 4;
        this.writer.out[at + 1] = 0;
        counters.pingreqIn++;
        counters.pingrespOut++;
        if (engine.hooks.listens("ping")) engine.hooks.emit("ping", this, { cmd: "pingreq" });
        return;
      }
      case PACKET.disconnect:
        counters.disconnectIn++;
        this.#onDisconnect(session, buf, body, end);
        return;
      default:
        counters.authIn++;
        // AUTH: only a client that named a method in CONNECT may send it, and no method is accepted.
        throw protocolError("AUTH without an authentication method");
    }
  }

  /** PUBACK or PUBCOMP; the event names the packet that is acknowledged, without its content. */
  #onAck(session: Session, type: number, messageId: number): void {
    const isPuback = type === PACKET.puback;
    const { hooks, counters } = this.engine;
    if (isPuback) {
      counters.pubackIn++;
      session.onPuback(messageId);
    } else {
      counters.pubcompIn++;
      session.onPubcomp(messageId);
    }
    if (!hooks.listens("ack")) return;
    hooks.emit("ack", this, { cmd: isPuback ? "publish" : "pubrel", messageId });
  }

  #readAck(type: number, buf: Buffer, body: number, end: number) {
    return readAck(type, this.isV5, buf, body, end);
  }

  #onPubrec(session: Session, buf: Buffer, body: number, end: number): void {
    const { packetId, reasonCode } = this.#readAck(PACKET.pubrec, buf, body, end);
    const known = session.onPubrec(packetId, reasonCode >= 0x80);
    if (known === "known" || reasonCode >= 0x80) return;
    this.engine.counters.pubrelOut++;
    if (this.isV5) {
      this.writer.send(ack5(PACKET.pubrel, packetId, REASON.packetIdentifierNotFound, null));
    } else {
      this.writer.ack((PACKET.pubrel << 4) | 2, packetId);
    }
  }

  #onDisconnect(session: Session, buf: Buffer, body: number, end: number): void {
    const { reasonCode, properties } = readDisconnect(this.isV5, buf, body, end);
    const expiryS = properties.sessionExpiryInterval;
    if (expiryS !== undefined) {
      if (session.expiryIntervalS === 0 && expiryS > 0) {
        throw protocolError("a session that ends with its connection cannot be kept"); // §3.14.2.2.2
      }
      session.expiryIntervalS = expiryS;
    }
    // [MQTT-3.14.4-3]: without a will, unless it was asked for.
    if (reasonCode === REASON.success) session.will = null;
    this.endReason = reasonCode as ReasonCode;
    this.close("disconnected");
  }
}
