import { reasonOf } from "../errors/index.ts";
import {
  type LoadedSession,
  type Message,
  SESSION_NEVER_EXPIRES,
  type SessionRecord,
  type SessionStore,
  type StoredSubscription,
} from "../mqtt/index.ts";
import { type Connect, REASON } from "./codec/index.ts";
import type { Connection } from "./connection.ts";
import { mayGo } from "./detour.ts";
import type { Engine } from "./engine.ts";
import { Session } from "./session.ts";
import { trafficOf } from "./traffic.ts";
import { storedWill } from "./will.ts";

/** Subscriptions taken out of the router in one turn of the loop. */
const TEARDOWN_SLICE = 200;

/** What a CONNECT got. */
export interface Attached {
  readonly isPresent: boolean;
  /** Something must be durable before CONNACK. */
  readonly needsCommit: boolean;
}

/** Begins, hands over, keeps and ends sessions (MQTT 5.0 §4.1, §3.1.2.4, §3.1.2.5). */
export class Lifecycle {
  /** In the order of their numbers. */
  readonly sessions = new Map<string, Session>();
  #made = 0;
  readonly #engine: Engine;
  /** Records of sessions without a queue of their own, kept for the will's sake. */
  readonly #records = new Map<Session, SessionStore>();

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** The session an accepted CONNECT gets; whoever had it before is cut off ([MQTT-3.1.4-3]). */
  attach(connection: Connection, connect: Connect, expiryIntervalS: number): Attached {
    const { clientId } = connection;
    this.#settleDue(clientId);
    const before = this.sessions.get(clientId);
    const other = this.#engine.connectionOf(before);
    if (other?.state === "connecting") {
      this.#engine.handshake.refuse(other, REASON.serverUnavailable, "session taken over");
    }
    const { counters } = this.#engine;
    if (other !== null && other.state !== "closed") counters.sessionTakenOver++;
    other?.end(REASON.sessionTakenOver, "session taken over");
    let session = this.sessions.get(clientId);
    let needsCommit = before !== undefined && before.store !== null;
    if (session !== undefined && connect.cleanStart) {
      counters.sessionDiscarded++;
      this.end(session); // [MQTT-3.1.2-4]
      session = undefined;
    }
    const isPresent = session !== undefined;
    if (isPresent) counters.sessionResumed++;
    else counters.sessionCreated++;
    session ??= this.#create(clientId);
    this.#describe(session, connection, connect, expiryIntervalS);
    if (session.store === null && expiryIntervalS > 0) {
      const store = this.#engine.store.session(clientId);
      const kept = session;
      session.makeDurable(store, 0, () => store.put(this.#recordOf(kept)));
    }
    if (this.#putRecord(session)) needsCommit = true;
    return { isPresent, needsCommit };
  }

  /** What fell due since the deadlines were looked at last is over, for a client that comes now. */
  #settleDue(clientId: string): void {
    const session = this.sessions.get(clientId);
    if (session === undefined || session.link !== null) return;
    const nowMs = this.#engine.store.nowMs();
    if (session.expiry !== null && session.expiry.atMs <= nowMs) this.end(session);
    else if (session.willDue !== null && session.willDue.atMs <= nowMs) this.#publishWill(session);
  }

  /** The session's connection is over. */
  detach(session: Session, wasReady: boolean): void {
    const engine = this.#engine;
    const { store } = engine;
    const connection = engine.connectionOf(session);
    if (connection !== null) session.lastTraffic = trafficOf(connection);
    session.link = null;
    session.sinceMs = engine.clock.nowMs();
    if (!wasReady) session.will = null;
    if (session.expiryIntervalS === 0) {
      this.end(session);
      return;
    }
    engine.counters.sessionDisconnected++;
    const nowMs = store.nowMs();
    if (session.expiryIntervalS !== SESSION_NEVER_EXPIRES) {
      this.#expireAt(session, nowMs + session.expiryIntervalS * 1000);
    }
    const { will } = session;
    if (will !== null) {
      const delayS = Math.min(will.delayS, session.expiryIntervalS);
      if (delayS === 0) this.#publishWill(session);
      else this.#delayWill(session, nowMs + delayS * 1000);
    }
    if (this.#putRecord(session)) store.schedule(false);
  }

  /** Ends a session with everything it has; its will, if one is waiting, is published ([MQTT-3.1.2-8]). */
  end(session: Session): void {
    const { clientId, store } = session;
    this.#engine.counters.sessionTerminated++;
    if (this.sessions.get(clientId) === session) this.sessions.delete(clientId);
    session.expiry?.cancel();
    session.willDue?.cancel();
    this.#engine.retainedDelivery.cancel(session, null);
    this.#publishWill(session);
    const record = store ?? this.#records.get(session);
    this.#records.delete(session);
    session.store = null;
    if (record !== undefined) {
      record.delete();
      this.#engine.store.schedule(false);
    }
    this.#teardown(session, [...session.subscriptions.values()], 0);
  }

  /** Takes a session the store had at the start. */
  load(loaded: LoadedSession): void {
    const { record, store, subscriptions, inbound } = loaded;
    const session = this.#create(store.clientId);
    Object.assign(session, {
      version: record.protocolVersion,
      username: record.username,
      cleanStart: record.cleanStart,
      keepAliveS: record.keepAliveS,
      expiryIntervalS: record.expiryIntervalS,
      will: record.will,
      listener: record.listener,
      peerAddress: record.peerAddress,
      peerPort: record.peerPort,
      sinceMs: record.sinceMs,
      createdMs: record.createdMs,
      connectedMs: record.connectedMs,
      isBridge: record.isBridge,
      loadedExpiryMs: record.expiresAtMs,
    });
    if (record.expiryIntervalS === 0) {
      this.#records.set(session, store);
      return;
    }
    session.makeDurable(store, record.seqLimit, () => store.put(this.#recordOf(session)));
    for (const id of inbound) session.inbound.set(id, true);
    for (const subscription of subscriptions) {
      this.#engine.levels.subscribed(subscription.filter);
      session.subscriptions.set(subscription.filter, subscription);
      this.#engine.router.subscribe(session, subscription);
    }
  }

  /** After all is loaded: what was connected when the gateway went down counts as cut off now. */
  settleLoaded(): void {
    const nowMs = this.#engine.store.nowMs();
    for (const session of [...this.sessions.values()]) {
      const record = this.#expiryOfLoaded(session, nowMs);
      if (record === "ended") continue;
      const { will } = session;
      if (will !== null) {
        const dueAtMs =
          will.dueAtMs ?? nowMs + Math.min(will.delayS, session.expiryIntervalS) * 1000;
        this.#delayWill(session, dueAtMs);
      }
      this.#putRecord(session);
    }
    this.#engine.store.schedule(false);
  }

  subscribe(session: Session, subscription: StoredSubscription): void {
    if (!session.subscriptions.has(subscription.filter))
      this.#engine.levels.subscribed(subscription.filter);
    session.subscriptions.set(subscription.filter, subscription);
    this.#engine.router.subscribe(session, subscription);
    this.#engine.levels.topics(this.#engine.router.filterCount);
    session.store?.putSubscription(subscription);
  }

  /** What the session's record says has changed. */
  describeAgain(session: Session): void {
    if (this.#putRecord(session)) this.#engine.store.schedule(false);
  }

  /** False when there was no such subscription. */
  unsubscribe(session: Session, filter: StoredSubscription["filter"]): boolean {
    if (!session.subscriptions.delete(filter)) return false;
    this.#engine.levels.unsubscribed(filter);
    this.#engine.router.unsubscribe(session, filter);
    this.#engine.retainedDelivery.cancel(session, filter);
    session.store?.deleteSubscription(filter);
    return true;
  }

  #create(clientId: string): Session {
    const session = new Session(clientId, this.#engine.sessionContext);
    session.number = ++this.#made;
    session.createdMs = this.#engine.clock.nowMs();
    this.sessions.set(clientId, session);
    this.#engine.levels.sessions(this.sessions.size);
    return session;
  }

  #describe(
    session: Session,
    connection: Connection,
    connect: Connect,
    expiryIntervalS: number,
  ): void {
    session.expiry?.cancel();
    session.willDue?.cancel();
    session.expiry = null;
    session.willDue = null;
    session.link = connection;
    connection.session = session;
    session.will = storedWill(connect.will, connection);
    session.version = connect.version;
    session.username = connect.username;
    session.isSuperuser = connection.isSuperuser;
    session.cleanStart = connect.cleanStart;
    session.keepAliveS = connect.keepAliveS;
    session.expiryIntervalS = expiryIntervalS;
    session.isBridge = connect.isBridge;
    session.listener = connection.peer.listener;
    session.peerAddress = connection.peer.address;
    session.peerPort = connection.peer.tcpPort;
    session.sinceMs = this.#engine.clock.nowMs();
    session.connectedMs = session.sinceMs;
    session.lastTraffic = null;
    connection.sinceMs = session.sinceMs;
  }

  /** Writes the record of a session that has one; false when it has none. */
  #putRecord(session: Session): boolean {
    let store = session.store ?? this.#records.get(session);
    if (store === undefined) {
      if (session.will === null) return false;
      store = this.#engine.store.session(session.clientId);
      this.#records.set(session, store);
    }
    store.put(this.#recordOf(session));
    return true;
  }

  #recordOf(session: Session): SessionRecord {
    return {
      protocolVersion: session.version,
      username: session.username,
      cleanStart: session.cleanStart,
      keepAliveS: session.keepAliveS,
      expiryIntervalS: session.expiryIntervalS,
      expiresAtMs: session.expiry?.atMs ?? null,
      seqLimit: session.seqLimit,
      will:
        session.will === null ? null : { ...session.will, dueAtMs: session.willDue?.atMs ?? null },
      listener: session.listener,
      peerAddress: session.peerAddress,
      peerPort: session.peerPort,
      sinceMs: session.sinceMs,
      createdMs: session.createdMs,
      connectedMs: session.connectedMs,
      isBridge: session.isBridge,
    };
  }

  #expiryOfLoaded(session: Session, nowMs: number): "kept" | "ended" {
    if (session.expiryIntervalS === 0) {
      this.end(session);
      return "ended";
    }
    if (session.expiryIntervalS !== SESSION_NEVER_EXPIRES) {
      const atMs = session.loadedExpiryMs ?? nowMs + session.expiryIntervalS * 1000;
      this.#expireAt(session, atMs);
    }
    return "kept";
  }

  #expireAt(session: Session, atMs: number): void {
    session.expiry = this.#engine.deadlines.at(atMs, () => this.end(session));
  }

  #delayWill(session: Session, dueAtMs: number): void {
    session.willDue = this.#engine.deadlines.at(dueAtMs, () => {
      session.willDue = null;
      this.#publishWill(session);
      if (this.#putRecord(session)) this.#engine.store.schedule(false);
    });
  }

