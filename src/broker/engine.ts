import type { Duplex } from "node:stream";
import { reasonOf } from "../errors/index.ts";
import type { Log } from "../log/index.ts";
import type {
  EngineStore,
  Message,
  Peer,
  StoredMessage,
  StoredSubscription,
  Topic,
  TopicFilter,
} from "../mqtt/index.ts";
import type { Clock, Timer } from "../time/index.ts";
import { Access } from "./access.ts";
import { type PacketFault, REASON, type ReasonCode } from "./codec/index.ts";
import { Committer } from "./committer.ts";
import { Connection } from "./connection.ts";
import { Counters } from "./counters.ts";
import { Deadlines } from "./deadlines.ts";
import { Detour, type Way } from "./detour.ts";
import { type Emitter, Exchange } from "./exchange.ts";
import type { LocalHandler } from "./handler.ts";
import { Handshake } from "./handshake.ts";
import type { Hooks } from "./hooks.ts";
import { PeakLevels } from "./levels.ts";
import { Lifecycle } from "./lifecycle.ts";
import type { Limits } from "./limits.ts";
import { type OutboxContext, READ_RETRY_MS } from "./outbox.ts";
import { Outgoing } from "./outgoing.ts";
import { Pipeline, type Published, StoreRefused } from "./pipeline.ts";
import type {
  Admission,
  Authenticator,
  Authorizer,
  AutoSubscriptions,
  DelayedMessages,
  Renamed,
  RepeatFilter,
  TopicRewrite,
} from "./ports.ts";
import { Publication } from "./publication.ts";
import { Publishing } from "./publishing.ts";
import { RetainedIndex } from "./retained.ts";
import { RetainedDelivery } from "./retained-delivery.ts";
import { Router } from "./router.ts";
import { Session } from "./session.ts";
import { Subscribing } from "./subscribing.ts";
import { closeEvents, connackEvents } from "./sys.ts";
import { TroubleLog } from "./trouble-log.ts";
import { Turns } from "./turns.ts";
import { clientEvent, Watch } from "./watch.ts";
import { Flusher } from "./writer.ts";

/** What the engine is built from. */
export interface EngineParts extends EnginePorts {
  readonly log: Log;
  readonly clock: Clock;
  readonly store: EngineStore;
  readonly authenticator: Authenticator;
  readonly authorizer: Authorizer;
  readonly limits: Limits;
  readonly hooks: Hooks;
  /** aedes's id of this broker. */
  readonly brokerId: string;
  /** Joins this broker with others. */
  readonly emitter?: Emitter;
}

/** What the engine asks other parts about, where they are there. */
export interface EnginePorts {
  readonly admission?: Admission;
  readonly rewrite?: TopicRewrite;
  readonly delayed?: DelayedMessages;
  readonly autoSubscriptions?: AutoSubscriptions;
  readonly repeats?: RepeatFilter;
}

const TICK_MS = 100;
/** A closed connection gets this many ticks to take its last bytes. */
const LINGER_TICKS = 15;
/** Clients ended in one turn of the loop at the stop. */
const STOP_SLICE = 200;

/** The parts of the protocol engine, joined, and what concerns all connections. */
export class Engine {
  readonly log: Log;
  readonly clock: Clock;
  readonly store: EngineStore;
  readonly limits: Limits;
  readonly hooks: Hooks;
  readonly authenticator: Authenticator;
  readonly authorizer: Authorizer;
  readonly access: Access;
  /** Null while topics are only routed as they come. */
  readonly detour: Detour | null;
  readonly admission: Admission | null;
  readonly autoSubscriptions: AutoSubscriptions | null;
  readonly repeats: RepeatFilter | null;
  readonly counters = new Counters();
  readonly levels = new PeakLevels();
  readonly watch = new Watch();
  readonly flusher = new Flusher();
  readonly turns = new Turns();
  readonly router = new Router<Session, LocalHandler>();
  readonly committer: Committer;
  readonly deadlines: Deadlines;
  readonly retained: RetainedIndex;
  readonly retainedDelivery: RetainedDelivery;
  readonly sessionContext: OutboxContext;
  readonly lifecycle: Lifecycle;
  readonly pipeline: Pipeline;
  readonly handshake: Handshake;
  readonly publishing: Publishing;
  readonly subscribing: Subscribing;
  readonly trouble: TroubleLog;
  /** Null while this broker is alone. */
  readonly exchange: Exchange | null;
  readonly tickMs = TICK_MS;
  /** Counts the sweeps: the time base of everything that need not be exact. */
  tick = 0;
  isStopping = false;
  /** Connections whose CONNECT was accepted. */
  readyCount = 0;
  readonly connections = new Set<Connection>();
  /** Streams on their way out, with the tick at which they are cut off. */
  readonly #leaving = new Map<Duplex, number>();
  #timer: Timer | null = null;

