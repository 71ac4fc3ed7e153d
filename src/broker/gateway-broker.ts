import { randomUUID } from "node:crypto";
import type { Duplex } from "node:stream";
import { reasonOf } from "../errors/index.ts";
import type { Log } from "../log/index.ts";
import { type Message, type Origin, type Peer, topic } from "../mqtt/index.ts";
import type { Clock } from "../time/index.ts";
import { Access, type AccessLimits } from "./access.ts";
import type { StatusEvent } from "./client-status.ts";
import { Connections } from "./connections.ts";
import { Counters } from "./counters.ts";
import {
  type ConnectPacket,
  type Done,
  Engine,
  type EngineClient,
  type EnginePacket,
  type WirePacket,
} from "./engine.ts";
import { guard } from "./guard.ts";
import { GuardedPersistence, type PersistenceRules } from "./guarded-persistence.ts";
import { InProcessSubscribers } from "./in-process-subscribers.ts";
import { END, type EndReason, type Link } from "./link.ts";
import { frameBytes, levelsOf } from "./packet-rules.ts";
import type { BrokerPersistence } from "./persistence.ts";
import type { Authenticator, Authorizer } from "./ports.ts";

/** Limits that change while the broker runs. */
export interface LiveLimits {
  maxPacketSizeBytes: number;
  clientMaxPacketSizeBytes: number;
  /** Per mille of the Keep Alive; new connections get it. */
  keepaliveMultiplier: number;
}

interface Parts {
  readonly log: Log;
  readonly clock: Clock;
  readonly persistence: BrokerPersistence;
  readonly authenticator: Authenticator;
  readonly authorizer: Authorizer;
  readonly live: Readonly<LiveLimits>;
  readonly limits: AccessLimits & {
    readonly connect_timeout_s: number;
    readonly max_awaiting_rel: number;
  };
  readonly concurrency: number;
}

/** A reader that takes nothing for so long is closed: aedes stalls its publishers meanwhile. */
const DRAIN_TIMEOUT_MS = 10_000;

/** CONNACK "identifier rejected" (MQTT 3.1.1 §3.2.2.3). */
const IDENTIFIER_REJECTED = Buffer.from([0x20, 2, 0, 2]);

const RETURN_CODE = { accepted: 0, bad_credentials: 4, not_authorized: 5 } as const;
const SERVER_UNAVAILABLE = 3;

/** aedes with the gateway's rules: who may do what, what is counted, and who is told. */
export class GatewayBroker extends Engine {
  readonly counters = new Counters();
  readonly access: Access;
  readonly connections: Connections;
  readonly inProcess: InProcessSubscribers;
  readonly #parts: Parts;
  /** Packets that are acknowledged and go nowhere. */
  readonly #denied = new WeakSet<object>();
  #publishing = 0;
  #onIdle: (() => void) | null = null;

