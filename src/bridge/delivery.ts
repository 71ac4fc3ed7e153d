import { reasonOf } from "../errors/index.ts";
import {
  type MessageProperties,
  OUTBOX_LANES,
  type Outbox,
  type OutboxEntry,
  type OutboxMessage,
  type QoS,
  type Topic,
} from "../mqtt/index.ts";
import type { Clock, Timer } from "../time/index.ts";
import type { PublishResult } from "./connection.ts";
import { LaneTurns } from "./lane-turns.ts";
import type { Meter, Rates } from "./meter.ts";
import { Pacer } from "./pacer.ts";
import { packetIdOf } from "./packet-ids.ts";
import { type PublishPacket, publishBytes } from "./publish-frame.ts";
import { lowerQos } from "./qos-order.ts";
import type { ServerLimits } from "./server-limits.ts";
import type { Tallies } from "./tally.ts";
import { reasonCodeInWords } from "./words.ts";

/** Why a message was not forwarded. */
export type DeliveryDropReason =
  | "expired"
  | "link_down"
  | "link_slow"
  | "refused"
  | "server_packet_size";

/** As much of a connection as publishing needs. */
export interface PublishingConnection {
  readonly isSessionPresent: boolean;
  readonly limits: ServerLimits;
  readonly backlogBytes: number;
  publish(packet: PublishPacket, onResult: (result: PublishResult) => void): void;
  release(packetId: number, onComplete: () => void): void;
  fail(reason: string): void;
}

export interface DeliveryDeps {
  readonly clock: Clock;
  readonly outbox: Outbox;
  readonly tallies: Tallies;
  /** Counts what the cloud has taken. */
  readonly out: Meter;
  /** The cloud refused a message, in words. */
  onRefused(reason: string): void;
}

export interface DeliveryConfig {
  readonly protocolVersion: 3 | 4 | 5;
  readonly maxInflight: number;
  /** Silence about what was sent after which the connection is given up, and all of it sent again. */
  readonly ackTimeoutMs: number;
  /**
   * The longest a message is kept from the card because the cloud may soon have it. Its publisher waits
   * as long, so not for a cloud that takes longer in any case.
   */
  readonly maxPatienceMs: number;
  /** QoS 1 and 2; 0 is no limit. */
  readonly maxMessagesPerS: number;
}

/** How far the delivery of a sent message has come: PUBLISH sent, or PUBREC received. */
type Phase = "published" | "received";

interface InFlight {
  readonly seq: number;
  readonly qos: QoS;
  readonly entry: OutboxEntry;
  /** Monotonic ms. */
  readonly sentMs: number;
  /** PUBREL is sent. */
  isReleased: boolean;
}

/** Unsent bytes above which queued messages wait, and twice that, above which QoS 0 is dropped. */
const BACKLOG_BYTES = 524_288;

/**
 * QoS 2 messages on their way to a server that cannot say how many it takes (before MQTT 5.0).
 * Mosquitto 2.0 disconnects at the 21st unless it is configured otherwise.
 */
const MAX_QOS2_UNASKED = 20;

const WATCH_PERIOD_MS = 15_000;

/** How much of the mean time to an acknowledgement one acknowledgement is, and what is left for chance. */
const ACK_WEIGHT = 1 / 8;
const ACK_MARGIN = 2;

/** A connection that lasted longer has shown that the server bears the full window. */
const PROVEN_MS = 60_000;

/** Refusals that may pass: unspecified, implementation specific, quota exceeded. */
const PASSING = [0x80, 0x83, 0x97];
const MAX_ATTEMPTS = 3;

/**
 * Here → cloud, the far half: sends what the outbox holds, each lane in order, with at most
 * `maxInflight` messages unacknowledged. After a reconnect the oldest unacknowledged message of a
 * lane is the first of it to be sent, before anything newer.
 */