  constructor(parts: EngineParts) {
    const { log, clock, store, limits, hooks } = parts;
    this.log = log;
    this.clock = clock;
    this.store = store;
    this.limits = limits;
    this.hooks = hooks;
    this.authenticator = parts.authenticator;
    this.authorizer = parts.authorizer;
    this.access = new Access(parts.authorizer, log, this.counters);
    const { rewrite = null, delayed = null } = parts;
    this.detour =
      rewrite === null && delayed === null
        ? null
        : new Detour({ rewrite, delayed }, limits.maxTopicLevels);
    this.admission = parts.admission ?? null;
    this.autoSubscriptions = parts.autoSubscriptions ?? null;
    this.repeats = parts.repeats ?? null;
    this.trouble = new TroubleLog(log, clock);
    this.committer = new Committer(store);
    this.deadlines = new Deadlines(() => store.nowMs());
    this.retained = new RetainedIndex(store, this.deadlines);
    const outgoing = new Outgoing();
    const queueOutgoing = new Outgoing();
    const { counters, committer, router, retained } = this;
    this.retainedDelivery = new RetainedDelivery({
      index: retained,
      store,
      outgoing,
      isOn: () => limits.retainer.isOn,
      mayDeliver: (session, subscription, message) =>
        this.#mayDeliver(session, subscription, message),
      onReadFailed: (err) => log.error({ err: reasonOf(err) }, "a retained message is unreadable"),
    });
    this.sessionContext = {
      store,
      committer,
      outgoing,
      queueOutgoing,
      queuePublication: new Publication(),
      counters,
      watch: this.watch,
      limits,
      onRoom: (outbox) => {
        if (outbox instanceof Session) this.retainedDelivery.onRoom(outbox);
      },
      onReadFailed: (session, err) => {
        const { clientId } = session;
        log.error({ clientId, err: reasonOf(err) }, "a queue cannot be read, trying again");
        clock.after(READ_RETRY_MS, () => session.pump());
      },
    };
    this.exchange =
      parts.emitter === undefined ? null : this.#joinOthers(parts.emitter, parts.brokerId);
    const { exchange } = this;
    this.pipeline = new Pipeline({
      log,
      store,
      committer,
      outgoing,
      counters,
      levels: this.levels,
      watch: this.watch,
      router,
      retained,
      hooks,
      retainer: limits.retainer,
      onNotRetained: (topic, reason) =>
        this.trouble.report("message not retained", { topic, reason }),
      forward: exchange && ((pub) => exchange.forward(pub)),
    });
    this.lifecycle = new Lifecycle(this);
    this.handshake = new Handshake(this);
    this.publishing = new Publishing(this);
    this.subscribing = new Subscribing(this);
  }

  /** Reads what the store has, then keeps time. */
  async start(): Promise<void> {
    this.committer.start();
    for await (const batch of this.store.sessions()) {
      for (const loaded of batch) this.lifecycle.load(loaded);
    }
    for await (const batch of this.store.retained()) {
      for (const loaded of batch) this.retained.load(loaded);
    }
    this.lifecycle.settleLoaded();
    // What fell due while the gateway was off is over before the first client comes.
    while (this.deadlines.run()) await new Promise((resolve) => setImmediate(resolve));
    this.deadlines.start(this.clock);
    this.#timer = this.clock.every(TICK_MS, () => this.#sweep());
    await this.exchange?.start();
  }