  constructor(parts: Parts) {
    super({
      concurrency: parts.concurrency,
      connectTimeout: parts.limits.connect_timeout_s * 1000,
      drainTimeout: DRAIN_TIMEOUT_MS,
      // Packets sent right behind CONNECT: aedes stops reading meanwhile, so one read bounds them.
      queueLimit: 65_536,
      maxClientsIdLength: 65_535,
      maxInflightInbound: parts.limits.max_awaiting_rel,
      // aedes closes a client for a filter that is too deep; below its ceiling we refuse the filter.
      maxTopicLevels: 100,
    });
    this.#parts = parts;
    const { log, clock, persistence } = parts;
    this.access = new Access(parts.authorizer, parts.limits, log);
    this.connections = new Connections({
      log,
      clock,
      persistence,
      announce: (events) => this.#announce(events),
    });
    this.inProcess = new InProcessSubscribers((err) => {
      log.error({ err: reasonOf(err) }, "a message handler of the gateway failed");
    });
    this.opts.persistence = new GuardedPersistence(persistence, this.#persistenceRules());
    this.authenticate = (client, _username, _password, done) => this.#authenticate(client, done);
    this.authorizePublish = (client, packet, done) => this.#authorizePublish(client, packet, done);
    this.authorizeSubscribe = (client, subscription, done) => {
      done(null, this.#isGranted(client, subscription) ? subscription : null);
    };
    this.authorizeForward = (client, packet) => this.#forward(client, packet);
    this.#listen();
  }

  /** Serves a connection a listener accepted. */
  accept(stream: Duplex, peer: Peer): void {
    const engine = this.handle(stream);
    const link = this.connections.open(engine, peer);
    guard(engine._parser, {
      maxPacketSizeBytes: () => this.#parts.live.maxPacketSizeBytes,
      onPacket: (packet) => this.#checked(link, packet),
      onFault: (reason) => engine.emit("error", new Error(reason)),
    });
  }

  /** Routes a message of the gateway's own parts; resolves once what must last is stored. */
  publishMessage(message: Message): Promise<void> {
    const { payload, qos, retain } = message;
    const packet: EnginePacket = { cmd: "publish", topic: message.topic, payload, qos, retain };
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#route(packet, message.origin, null, (err) => (err ? reject(err) : resolve()), message);
    return promise;
  }

  /** What aedes publishes: what its clients sent, their wills, and its own events. */
  override publish(packet: EnginePacket, second: EngineClient | null | Done, third?: Done): void {
    const client = typeof second === "function" ? null : second;
    const done = (typeof second === "function" ? second : third) ?? noop;
    if (this.#denied.delete(packet)) done();
    else this.#route(packet, this.#originOf(packet, client), client, done);
  }

  /** Ends the connection of `link`, for `reason`. */
  end(link: Link, reason: EndReason): Promise<void> {
    link.end = reason;
    const { promise, resolve } = Promise.withResolvers<void>();
    link.engine.close(resolve);
    return promise;
  }

  /** Closes every connection; resolves when their wills are published and nothing is under way. */
  async endAll(): Promise<void> {
    await Promise.all(this.connections.all().map((link) => this.end(link, END.stopping)));
    if (this.#publishing === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onIdle = resolve;
    await promise;
  }

  /** Publishes the wills of the clients that were connected when the process before this one died. */
  async publishWillsLeftBehind(): Promise<void> {
    const wills: AsyncIterable<EnginePacket> = this.#parts.persistence.streamWill();
    for await (const will of wills) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#authorizePublish(null, will, () => this.publish(will, null, () => resolve()));
      await promise;
      await this.#parts.persistence.delWill({ id: will.clientId ?? "" });
    }
  }

  override registerClient(client: EngineClient): void {
    // A client that went away while its CONNECT was worked on would stay registered for ever.
    if (client.closed) {
      this.connections.report(this.#parts.persistence.delWill(client), "delete a will");
      return;
    }
    const current = this.clients[client.id];
    if (current?.closed === true) this.unregisterClient(current);
    else if (current !== undefined) {
      const link = this.connections.of(current);
      if (link !== undefined) link.end = END.takenOver;
    }
    super.registerClient(client);
  }

  // aedes unregisters by client id, whichever connection of that id it is that closes.
  override unregisterClient(client: EngineClient): void {
    if (this.clients[client.id] === client) super.unregisterClient(client);
  }

  #listen(): void {
    const withLink =
      <A>(task: (link: Link, more: A) => void) =>
      (client: EngineClient, more: A) => {
        const link = this.connections.of(client);
        if (link !== undefined) task(link, more);
      };
    const failed = withLink<Error>((link, err) => this.connections.failed(link, err));
    this.on("clientError", failed);
    this.on("connectionError", failed);
    this.on(
      "client",
      withLink((link) => this.#attached(link)),
    );
    this.on(
      "clientDisconnect",
      withLink((link) => this.connections.detached(link)),
    );
    this.on("connackSent", ({ returnCode }: { returnCode: number }, client: EngineClient) => {
      withLink<number>((link) => this.connections.answered(link, returnCode))(client, returnCode);
    });
    this.on("unsubscribe", (filters: readonly string[], client: EngineClient) => {
      const known: Map<string, unknown> | undefined = this.connections.of(client)?.session?.filters;
      for (const filter of filters) known?.delete(filter);
    });
  }

  #route(
    packet: EnginePacket,
    origin: Origin,
    client: EngineClient | null,
    done: Done,
    message?: Message,
  ): void {
    const { topic: name, qos = 0 } = packet;
    const isCounted = origin.kind !== "system";
    if (isCounted) this.counters.received();
    const { isWanted, safe } = this.inProcess.deliver(
      name,
      () => message ?? toMessage(packet, origin),
    );
    if (isCounted && !isWanted && this.mq._matcher.match(name).length === 0) {
      this.#countUnwanted(name, qos);
    }
    this.#publishing += 1;
    super.publish(packet, client, (err) => {
      if (safe.length === 0) {
        this.#routed(err, done);
        return;
      }
      Promise.all(safe).then(
        () => this.#routed(err, done),
        (cause: unknown) => this.#routed(new Error(reasonOf(cause), { cause }), done),
      );
    });
  }

  #routed(err: Error | null | undefined, done: Done): void {
    this.#publishing -= 1;
    if (this.#publishing === 0) this.#onIdle?.();
    done(err);
  }

  #countUnwanted(name: string, qos: number): void {
    if (qos === 0) {
      this.counters.dropped("no_subscriber");
      return;
    }
    const counted = this.#parts.persistence.subscriptionsByTopic(name).then((stored) => {
      if (stored.length === 0) this.counters.dropped("no_subscriber");
    });
    this.connections.report(counted, "look up subscriptions");
  }

