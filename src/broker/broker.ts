import type { Duplex } from "node:stream";
import type { Config } from "../config/index.ts";
import { GatewayError, reasonOf } from "../errors/index.ts";
import type { Log } from "../log/index.ts";
import type {
  Bus,
  ClientInfo,
  MessageCounters,
  Peer,
  QoS,
  SubscriptionInfo,
  TopicFilter,
} from "../mqtt/index.ts";
import type { Clock } from "../time/index.ts";
import type { WireSubscription } from "./engine.ts";
import { GatewayBroker, type LiveLimits } from "./gateway-broker.ts";
import { END } from "./link.ts";
import { levelsOf } from "./packet-rules.ts";
import type { BrokerPersistence, StoredMessage } from "./persistence.ts";
import type { Authenticator, Authorizer } from "./ports.ts";
import { clientInfo, type Session, subscriptionInfos } from "./sessions.ts";

export interface BrokerDeps {
  readonly log: Log;
  readonly clock: Clock;
  readonly persistence: BrokerPersistence;
  readonly authenticator: Authenticator;
  readonly authorizer: Authorizer;
  /**
   * The store failed in a way the broker cannot answer to a client: what it acknowledges from now
   * on may not last. Called for each such failure; whoever runs the process decides.
   */
  onFatal(err: Error): void;
}

export interface BrokerConfig {
  readonly mqtt: Config["mqtt"];
  /** Messages queued for one session; the oldest are dropped and counted. */
  readonly msqLen: number;
  /** Messages routed at once. */
  readonly concurrency: number;
}

/** The MQTT broker (3.1 and 3.1.1), as the other parts see it. */
export interface Broker extends Bus {
  /**
   * Reads the stored sessions, publishes the wills of clients that a crash cut off, and accepts
   * connections. The persistence must have been started.
   */
  start(signal?: AbortSignal): Promise<void>;
  /** Closes all clients, their wills published, and waits at most 5 s for messages under way. */
  stop(): Promise<void>;
  /** Serves a connection; before `start` and after `stop` it is closed. */
  handle(stream: Duplex, peer: Peer): void;
  /** Connected clients, and the sessions left behind by those that may come back. */
  clients(): Iterable<ClientInfo>;
  client(clientId: string): ClientInfo | undefined;
  /** Of connected clients and of sessions left behind, also those from before a restart. */
  subscriptions(): Iterable<SubscriptionInfo>;
  /**
   * Subscribes a client, or a session left behind, as its own SUBSCRIBE would: stored where the
   * session is, retained messages delivered (queued, if QoS ≥ 1, for a session left behind). All or
   * nothing.
   * @throws GatewayError CLIENT_NOT_FOUND, SUBSCRIPTION_DENIED
   */
  subscribeClient(
    clientId: string,
    wanted: readonly { readonly filter: TopicFilter; readonly qos: QoS }[],
  ): Promise<void>;
  /** @throws GatewayError CLIENT_NOT_FOUND */
  unsubscribeClient(clientId: string, filters: readonly TopicFilter[]): Promise<void>;
  /** Closes the client's connection; its will is published. False when it is not connected. */
  disconnect(clientId: string): boolean;
  counters(): MessageCounters;
  retainedCount(): number;
  /** Applies limits while running; the Keep Alive multiplier counts for new connections. */
  reconfigure(live: {
    readonly msqLen?: number;
    readonly maxPacketSizeBytes?: number;
    readonly clientMaxPacketSizeBytes?: number;
    readonly keepaliveMultiplier?: number;
  }): void;
}

const STOP_DEADLINE_MS = 5000;

/**
 * The broker on aedes 1.2.0. Client status goes to `$SYS/brokers/client_status/<clientid>` (status
 * `online` or `offline`), `$SYS/brokers/connected` and `$SYS/brokers/disconnected`: QoS 0, not
 * retained, JSON with `username` (empty without one), `ts` (ms), `client_id`, `IPv4` (the peer's
 * address), `reason_code` of an end, and `proto_name`, `proto_ver`, `keepalive` (s), `clean_start`
 * (0 or 1), `return_code` of a CONNACK; codes are hexadecimal text. In the topic the characters
 * `/ + # %` and control characters of a client id are percent-encoded, and an id too long for a
 * topic is `sha256-` and its digest. Clients cannot publish to `$SYS/…`.
 */