  /** Ends all connections, wills published, and waits for the last commit. */
  async stop(): Promise<void> {
    this.isStopping = true;
    let count = 0;
    for (const connection of [...this.connections]) {
      connection.end(REASON.serverShuttingDown, "server is shutting down");
      if (++count % STOP_SLICE === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    this.deadlines.stop();
    await this.exchange?.stop();
    await new Promise<void>((resolve) => this.committer.after(true, () => resolve()));
    this.committer.stop();
    this.#timer?.cancel();
    this.#timer = null;
    for (const stream of this.#leaving.keys()) stream.destroy();
    this.#leaving.clear();
  }

  accept(stream: Duplex, peer: Peer): Connection {
    const connection = new Connection(this, stream, peer);
    this.connections.add(connection);
    return connection;
  }

  /** The tick at a moment of the past, monotonic ms; the present one when it is not known. */
  tickAt(monotonicMs: number | undefined): number {
    if (monotonicMs === undefined) return this.tick;
    const agoMs = Math.max(0, this.clock.monotonicMs() - monotonicMs);
    return this.tick - Math.floor(agoMs / TICK_MS);
  }

  /** The connection a session is attached to. */
  connectionOf(session: Session | undefined): Connection | null {
    return session?.link instanceof Connection ? session.link : null;
  }

  /** CONNACK is on its way. */
  onReady(connection: Connection, isPresent: boolean): void {
    const { hooks, counters } = this;
    this.readyCount++;
    this.levels.live(this.readyCount);
    counters.connected++;
    counters.connackOut++;
    if (hooks.listens("client")) hooks.emit("client", connection);
    if (hooks.listens("connackSent")) {
      const connack = { cmd: "connack", returnCode: 0, sessionPresent: isPresent };
      hooks.emit("connackSent", connection, connack);
    }
    if (hooks.listens("clientReady")) hooks.emit("clientReady", connection);
    const { clientId, peer } = connection;
    this.log.info({ clientId, listener: peer.listener, address: peer.address }, "client connected");
    this.#announceAll(() => connackEvents(connection, 0, this.clock.nowMs()));
    this.watch.observer?.client(
      clientEvent(connection, "connected", {
        listener: peer.listener,
        version: connection.connect?.version ?? 0,
        session_present: isPresent ? 1 : 0,
      }),
    );
    this.exchange?.tell("new/clients", clientId);
  }

  /** A CONNECT was refused. */
  onRefused(connection: Connection, code: ReasonCode): void {
    const { clientId, peer } = connection;
    this.trouble.report("client refused", { clientId, address: peer.address, code });
    this.watch.observer?.client(clientEvent(connection, "refused", { reason_code: code }));
    if (this.hooks.listens("connackSent")) {
      const connack = { cmd: "connack", returnCode: code, sessionPresent: false };
      this.hooks.emit("connackSent", connection, connack);
    }
    this.#announceAll(() => connackEvents(connection, code, this.clock.nowMs()));
  }

  /** A connection is over. */
  onClosed(
    connection: Connection,
    reason: string,
    wasReady: boolean,
    fault: PacketFault | null,
  ): void {
    const { stream, session, clientId } = connection;
    this.connections.delete(connection);
    this.#letGo(stream);
    if (fault !== null) {
      this.trouble.report("client closed", { clientId, reason });
      const name = clientId === "" ? "connectionError" : "clientError";
      if (this.hooks.listens(name)) this.hooks.emit(name, connection, fault);
    }
    if (session?.link === connection) this.lifecycle.detach(session, wasReady);
    if (!wasReady) return;
    this.readyCount--;
    this.counters.disconnected++;
    this.log.info({ clientId, reason }, "client disconnected");
    this.watch.observer?.client(clientEvent(connection, "disconnected", { reason }));
    if (this.hooks.listens("clientDisconnect")) this.hooks.emit("clientDisconnect", connection);
    this.#announceAll(() => closeEvents(connection, this.clock.nowMs()));
    this.exchange?.tell("disconnect/clients", clientId);
  }

  /** The way of a message that did not come in a PUBLISH. */
  wayOf(who: Renamed, name: Topic): Way | "bad_delay" {
    const { detour } = this;
    if (detour?.concerns(name) !== true) return { real: name, topic: name, delayMs: null };
    return detour.wayOf(who, name, null, this.clock.nowMs());
  }

  /** Publishes along `way`, now or later; resolves when whatever must last is stored. */
  async publishAlong(way: Way, message: Message): Promise<Published> {
    const moved = way.topic === message.topic ? message : { ...message, topic: way.topic };
    if (way.delayMs === null) return this.pipeline.publish(moved);
    const kept = this.detour?.delayed?.add(moved, way.delayMs) ?? null;
    if (kept === null) throw new StoreRefused();
    const publishedMs = this.clock.nowMs();
    await kept;
    return { receivers: 1, publishedMs };
  }

  /** Publishes one of the gateway's own events, when anybody listens; the counters leave it out. */
  announce(event: Message): void {
    const plan = this.router.plan(event.topic);
    const isHeard = plan.receivers.length + plan.handlers.length + plan.shares.length > 0;
    if (!isHeard && this.exchange === null) return;
    this.pipeline.publish(event).catch((err: unknown) => {
      this.log.warn({ err: reasonOf(err) }, "an event could not be published");
    });
  }

  /** Whether anybody could receive a `$SYS` topic. */
  get isSysHeard(): boolean {
    return this.exchange !== null || this.router.hasFirstLevel("$SYS");
  }

  /** Builds and publishes `$SYS` events, when anybody could be listening. */
  #announceAll(events: () => readonly Message[]): void {
    if (!this.isSysHeard) return;
    for (const event of events()) this.announce(event);
  }

  addHandler(filter: TopicFilter, handle: LocalHandler["handle"]): () => void {
    const handler = { filter, handle };
    this.router.addHandler(filter, handler);
    return () => this.router.removeHandler(filter, handler);
  }

  /**
   * Rights may have been withdrawn since the message was published, or the filter granted: neither
   * its publisher's nor its receiver's is taken for granted.
   */
  #mayDeliver(
    session: Session,
    { isGranted, qos: wantedQos }: StoredSubscription,
    message: StoredMessage,
  ): boolean {
    const { topic, origin, qos, retain } = message;
    const { clientId, username, isSuperuser, peerAddress: address } = session;
    const receiver = { clientId, username, isSuperuser, address };
    const mayReceive = isGranted === true || this.access.maySubscribe(receiver, topic, wantedQos);
    if (!mayReceive) return false;
    if (origin.kind !== "client") return true;
    // Whether it was published by a superuser is not stored; whether it would be one now is known.
    const publisher = {
      clientId: origin.clientId,
      username: origin.username,
      isSuperuser: true,
      address: "",
    };
    return this.access.mayPublish(publisher, topic, qos, retain);
  }

  #joinOthers(emitter: Emitter, id: string): Exchange {
    const { log, clock, trouble } = this;
    return new Exchange(emitter, id, {
      log,
      clock,
      trouble,
      deliver: async (message) => {
        await this.pipeline.publish(message, true);
      },
      announce: (message) => this.announce(message),
      cutOff: (clientId) => {
        const connection = this.connectionOf(this.lifecycle.sessions.get(clientId));
        connection?.end(REASON.sessionTakenOver, "taken over at another broker");
      },
    });
  }