  #originOf(packet: EnginePacket, client: EngineClient | null): Origin {
    if (client !== null) {
      const { clientId, username } = this.connections.identity(client);
      return { kind: "client", clientId, username };
    }
    // Without a client it is a will from the store, or one of aedes's own events.
    const { clientId, username = null } = packet;
    return clientId === undefined ? { kind: "system" } : { kind: "client", clientId, username };
  }

  #checked(link: Link, packet: WirePacket): boolean {
    if (packet.cmd === "connect") return link.connect !== null || this.#identified(link, packet);
    if (packet.cmd === "subscribe") this.access.boundSubscribe(packet.subscriptions);
    if (packet.cmd !== "publish") return true;
    link.messagesIn += 1;
    return this.#isShallow(link, packet.topic);
  }

  #identified(link: Link, connect: ConnectPacket): boolean {
    link.connect = connect;
    if (connect.will !== undefined && !this.#isShallow(link, connect.will.topic)) return false;
    if (connect.clientId !== "") return true;
    // [MQTT-3.1.3-8], and MQTT 3.1 knows no empty client id.
    if (!connect.clean || connect.protocolVersion === 3) {
      link.engine.conn.end(IDENTIFIER_REJECTED, () => link.engine.close());
      return false;
    }
    connect.clientId = `tidegate-${randomUUID()}`;
    return true;
  }

  #isShallow(link: Link, name: string): boolean {
    if (levelsOf(name) <= this.#parts.limits.max_topic_levels) return true;
    link.engine.emit("error", new Error("topic has too many levels"));
    return false;
  }

  #authenticate(
    client: EngineClient,
    done: (err: (Error & { returnCode?: number }) | null, isAccepted: boolean) => void,
  ): void {
    const link = this.connections.of(client);
    const connect = link?.connect;
    if (link === undefined || !connect) {
      done(null, false);
      return;
    }
    const { clientId, password = null } = connect;
    const { username, peer } = link;
    void this.#verdict({ clientId, username, password, peer }).then((returnCode) => {
      if (returnCode === 0) {
        this.connections.authenticated(link);
        done(null, true);
      } else {
        const refusal = new Error(`refused with return code ${returnCode}`);
        done(Object.assign(refusal, { returnCode }), false);
      }
    });
  }

  async #verdict(request: Parameters<Authenticator["authenticate"]>[0]): Promise<number> {
    try {
      return RETURN_CODE[await this.#parts.authenticator.authenticate(request)];
    } catch (err) {
      this.#parts.log.error({ err: reasonOf(err) }, "authenticator failed, client refused");
      return SERVER_UNAVAILABLE;
    }
  }

  /** Asked for each PUBLISH, and for a will when it is due. */
  #authorizePublish(client: EngineClient | null, packet: EnginePacket, done: Done): void {
    const { clientId = "", username = null } = packet;
    const who = client ? this.connections.identity(client) : { clientId, username, address: "" };
    if (this.access.mayPublish(who, packet.topic)) {
      done(null);
      return;
    }
    this.counters.dropped("rejected");
    const isWill = client === null || client.closed;
    if (!isWill && this.#parts.authorizer.denyAction === "disconnect") {
      done(new Error("publish denied"));
      return;
    }
    this.connections.trouble.report("publish denied", { ...who });
    this.#denied.add(packet);
    done(null);
  }

  #isGranted(client: object, subscription: { topic: string; qos: 0 | 1 | 2 }): boolean {
    const session = this.connections.of(client)?.session ?? null;
    if (session === null) return false;
    return this.access.grant(this.connections.identity(client), session, subscription);
  }

  /** Asked for each copy before it is written to a client. */
  #forward(client: EngineClient, packet: EnginePacket): EnginePacket | null {
    if (packet.topic.startsWith("$SYS/")) return packet;
    if (frameBytes(packet) > this.#parts.live.clientMaxPacketSizeBytes) {
      this.counters.dropped("too_large");
      return null;
    }
    this.counters.sent();
    const link = this.connections.of(client);
    if (link !== undefined) link.messagesOut += 1;
    return packet;
  }

  #attached(link: Link): void {
    this.connections.attached(link);
    const { engine, connect } = link;
    if (connect === null || connect.keepalive === 0) return;
    clearTimeout(engine._keepaliveTimer ?? undefined);
    engine._keepaliveInterval = connect.keepalive * this.#parts.live.keepaliveMultiplier;
    // aedes refreshes this timer with every packet, and clears it when the client closes.
    engine._keepaliveTimer = setTimeout(() => {
      link.end = END.keepAlive;
      engine.emit("error", new Error(END.keepAlive.text));
    }, engine._keepaliveInterval);
  }

  #announce(events: readonly StatusEvent[]): void {
    for (const { topic: name, payload } of events) {
      const packet: EnginePacket = { cmd: "publish", topic: name, payload, qos: 0 };
      this.#route(packet, { kind: "system" }, null, noop);
    }
  }

  #persistenceRules(): PersistenceRules {
    const { connections } = this;
    return {
      isGranted: (client, subscription) => this.#isGranted(client, subscription),
      mayKeep: (clientId, { topic: filter }) => {
        const link = connections.connecting(clientId);
        if (link === undefined) return true;
        const mayKeep = this.access.maySubscribe(connections.identity(link.engine), filter);
        const filters: Map<string, unknown> | undefined = link.session?.filters;
        if (!mayKeep) filters?.delete(filter);
        return mayKeep;
      },
      beginSession: (clientId) => connections.store(clientId),
      endSession: (clientId) => connections.sessions.end(clientId),
      ownsSession: (client) => {
        const link = connections.of(client);
        const owner = this.clients[client.id];
        return link?.session != null && (owner === undefined || owner === link.engine);
      },
      usernameOf: (client) => connections.identity(client).username,
    };
  }
}

function toMessage(packet: EnginePacket, origin: Origin): Message {
  const { payload, qos = 0, retain = false } = packet;
  return {
    topic: topic(packet.topic),
    payload: typeof payload === "string" ? Buffer.from(payload) : payload,
    qos,
    retain,
    origin,
  };
}

function noop(): void {}