export function createBroker(deps: BrokerDeps, cfg: BrokerConfig): Broker {
  const { clock, persistence, authenticator, authorizer } = deps;
  const log = deps.log.child({ part: "broker" });
  const live: LiveLimits = {
    maxPacketSizeBytes: cfg.mqtt.max_packet_size_bytes,
    clientMaxPacketSizeBytes: cfg.mqtt.client_max_packet_size_bytes,
    keepaliveMultiplier: cfg.mqtt.keepalive_multiplier,
  };
  const engine = new GatewayBroker({
    log,
    clock,
    persistence,
    authenticator,
    authorizer,
    live,
    limits: cfg.mqtt,
    concurrency: cfg.concurrency,
  });
  const { sessions } = engine.connections;
  let isServing = false;
  let isBroken = false;
  let stopping: Promise<void> | null = null;

  engine.on("error", (err: unknown) => {
    isBroken = true;
    log.error({ err: reasonOf(err) }, "the store failed");
    deps.onFatal(err instanceof Error ? err : new Error(String(err)));
  });

  function limitQueues(msqLen: number): void {
    persistence.limitQueues(msqLen, () => engine.counters.dropped("queue_full"));
  }

  function sessionOf(clientId: string): Session {
    const session = sessions.get(clientId);
    if (session === undefined) throw new GatewayError("CLIENT_NOT_FOUND", { clientId });
    return session;
  }

  async function close(): Promise<void> {
    const wasServing = isServing;
    isServing = false;
    if (!wasServing) return;
    const { promise: deadline, resolve: expire } = Promise.withResolvers<void>();
    // A message the store failed on stays under way for ever.
    const timer = clock.after(isBroken ? 0 : STOP_DEADLINE_MS, expire);
    await Promise.race([engine.endAll(), deadline]);
    timer.cancel();
    const { promise: closed, resolve } = Promise.withResolvers<void>();
    engine.close(resolve);
    await closed;
  }

  /** Queues the retained messages a SUBSCRIBE of an offline session would have brought. */
  async function queueRetained(clientId: string, filter: TopicFilter, qos: QoS): Promise<void> {
    const retained: AsyncIterable<StoredMessage> = persistence.createRetainedStreamCombi([filter]);
    for await (const packet of retained) {
      if (qos === 0 || packet.qos === 0) continue;
      engine.counter += 1;
      const message = {
        ...packet,
        retain: true,
        brokerId: engine.id,
        brokerCounter: engine.counter,
      };
      await persistence.outgoingEnqueue({ clientId, qos }, message);
    }
  }

  return {
    async start(signal) {
      signal?.throwIfAborted();
      for (const record of persistence.sessions()) {
        sessions.restore(record, await persistence.subscriptionsByClient({ id: record.clientId }));
      }
      limitQueues(cfg.msqLen);
      await engine.listen();
      isServing = true;
      await engine.publishWillsLeftBehind();
      if (signal?.aborted === true) {
        stopping ??= close();
        await stopping;
        signal.throwIfAborted();
      }
    },

    async stop() {
      stopping ??= close();
      await stopping;
    },

    handle(stream, peer) {
      if (isServing) engine.accept(stream, peer);
      else stream.destroy();
    },

    async publish(message) {
      const max = cfg.mqtt.max_topic_levels;
      if (levelsOf(message.topic) > max) {
        const reason = `it has more than ${max} levels`;
        throw new GatewayError("MQTT_TOPIC_INVALID", { value: message.topic, reason });
      }
      await engine.publishMessage(message);
    },

    subscribe: (filter, handler) => engine.inProcess.add(filter, handler),

    *clients() {
      for (const session of sessions.all()) yield clientInfo(session);
    },

    client(clientId) {
      const session = sessions.get(clientId);
      return session && clientInfo(session);
    },

    *subscriptions() {
      for (const session of sessions.all()) yield* subscriptionInfos(session);
    },

    async subscribeClient(clientId, wanted) {
      const session = sessionOf(clientId);
      const { username, peerAddress: address } = session.details;
      for (const { filter } of wanted) {
        const reason = engine.access.refusal({ clientId, username, address }, session, filter);
        if (reason !== null) {
          throw new GatewayError("SUBSCRIPTION_DENIED", { clientId, filter, reason });
        }
      }
      const subscriptions: WireSubscription[] = wanted.map(({ filter, qos }) => ({
        topic: filter,
        qos,
      }));
      if (session.link !== null) {
        const { promise, resolve, reject } = Promise.withResolvers<void>();
        session.link.engine.subscribe(subscriptions, (err) => (err ? reject(err) : resolve()));
        await promise;
        return;
      }
      await persistence.addSubscriptions({ id: clientId }, subscriptions);
      for (const { filter, qos } of wanted) {
        session.filters.set(filter, qos);
        await queueRetained(clientId, filter, qos);
      }
    },

    async unsubscribeClient(clientId, filters) {
      const session = sessionOf(clientId);
      if (session.isPersistent) {
        await persistence.removeSubscriptions({ id: clientId }, filters);
      }
      for (const filter of filters) session.filters.delete(filter);
      if (session.link === null) return;
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      session.link.engine.unsubscribe([...filters], (err) => (err ? reject(err) : resolve()));
      await promise;
    },

    disconnect(clientId) {
      const link = sessions.get(clientId)?.link ?? null;
      if (link === null) return false;
      void engine.end(link, END.administrative);
      return true;
    },

    counters: () => engine.counters.snapshot(),
    retainedCount: () => persistence.retainedCount(),

    reconfigure({ msqLen, ...limits }) {
      if (msqLen !== undefined) limitQueues(msqLen);
      Object.assign(live, limits);
    },
  };
}
