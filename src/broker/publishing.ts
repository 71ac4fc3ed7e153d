import type { Topic } from "../mqtt/index.ts";
import {
  ack5,
  decodeText,
  malformed,
  PACKET,
  PacketFault,
  type Properties,
  protocolError,
  REASON,
  Reader,
  type ReasonCode,
  readProperties,
} from "./codec/index.ts";
import { type Connection, PAUSE } from "./connection.ts";
import { mayGo, type Way } from "./detour.ts";
import type { Engine } from "./engine.ts";
import { shapeOf } from "./outgoing.ts";
import type { TopicPlan } from "./pipeline.ts";
import type { RepeatMark } from "./ports.ts";
import { Publication } from "./publication.ts";
import type { Session } from "./session.ts";
import { Ticket } from "./ticket.ts";

/** Reads what clients publish, decides whether they may, and has it routed and acknowledged. */
export class Publishing {
  readonly #engine: Engine;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /**
   * One PUBLISH in `buf`; its body is `[body, end)`.
   * @throws PacketFault
   */
  receive(connection: Connection, buf: Buffer, start: number, body: number, end: number): void {
    const first = buf[start] ?? 0;
    const qos = (first >> 1) & 3;
    if (qos === 0) connection.in0++;
    else if (qos === 1) connection.in1++;
    else connection.in2++;
    if (qos === 3) throw malformed("QoS is 3"); // [MQTT-3.3.1-4]
    if (qos === 0 && first & 8) throw malformed("DUP on QoS 0"); // [MQTT-3.3.1-2]
    if (body + 2 > end) throw malformed("packet ends inside the topic");
    const topicStart = body + 2;
    const topicEnd = topicStart + (((buf[body] ?? 0) << 8) | (buf[body + 1] ?? 0));
    if (topicEnd > end) throw malformed("packet ends inside the topic");
    let at = topicEnd;
    let packetId = 0;
    if (qos > 0) {
      if (at + 2 > end) throw malformed("packet ends inside the packet id");
      packetId = ((buf[at] ?? 0) << 8) | (buf[at + 1] ?? 0);
      if (packetId === 0) throw malformed("packet id is 0"); // [MQTT-2.2.1-2]
      at += 2;
    }
    let properties: Properties | null = null;
    if (connection.isV5) {
      if (at === end) throw malformed("packet ends before its properties");
      if (buf[at] === 0) {
        at++;
      } else {
        const reader = new Reader(buf, at, end);
        properties = readProperties(reader, PACKET.publish);
        at = reader.pos;
      }
    }
    const plan = this.#planOf(connection, buf, topicStart, topicEnd, properties);
    const { counters, pipeline } = this.#engine;
    if (qos === 0) counters.qos0In++;
    else if (qos === 1) counters.qos1In++;
    else counters.qos2In++;
    if (qos === 2 && this.#isRepeat(connection, packetId)) return;
    const pub = pipeline.acquire();
    pub.topic = plan.topic;
    pub.topicBytes = plan.topicBytes;
    pub.source = buf;
    pub.payloadStart = at;
    pub.payloadEnd = end;
    pub.qos = qos as 0 | 1 | 2;
    pub.retain = (first & 1) === 1;
    pub.origin = connection.origin;
    if (properties === null) {
      // A padded Remaining Length (3.x) is not passed on: not every decoder puts up with it.
      const isPadded = body - start > 2 && buf[body - 1] === 0;
      if (topicEnd > topicStart && !isPadded) {
        pub.frameStart = start;
        pub.frameShape = shapeOf(connection.isV5, pub.qos, pub.retain);
        pub.frameIdAt = qos > 0 ? topicEnd : -1;
      }
    } else {
      this.#takeProperties(connection, pub, properties);
    }
    const { authorizePublish } = this.#engine.hooks;
    if (authorizePublish !== null) {
      this.#askHook(connection, pub, plan, packetId, authorizePublish);
      return;
    }
    this.#accept(connection, pub, plan, packetId);
  }

  /** PUBREL: the Packet Identifier is free again ([MQTT-4.3.3-11], [MQTT-4.3.3-12]). */
  release(connection: Connection, packetId: number): void {
    const { session, writer } = connection;
    const { counters } = this.#engine;
    if (session === null) return;
    const pubcomp = PACKET.pubcomp << 4;
    if (!session.inbound.delete(packetId)) {
      counters.pubrelMissed++;
      counters.pubcompOut++;
      if (connection.isV5) {
        writer.send(ack5(PACKET.pubcomp, packetId, REASON.packetIdentifierNotFound, null));
      } else {
        writer.ack(pubcomp, packetId);
      }
      return;
    }
    if (session.store === null) {
      counters.pubcompOut++;
      writer.ack(pubcomp, packetId);
      return;
    }
    // Durable before PUBCOMP: else, after a crash, a new message with this identifier would be
    // taken for a repetition of the old one.
    session.store.deleteInbound(packetId);
    this.#engine.committer.after(true, (failed) => {
      if (connection.state !== "ready") return;
      if (failed) {
        connection.fail(REASON.quotaExceeded, "the store cannot be written");
        return;
      }
      counters.pubcompOut++;
      writer.ack(pubcomp, packetId);
    });
  }

  /** The topic's plan; the client's last one when it is the same. */
  #planOf(
    connection: Connection,
    buf: Buffer,
    start: number,
    end: number,
    properties: Properties | null,
  ): TopicPlan {
    const { router } = this.#engine;
    const alias = properties?.topicAlias;
    if (start === end) return this.#planOfAlias(connection, alias);
    let plan = connection.lastPlan;
    if (plan === null || plan.epoch !== router.epoch || !isSame(buf, start, end, plan.topicBytes)) {
      const key = buf.toString("latin1", start, end);
      plan = router.cached(key) ?? router.plan(this.#topic(buf, start, end), key);
      this.#remember(connection, plan);
    }
    if (alias !== undefined) connection.incomingAliases?.set(alias, plan);
    return plan;
  }

  #planOfAlias(connection: Connection, alias: number | undefined): TopicPlan {
    if (alias === undefined) {
      // [MQTT-4.7.3-1]; MQTT 5.0 §3.3.2.1: an empty topic needs an alias.
      throw connection.isV5 ? protocolError("empty topic without alias") : malformed("empty topic");
    }
    const known = connection.incomingAliases?.get(alias);
    if (known === undefined) throw protocolError("topic alias was never set");
    const { router } = this.#engine;
    const plan = known.epoch === router.epoch ? known : router.plan(known.topic);
    connection.incomingAliases?.set(alias, plan);
    if (connection.lastPlan !== plan) this.#remember(connection, plan);
    return plan;
  }

  #remember(connection: Connection, plan: TopicPlan): void {
    connection.lastPlan = plan;
    connection.lastRevision = -1;
  }

  #topic(buf: Buffer, start: number, end: number): Topic {
    const text = decodeText(buf, start, end);
    if (text === null) throw malformed("topic is not well-formed UTF-8 or holds U+0000");
    if (text.includes("+") || text.includes("#")) {
      throw new PacketFault(REASON.topicNameInvalid, "topic holds a wildcard"); // [MQTT-3.3.2-2]
    }
    if (text.split("/").length > this.#engine.limits.maxTopicLevels) {
      throw new PacketFault(REASON.topicNameInvalid, "topic has too many levels");
    }
    return text as Topic;
  }

  #takeProperties(connection: Connection, pub: Publication, properties: Properties): void {
    if (properties.subscriptionIdentifiers !== undefined) {
      throw protocolError("a client's PUBLISH has a subscription identifier"); // [MQTT-3.3.4-6]
    }
    const { topicAlias, responseTopic, messageExpiryInterval } = properties;
    if (topicAlias !== undefined && connection.incomingAliases === null) {
      throw new PacketFault(REASON.topicAliasInvalid, "topic alias is not allowed");
    }
    if (responseTopic !== undefined && /[+#]/.test(responseTopic)) {
      throw protocolError("response topic holds a wildcard"); // [MQTT-3.3.2-14]
    }
    pub.properties = properties;
    if (messageExpiryInterval !== undefined) {
      pub.expiresAtMs = this.#engine.store.nowMs() + messageExpiryInterval * 1000;
    }
  }

  /** A QoS 2 message that has been routed is not routed again ([MQTT-4.3.3-10]); it gets its PUBREC. */
  #isRepeat(connection: Connection, packetId: number): boolean {
    const { session, acks } = connection;
    const { limits, committer, counters } = this.#engine;
    if (session === null) return true;
    if (!session.inbound.has(packetId)) {
      if (session.inbound.size >= limits.maxAwaitingRelease) {
        counters.receiveMaximum++;
        throw new PacketFault(REASON.receiveMaximumExceeded, "too many messages await PUBREL"); // [MQTT-3.3.4-9]
      }
      return false;
    }
    counters.publishInUse++;
    if (session.store === null) {
      acks.now(packetId, 2, REASON.success);
      return true;
    }
    const ticket = new Ticket();
    ticket.needCommit();
    committer.wait(ticket, true);
    acks.later(packetId, 2, 0, ticket, REASON.success);
    return true;
  }

  #askHook(
    connection: Connection,
    live: Publication,
    plan: TopicPlan,
    packetId: number,
    ask: NonNullable<Engine["hooks"]["authorizePublish"]>,
  ): void {
    // The hook may answer later: the message must outlive the buffer it came in.
    const pub = new Publication();
    pub.load(live.keep());
    let isAnswered = false;
    ask(connection, pub.keep(), (err, change) => {
      if (isAnswered) return;
      isAnswered = true;
      if (connection.state === "ready") {
        if (change !== null) pub.load({ ...pub.keep(), ...change });
        if (err !== null) this.#deny(connection, pub, packetId);
        else if (change === null) this.#accept(connection, pub, plan, packetId);
        else this.#accept(connection, pub, this.#engine.router.plan(change.topic), packetId);
      }
      connection.resumeReading(PAUSE.hook);
    });
    if (!isAnswered) connection.pauseReading(PAUSE.hook);
  }

  #accept(connection: Connection, pub: Publication, plan: TopicPlan, packetId: number): void {
    const engine = this.#engine;
    const { session } = connection;
    if (session === null) return;
    const { detour } = engine;
    if (detour?.mayConcern(plan.topicBytes) === true && detour.concerns(plan.topic)) {
      const way = this.#wayOf(connection, pub, plan, packetId);
      if (way === null) return;
      if (way.topic !== plan.topic) {
        this.#route(connection, session, pub, engine.router.plan(way.topic), packetId);
        return;
      }
    }
    if (!this.#mayPublish(connection, plan, pub)) {
      engine.counters.publishDenied++;
      this.#deny(connection, pub, packetId);
      return;
    }
    this.#route(connection, session, pub, plan, packetId);
  }

  /**
   * Where a message goes that may not be routed as it comes; null when that is over: it is refused,
   * or kept for later.
   */
  #wayOf(connection: Connection, pub: Publication, plan: TopicPlan, packetId: number): Way | null {
    const { detour, access, clock, counters, router } = this.#engine;
    if (detour === null) return null;
    const way = detour.wayOf(connection, plan.topic, connection.lastWay, clock.nowMs());
    if (way === "bad_delay") {
      this.#deny(connection, pub, packetId, REASON.topicNameInvalid);
      return null;
    }
    connection.lastWay = way;
    if (way.topic === plan.topic) return way;
    if (!mayGo(access, connection, way, pub)) {
      counters.publishDenied++;
      this.#deny(connection, pub, packetId);
      return null;
    }
    pub.rename(way.topic, router.plan(way.topic).topicBytes);
    if (way.delayMs === null) return way;
    this.#delay(connection, pub, way.delayMs, packetId);
    return null;
  }

  /** Keeps a message for later; its publisher is told when it is durable. */
  #delay(connection: Connection, pub: Publication, delayMs: number, packetId: number): void {
    const { detour, counters } = this.#engine;
    const { session } = connection;
    if (session === null) return;
    const { topic, payload, qos, retain, properties, origin } = pub.keep();
    const more = properties === undefined ? {} : { properties };
    const isMarked = qos === 2 && session.store !== null;
    // In the same group as the message it stands for.
    if (isMarked) session.store?.putInbound(packetId);
    const message = { topic, payload, qos, retain, ...more, origin };
    const kept = detour?.delayed?.add(message, delayMs) ?? null;
    counters.accepted++;
    if (kept === null) {
      counters.storeRefused++;
      if (qos === 0) return;
      if (isMarked) session.store?.deleteInbound(packetId);
      if (connection.isV5) connection.acks.now(packetId, qos, REASON.quotaExceeded);
      else connection.closeUnacknowledged();
      return;
    }
    if (qos === 0) {
      kept.catch(() => {
        counters.storeRefused++;
      });
      return;
    }
    if (qos === 2) session.inbound.set(packetId, true);
    const ticket = new Ticket();
    ticket.addHandler(kept.catch(() => ticket.refuse(REASON.quotaExceeded)));
    pub.ticket = ticket;
    this.#acknowledge(connection, pub, packetId, REASON.success);
  }

  #route(
    connection: Connection,
    session: Session,
    pub: Publication,
    plan: TopicPlan,
    packetId: number,
  ): void {
    const engine = this.#engine;
    const { qos } = pub;
    let mark: RepeatMark | null = null;
    if (qos > 0 && pub.properties !== null && engine.repeats !== null) {
      mark = engine.repeats.take(session.clientId, pub.properties.userProperties);
      if (mark !== null && mark.before !== null) {
        this.#repeated(connection, session, pub, packetId, mark.before);
        return;
      }
    }
    engine.counters.accepted++;
    connection.workLeft -= 1 + plan.receivers.length;
    const isMarked = qos === 2 && session.store !== null;
    // In the same group as the copies it stands for.
    if (isMarked) session.store?.putInbound(packetId);
    const reason = engine.pipeline.route(pub, plan, session, isMarked);
    if (qos === 0) {
      pub.ticket?.seal(nothing);
      return;
    }
    if (reason === REASON.quotaExceeded) {
      engine.counters.publishQuotaExceeded++;
      connection.refusedIn++;
      mark?.settle(false);
      if (isMarked) session.store?.deleteInbound(packetId);
      if (connection.isV5) connection.acks.now(packetId, qos, reason);
      else connection.closeUnacknowledged();
      return;
    }
    if (qos === 2) session.inbound.set(packetId, true);
    this.#acknowledge(connection, pub, packetId, reason, mark);
  }

  /** It came by an earlier connection: acknowledged as soon as it was then, routed no second time. */
  #repeated(
    connection: Connection,
    session: Session,
    pub: Publication,
    packetId: number,
    before: "safe" | Promise<void>,
  ): void {
    if (pub.qos === 2) session.inbound.set(packetId, true);
    if (before !== "safe") {
      pub.ticket = new Ticket();
      pub.ticket.addHandler(before);
    }
    this.#acknowledge(connection, pub, packetId, REASON.success);
  }

  #acknowledge(
    connection: Connection,
    pub: Publication,
    packetId: number,
    reason: ReasonCode,
    mark: RepeatMark | null = null,
  ): void {
    const { acks } = connection;
    const { limits } = this.#engine;
    if (pub.ticket === null) {
      mark?.settle(true);
      acks.now(packetId, pub.qos, reason);
      return;
    }
    acks.later(packetId, pub.qos, pub.payloadBytes, pub.ticket, reason, mark);
    if (
      acks.waiting >= limits.maxUnacknowledged ||
      acks.waitingBytes >= limits.maxUnacknowledgedBytes
    ) {
      connection.pauseReading(PAUSE.unacknowledged);
    }
  }

  #mayPublish(connection: Connection, plan: TopicPlan, { qos, retain }: Publication): boolean {
    const { authorizer } = this.#engine;
    const revision = authorizer.revision?.() ?? -1;
    const kind = retain ? qos + 3 : qos;
    if (
      revision >= 0 &&
      connection.lastPlan === plan &&
      connection.lastKind === kind &&
      connection.lastRevision === revision
    ) {
      return connection.lastMayPublish;
    }
    const { access, counters } = this.#engine;
    const may = access.mayPublish(connection, plan.topic, qos, retain);
    if (may) counters.publishAllowed++;
    else counters.publishRefused++;
    if (connection.lastPlan === plan) {
      connection.lastMayPublish = may;
      connection.lastKind = kind;
      connection.lastRevision = revision;
    }
    return may;
  }

  #deny(
    connection: Connection,
    pub: Publication,
    packetId: number,
    reason: ReasonCode = REASON.notAuthorized,
  ): void {
    const { authorizer, counters, watch } = this.#engine;
    counters.denied++;
    if (reason === REASON.notAuthorized) counters.publishAuthError++;
    else counters.publishError++;
    connection.refusedIn++;
    watch.observer?.dropped(connection.clientId, pub.topic, "not_authorized");
    if (authorizer.denyAction === "disconnect" && reason === REASON.notAuthorized) {
      connection.fail(REASON.notAuthorized, "not authorized to publish to this topic");
      return;
    }
    if (pub.qos === 0) return;
    // 3.x can only acknowledge: the message is dropped, as §3.3.5 [MQTT-3.3.5-2] allows.
    connection.acks.now(packetId, pub.qos, reason);
    if (pub.qos === 2 && !connection.isV5) connection.session?.inbound.set(packetId, true);
  }
}

function nothing(): void {}

function isSame(buf: Buffer, start: number, end: number, bytes: Buffer): boolean {
  const { length } = bytes;
  if (end - start !== length) return false;
  for (let i = length - 1; i >= 0; i--) {
    if (buf[start + i] !== bytes[i]) return false;
  }
  return true;
}