  #letGo(stream: Duplex): void {
    if (stream.destroyed) return;
    this.#leaving.set(stream, this.tick + LINGER_TICKS);
    stream.once("close", () => this.#leaving.delete(stream));
    stream.once("end", () => stream.destroy());
    stream.resume();
    if (stream.readableEnded) stream.once("finish", () => stream.destroy());
    stream.end();
  }

  #sweep(): void {
    this.tick++;
    for (const [stream, due] of this.#leaving) if (this.tick >= due) stream.destroy();
    const connectTicks = Math.ceil(this.limits.connectTimeoutMs / TICK_MS);
    for (const connection of this.connections) this.#check(connection, connectTicks);
  }

  #check(connection: Connection, connectTicks: number): void {
    const silent = this.tick - connection.lastTick;
    if (connection.state !== "ready") {
      if (silent > connectTicks) connection.close("no CONNECT in time");
      return;
    }
    // [MQTT-3.1.2-22]; a client we do not read cannot be called silent.
    if (
      connection.keepAliveTicks > 0 &&
      silent > connection.keepAliveTicks &&
      !connection.isPaused
    ) {
      if (this.hooks.listens("keepaliveTimeout")) this.hooks.emit("keepaliveTimeout", connection);
      connection.fail(REASON.keepAliveTimeout, "keep alive timeout");
      return;
    }
    this.#checkReading(connection);
  }

  /** A reader that takes nothing is cut off, so that what is meant for it can wait in its session. */
  #checkReading(connection: Connection): void {
    const { writer } = connection;
    if (!writer.isBlocked || writer.tookSome()) {
      connection.stalledTicks = 0;
      return;
    }
    connection.stalledTicks++;
    if (connection.stalledTicks * TICK_MS < this.limits.stalledReaderMs) return;
    connection.end(REASON.quotaExceeded, "the client does not read");
  }
}