  #publishWill(session: Session): void {
    const { will, clientId, username, isSuperuser, peerAddress: address } = session;
    session.will = null;
    if (will === null) return;
    const engine = this.#engine;
    const { access, counters, hooks, log } = engine;
    const who = { clientId, username, isSuperuser, address };
    const publish = (message: Message): void => {
      const way = engine.wayOf(who, message.topic);
      if (way === "bad_delay" || !mayGo(access, who, way, message)) {
        counters.denied++;
        return;
      }
      counters.publishedHere++;
      engine.publishAlong(way, message).catch((err: unknown) => {
        log.warn({ clientId, err: reasonOf(err) }, "a will could not be stored");
      });
    };
    if (hooks.authorizePublish === null) {
      publish(will.message);
      return;
    }
    hooks.authorizePublish(null, will.message, (err, change) => {
      if (err === null) publish({ ...will.message, ...change });
      else counters.denied++;
    });
  }

  /** Takes the subscriptions out a part at a time: a client may have very many. */
  #teardown(session: Session, subscriptions: readonly StoredSubscription[], from: number): void {
    const to = Math.min(from + TEARDOWN_SLICE, subscriptions.length);
    for (const { filter } of subscriptions.slice(from, to)) {
      if (session.subscriptions.delete(filter)) this.#engine.levels.unsubscribed(filter);
      this.#engine.router.unsubscribe(session, filter);
    }
    if (to < subscriptions.length) {
      setImmediate(() => this.#teardown(session, subscriptions, to));
      return;
    }
    for (const { share, entry } of session.takeShared()) {
      this.#engine.pipeline.redeliver(share, entry.message, entry.qos);
    }
  }
}