export class Delivery {
  readonly #deps: DeliveryDeps;
  readonly #cfg: DeliveryConfig;
  readonly #dropped: Record<DeliveryDropReason, number> = {
    expired: 0,
    link_down: 0,
    link_slow: 0,
    refused: 0,
    server_packet_size: 0,
  };
  readonly #pacer: Pacer;
  #retried = 0;
  /** The server of the last connection. */
  #server = "";
  #connection: PublishingConnection | null = null;
  /** The cloud knows what it was told on the connection before. */
  #isSessionKept = false;
  /** What a session at the cloud may know of, across connections. */
  readonly #phases = new Map<number, Phase>();
  /** Sent on this connection and not acknowledged, by packet identifier. */
  readonly #inflight = new Map<number, InFlight>();
  #qos2Inflight = 0;
  /** Halved when a young connection breaks under it: some servers have limits they do not tell. */
  #window: number;
  #attachedMs = 0;
  readonly #attempts = new Map<number, number>();
  /** By lane: everything up to here has been sent on this connection. */
  readonly #cursors = new Array<number>(OUTBOX_LANES).fill(0);
  /** By lane: sent at least once. */
  readonly #highestSeqs = new Array<number>(OUTBOX_LANES).fill(0);
  readonly #turns: LaneTurns;
  #isPumping = false;
  #isPumpWanted = false;
  #progressMs = 0;
  /** From PUBLISH to PUBACK, on average; null before the first. */
  #ackMs: number | null = null;
  #watchdog: Timer | null = null;
  #onIdle: (() => void) | null = null;

  constructor(deps: DeliveryDeps, cfg: DeliveryConfig) {
    this.#deps = deps;
    this.#cfg = cfg;
    this.#window = cfg.maxInflight;
    this.#turns = new LaneTurns((lane) => deps.outbox.depth(lane));
    this.#pacer = new Pacer(deps.clock, cfg.maxMessagesPerS, () => this.pump());
  }

  /** Messages sent again, because a connection broke before the cloud acknowledged them. */
  get retried(): number {
    return this.#retried;
  }

  /** Messages on their way to the cloud. */
  get inflight(): number {
    return this.#inflight.size;
  }

  /** The link is up. */
  get isAttached(): boolean {
    return this.#connection !== null;
  }

  /**
   * How long to wait for an acknowledgement of what is sent now, before it is written to the card; 1 =
   * no longer than for anything else: it is not known how long that takes, or too long, or nothing can be
   * sent now, or acknowledgements are overdue.
   */
  get patienceMs(): number {
    const { maxPatienceMs } = this.#cfg;
    const isFull = this.#inflight.size + this.#deps.outbox.waiting >= this.#window;
    if (isFull || this.#ackMs === null || this.#ackMs >= maxPatienceMs) return 1;
    const silentMs = this.#deps.clock.monotonicMs() - this.#progressMs;
    if (this.#inflight.size > 0 && silentMs > maxPatienceMs) return 1;
    return Math.min(Math.max(1, ACK_MARGIN * this.#ackMs), maxPatienceMs);
  }

  get forwarded(): number {
    return this.#deps.out.total;
  }

  rates(): Rates {
    return this.#deps.out.rates();
  }

  get dropped(): Readonly<Record<DeliveryDropReason, number>> {
    return this.#dropped;
  }

  /** The link is up: what is unacknowledged is sent, oldest first. */
  attach(connection: PublishingConnection, server: string): void {
    // Another server knows nothing of what this one was told; the first may be that of an earlier run.
    const isSame = this.#server === "" || server === this.#server;
    this.#isSessionKept = connection.isSessionPresent && isSame;
    if (!this.#isSessionKept) this.#phases.clear();
    this.#server = server;
    this.#connection = connection;
    this.#inflight.clear();
    this.#qos2Inflight = 0;
    this.#cursors.fill(0);
    this.#attachedMs = this.#deps.clock.monotonicMs();
    this.#progressMs = this.#attachedMs;
    this.#ackMs = null;
    this.#watchdog = this.#deps.clock.every(WATCH_PERIOD_MS, () => this.#watch());
    this.pump();
  }

  detach(): void {
    if (this.#connection === null) return;
    this.#connection = null;
    if (this.#inflight.size > 0 && !this.#isProven()) this.#window = Math.ceil(this.#window / 2);
    this.#watchdog?.cancel();
    this.#watchdog = null;
    this.#pacer.stop();
    this.#onIdle?.();
  }

  /**
   * PUBREC came: noted durably before PUBREL, or after a crash the message would be published anew
   * under an identifier the cloud has forgotten by then.
   */
  received(packetId: number): void {
    this.#progressMs = this.#deps.clock.monotonicMs();
    const sent = this.#inflight.get(packetId);
    const connection = this.#connection;
    if (sent === undefined || connection === null) return;
    this.#deps.outbox.setReceived(sent.seq, true).then(
      () => {
        if (this.#phases.has(sent.seq)) this.#phases.set(sent.seq, "received");
        const isHere = connection === this.#connection && this.#inflight.get(packetId) === sent;
        if (!isHere || sent.isReleased) return;
        sent.isReleased = true;
        connection.release(packetId, () => this.#settled(connection, sent.entry));
      },
      (err: unknown) => {
        // The cloud knows the identifier when the message comes again.
        if (connection === this.#connection) {
          connection.fail(`the outbox cannot be written: ${reasonOf(err)}`);
        }
      },
    );
  }

  /** Resolves when nothing waits, or after `timeoutMs`. */
  async idle(timeoutMs: number): Promise<void> {
    if (this.#connection === null || this.#deps.outbox.status().messages === 0) return;
    await new Promise<void>((resolve) => {
      const timer = this.#deps.clock.after(timeoutMs, resolve);
      this.#onIdle = () => {
        timer.cancel();
        resolve();
      };
    });
    this.#onIdle = null;
  }

  /** A QoS 0 message: sent while there is a link with room for it, else dropped and counted. */
  sendAtOnce(message: OutboxMessage): void {
    const connection = this.#connection;
    const tally = this.#deps.tallies.find(message.rule);
    if (connection === null) {
      this.#dropped.link_down += 1;
      tally?.drop();
    } else if (connection.backlogBytes > 2 * BACKLOG_BYTES) {
      this.#dropped.link_slow += 1;
      tally?.drop();
    } else {
      const packet = this.#packet(message, 0, connection.limits, 0);
      if (packet === null) return;
      connection.publish(packet, () => {});
      this.#deps.out.mark();
      tally?.pass();
    }
  }

  /** QoS 0, ahead of everything that waits; counted nowhere, and lost where there is no room. */
  sendProbe(topic: Topic, payload: Buffer): void {
    const connection = this.#connection;
    if (connection === null || connection.backlogBytes > 2 * BACKLOG_BYTES) return;
    const packet: PublishPacket = {
      ...{ topic, payload, qos: 0, retain: false, dup: false, packetId: 0 },
      properties: this.#cfg.protocolVersion === 5 ? {} : null,
    };
    if (publishBytes(packet) > connection.limits.maximumPacketBytes) return;
    connection.publish(packet, () => {});
  }

  /** The outbox has more, or the link room again. */
  pump(): void {
    this.#isPumpWanted = true;
    if (this.#isPumping) return;
    this.#isPumping = true;
    this.#sendWhatFits().catch((err: unknown) =>
      this.#connection?.fail(`the outbox cannot be read: ${reasonOf(err)}`),
    );
  }

  async #sendWhatFits(): Promise<void> {
    try {
      while (this.#isPumpWanted) {
        this.#isPumpWanted = false;
        for (const { lane, share } of this.#turns.next()) {
          const connection = this.#connection;
          const room = connection === null ? 0 : this.#room(connection);
          if (connection === null || room <= 0) break;
          const limit = Math.max(1, Math.floor(room * share));
          const batch = await this.#deps.outbox.take(this.#cursors[lane] ?? 0, limit, lane);
          const isAllSent = this.#sendBatch(connection, lane, batch);
          if (isAllSent && batch.length === limit) this.#isPumpWanted = true;
        }
      }
    } finally {
      this.#isPumping = false;
    }
  }

  #sendBatch(
    connection: PublishingConnection,
    lane: number,
    batch: readonly OutboxEntry[],
  ): boolean {
    for (const entry of batch) {
      if (connection !== this.#connection || connection.backlogBytes > BACKLOG_BYTES) return false;
      // Packet identifiers come round: none is used while an older message still has it.
      if (this.#inflight.has(packetIdOf(entry))) return false;
      if (entry.message.qos === 2 && this.#qos2Inflight >= this.#qos2Limit()) return false;
      this.#cursors[lane] = entry.seq;
      this.#turns.sent(lane);
      this.#send(connection, entry);
    }
    return true;
  }

  #room(connection: PublishingConnection): number {
    if (connection.backlogBytes > BACKLOG_BYTES) return 0;
    const window = Math.min(this.#window, connection.limits.receiveMaximum) - this.#inflight.size;
    return window <= 0 ? 0 : Math.min(window, this.#pacer.room());
  }

  #qos2Limit(): number {
    return this.#cfg.protocolVersion === 5 ? this.#cfg.maxInflight : MAX_QOS2_UNASKED;
  }

  #isProven(): boolean {
    return this.#deps.clock.monotonicMs() - this.#attachedMs >= PROVEN_MS;
  }

  #send(connection: PublishingConnection, entry: OutboxEntry): void {
    const { seq, message } = entry;
    const packetId = packetIdOf(entry);
    this.#pacer.passed();
    if (seq <= (this.#highestSeqs[entry.lane] ?? 0)) this.#retried += 1;
    else this.#highestSeqs[entry.lane] = seq;
    const noted = entry.isReceived && this.#isSessionKept ? "received" : undefined;
    const phase = this.#phases.get(seq) ?? noted;
    if (entry.isReceived && phase !== "received") {
      this.#deps.outbox.setReceived(seq, false).catch(() => {});
    }
    if (phase === "received") {
      this.#phases.set(seq, phase);
      this.#track(entry, message.qos, true);
      connection.release(packetId, () => this.#settled(connection, entry));
      return;
    }
    const waitedMs = this.#deps.clock.monotonicMs() - entry.appendedAtMs;
    const packet = this.#packet(message, waitedMs, connection.limits, packetId);
    if (packet === null) {
      this.#forget(entry);
      return;
    }
    if (packet.qos === 0) {
      connection.publish(packet, () => {});
      this.#deps.out.mark();
      this.#deps.tallies.find(message.rule)?.pass();
      this.#forget(entry);
      return;
    }
    this.#track(entry, packet.qos);
    this.#phases.set(seq, "published");
    connection.publish({ ...packet, dup: phase === "published" }, (result) => {
      if ("refusal" in result) this.#refused(connection, entry, result.refusal);
      else this.#settled(connection, entry);
    });
  }

  /** The PUBLISH as this server takes it; null when it cannot be sent, which is counted. */
  #packet(
    message: OutboxMessage,
    waitedMs: number,
    limits: ServerLimits,
    packetId: number,
  ): PublishPacket | null {
    const { topic, payload, properties } = message;
    const lifeS = properties?.messageExpiryInterval;
    // What is left of it is sent on ([MQTT-3.3.2-6]).
    const leftS = lifeS === undefined ? undefined : lifeS - Math.floor(waitedMs / 1000);
    if (leftS !== undefined && leftS <= 0) {
      this.#dropped.expired += 1;
      this.#deps.tallies.find(message.rule)?.drop();
      return null;
    }
    const packet: PublishPacket = {
      topic,
      payload,
      qos: lowerQos(message.qos, limits.maximumQos),
      retain: message.retain && limits.isRetainAvailable,
      dup: false,
      packetId,
      properties: this.#cfg.protocolVersion === 5 ? withExpiry(properties, leftS) : null,
    };
    if (publishBytes(packet) > limits.maximumPacketBytes) {
      this.#dropped.server_packet_size += 1;
      this.#deps.tallies.find(message.rule)?.drop();
      return null;
    }
    return packet;
  }

  #track(entry: OutboxEntry, qos: QoS, isReleased = false): void {
    const { seq } = entry;
    const sentMs = this.#deps.clock.monotonicMs();
    if (this.#inflight.size === 0) this.#progressMs = sentMs;
    this.#inflight.set(packetIdOf(entry), { seq, qos, entry, sentMs, isReleased });
    if (qos === 2) this.#qos2Inflight += 1;
  }

  #settled(connection: PublishingConnection, entry: OutboxEntry): void {
    if (connection !== this.#connection) return;
    this.#deps.out.mark();
    this.#deps.tallies.find(entry.message.rule)?.pass();
    this.#forget(entry);
    this.pump();
  }

  #refused(connection: PublishingConnection, entry: OutboxEntry, code: number): void {
    if (connection !== this.#connection) return;
    const { seq } = entry;
    const reason = `message refused by the cloud: ${reasonCodeInWords(code)}`;
    const attempts = (this.#attempts.get(seq) ?? 0) + 1;
    this.#phases.delete(seq);
    if (PASSING.includes(code) && attempts < MAX_ATTEMPTS) {
      this.#attempts.set(seq, attempts);
      connection.fail(reason);
      return;
    }
    this.#dropped.refused += 1;
    this.#deps.tallies.find(entry.message.rule)?.fail();
    this.#deps.onRefused(reason);
    this.#forget(entry);
    this.pump();
  }

  #forget(entry: OutboxEntry): void {
    const { seq } = entry;
    this.#progressMs = this.#deps.clock.monotonicMs();
    const packetId = packetIdOf(entry);
    const sent = this.#inflight.get(packetId);
    if (sent?.seq === seq) {
      if (sent.qos === 1) this.#acknowledged(this.#progressMs - sent.sentMs);
      this.#inflight.delete(packetId);
      if (sent.qos === 2) this.#qos2Inflight -= 1;
    }
    this.#phases.delete(seq);
    this.#attempts.delete(seq);
    this.#deps.outbox.remove(seq);
    if (this.#onIdle !== null && this.#deps.outbox.status().messages === 0) this.#onIdle();
  }

  #acknowledged(tookMs: number): void {
    this.#ackMs = this.#ackMs === null ? tookMs : this.#ackMs + (tookMs - this.#ackMs) * ACK_WEIGHT;
  }

  #watch(): void {
    if (this.#isProven() && this.#window < this.#cfg.maxInflight) {
      this.#window = this.#cfg.maxInflight;
      this.pump();
    }
    const { ackTimeoutMs } = this.#cfg;
    const silentMs = this.#deps.clock.monotonicMs() - this.#progressMs;
    if (this.#inflight.size === 0 || silentMs < ackTimeoutMs) return;
    this.#connection?.fail(
      `no acknowledgement for ${this.#inflight.size} messages in ${ackTimeoutMs / 1000} s`,
    );
  }
}

function withExpiry(
  properties: MessageProperties | undefined,
  leftS: number | undefined,
): MessageProperties {
  if (leftS === undefined) return properties ?? {};
  return { ...properties, messageExpiryInterval: leftS };
}
