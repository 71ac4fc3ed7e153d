import type { Duplex } from "node:stream";
import type { Config } from "../config/index.ts";
import { GatewayError } from "../errors/index.ts";
import type { Log } from "../log/index.ts";
import type {
  Bus,
  EngineStore,
  Levels,
  Message,
  MessageCounters,
  Metrics,
  Observer,
  Peer,
} from "../mqtt/index.ts";
import type { Clock } from "../time/index.ts";
import { type Administration, administration } from "./administration.ts";
import type { EnginePorts } from "./engine.ts";
import type { Emitter as BrokerEmitter } from "./exchange.ts";
import { GatewayBroker } from "./gateway-broker.ts";
import type { EngineLevel } from "./levels.ts";
import {
  FIXED_LIMITS,
  type FixedLimits,
  type Limits,
  RETAINS_ALL,
  type RetainerLimits,
} from "./limits.ts";
import { type EngineMetric, engineMetrics } from "./metrics.ts";
import type { Published } from "./pipeline.ts";
import type { Authenticator, Authorizer } from "./ports.ts";

export interface BrokerDeps extends EnginePorts {
  readonly log: Log;
  readonly clock: Clock;
  /** Must have been started. */
  readonly store: EngineStore;
  readonly authenticator: Authenticator;
  readonly authorizer: Authorizer;
  /** aedes's own persistence, for extensions that use it beside the engine: set up at the start. */
  readonly persistence?: object;
  /**
   * aedes's emitter (mqemitter 7, in Redis for one), by which brokers get each other's messages and
   * take clients over from each other. Sessions, queues and retained messages from before stay each
   * broker's own. Closed with the broker, as aedes does.
   */
  readonly emitter?: BrokerEmitter;
}

export interface BrokerConfig {
  readonly mqtt: Config["mqtt"];
  /** Messages queued for one session; at the bound `mqtt.queue_policy` decides. */
  readonly msqLen: number;
  /** What is retained; everything where left out. */
  readonly retainer?: RetainerLimits;
  /** Bounds that have no configuration key; their defaults where left out. */
  readonly bounds?: Partial<FixedLimits>;
}

/** The MQTT broker (3.1, 3.1.1 and 5.0), as the other parts see it. */
export interface Broker extends Bus, Administration {
  /** The class behind this face, with aedes's hooks and events. */
  readonly aedes: GatewayBroker;
  /**
   * Reads the stored sessions and retained messages, and accepts connections. The wills of clients
   * that a crash cut off are published, after their delay.
   */
  start(signal?: AbortSignal): Promise<void>;
  /** Closes all clients (0x8B), their wills published, and waits at most 5 s for the store. */
  stop(): Promise<void>;
  /**
   * Publishes a message that has passed every check before, as it is, without counting it as
   * received. What must last is recorded when this returns, and stored when the promise resolves;
   * null when the store takes no more.
   */
  release(message: Message): Promise<void> | null;
  /** Serves a connection; before `start` and after `stop` it is closed. */
  handle(stream: Duplex, peer: Peer): void;
  /** As `publish`, and tells whom it was meant for. @throws GatewayError MQTT_TOPIC_INVALID */
  publishCounted(message: Message): Promise<Published>;
  /** Whether `publish` would take this message's topic. @throws GatewayError MQTT_TOPIC_INVALID */
  checkPublish(message: Message): void;
  counters(): MessageCounters;
  /** Every counter of `METRIC_DOCS` that the engine keeps; cheap. */
  metrics(): Pick<Metrics, EngineMetric>;
  /** Figures of the moment and their maxima; cheap, whatever the number of clients. */
  levels(): Pick<Levels, EngineLevel>;
  /**
   * Lets `observer` watch messages and clients pass until the returned function is called. While
   * nobody watches, it costs one comparison for each message and copy.
   */
  observe(observer: Observer): () => void;
  /** Whether anybody could receive a `$SYS` topic: a client, a bridge, or another broker. */
  isSysHeard(): boolean;
  /**
   * Applies limits while running, in their configuration keys' units; packet sizes told to clients,
   * the Keep Alive multiplier and the number in flight count for new connections.
   */
  reconfigure(live: {
    readonly msqLen?: number;
    readonly queuePolicy?: Config["mqtt"]["queue_policy"];
    readonly maxQueuedBytes?: number;
    readonly maxInflight?: number;
    readonly stalledReaderS?: number;
    readonly maxPacketSizeBytes?: number;
    readonly clientMaxPacketSizeBytes?: number;
    readonly keepaliveMultiplier?: number;
    readonly retainer?: RetainerLimits;
  }): void;
}

const STOP_DEADLINE_MS = 5000;

/**
 * The broker: our protocol engine inside aedes 1.2.0's class. Client status goes to
 * `$SYS/brokers/client_status/<clientid>` (status `online` or `offline`), `$SYS/brokers/connected`
 * and `$SYS/brokers/disconnected`: QoS 0, not retained, JSON with `username` (empty without one),
 * `ts` (ms), `client_id`, `IPv4` (the peer's address), `reason_code` of an end, and `proto_name`,
 * `proto_ver`, `keepalive` (s), `clean_start` (0 or 1), `return_code` of a CONNACK; codes are
 * hexadecimal text. In the topic the characters `/ + # %` and control characters of a client id are
 * percent-encoded, and an id too long for a topic is `sha256-` and its digest. Clients cannot
 * publish to `$SYS/…`.
 */
export function createBroker(deps: BrokerDeps, cfg: BrokerConfig): Broker {
  const { clock } = deps;
  const log = deps.log.child({ part: "broker" });
  const limits = limitsOf(cfg);
  const aedes = new GatewayBroker({ ...deps, log, limits });
  const { engine } = aedes;
  let isServing = false;
  let stopping: Promise<void> | null = null;

  /** @throws GatewayError MQTT_TOPIC_INVALID */
  function wayOf(message: Message) {
    const max = cfg.mqtt.max_topic_levels;
    if (message.topic.split("/").length > max) {
      const reason = `it has more than ${max} levels`;
      throw new GatewayError("MQTT_TOPIC_INVALID", { value: message.topic, reason });
    }
    if (message.origin.kind === "system") return null;
    const way = engine.wayOf(senderOf(message), message.topic);
    if (way === "bad_delay") {
      const reason = "a delayed topic is $delayed/{seconds}/{topic}";
      throw new GatewayError("MQTT_TOPIC_INVALID", { value: message.topic, reason });
    }
    return way;
  }

  async function publishCounted(message: Message): Promise<Published> {
    const way = wayOf(message);
    if (way === null) return engine.pipeline.publish(message);
    engine.counters.publishedHere++;
    return engine.publishAlong(way, message);
  }

  async function close(): Promise<void> {
    if (!isServing) return;
    isServing = false;
    const { promise: deadline, resolve: expire } = Promise.withResolvers<void>();
    const timer = clock.after(STOP_DEADLINE_MS, expire);
    const { promise: closed, resolve } = Promise.withResolvers<void>();
    aedes.close(resolve);
    await Promise.race([closed, deadline]);
    timer.cancel();
  }

  return {
    aedes,

    async start(signal) {
      signal?.throwIfAborted();
      await aedes.listen();
      isServing = true;
      if (signal?.aborted === true) {
        await this.stop();
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
      await publishCounted(message);
    },

    checkPublish: (message) => void wayOf(message),
    publishCounted,

    release: (message) => engine.pipeline.offer(message)?.then(() => undefined) ?? null,

    subscribe: (filter, handler) => engine.addHandler(filter, handler),
    ...administration(engine),

    counters: () => engine.counters.snapshot(),
    metrics: () => engineMetrics(engine.counters),
    levels: () => engine.levels.view(engine),
    observe: (observer) => engine.watch.add(observer),
    isSysHeard: () => engine.isSysHeard,

    reconfigure(live) {
      limits.maxQueuedMessages = live.msqLen ?? limits.maxQueuedMessages;
      limits.maxPacketBytes = live.maxPacketSizeBytes ?? limits.maxPacketBytes;
      limits.clientMaxPacketBytes = live.clientMaxPacketSizeBytes ?? limits.clientMaxPacketBytes;
      limits.keepAlivePermille = live.keepaliveMultiplier ?? limits.keepAlivePermille;
      limits.queuePolicy = live.queuePolicy ?? limits.queuePolicy;
      limits.maxQueuedBytes = live.maxQueuedBytes ?? limits.maxQueuedBytes;
      limits.maxInflight = live.maxInflight ?? limits.maxInflight;
      Object.assign(limits.retainer, live.retainer);
      if (live.stalledReaderS !== undefined) limits.stalledReaderMs = live.stalledReaderS * 1000;
    },
  };
}

/** What a rewritten topic may be made of. */
function senderOf({ origin }: Message): { clientId: string; username: string | null } {
  if (origin.kind === "bridge") return { clientId: origin.bridge, username: null };
  if (origin.kind === "system") return { clientId: "", username: null };
  return { clientId: origin.clientId, username: origin.kind === "client" ? origin.username : null };
}

function limitsOf({ mqtt, msqLen, bounds, retainer }: BrokerConfig): Limits {
  return {
    ...FIXED_LIMITS,
    ...bounds,
    maxQueuedMessages: msqLen,
    maxQueuedBytes: mqtt.max_queued_bytes,
    queuePolicy: mqtt.queue_policy,
    maxInflight: mqtt.max_inflight,
    stalledReaderMs: mqtt.stalled_reader_s * 1000,
    maxPacketBytes: mqtt.max_packet_size_bytes,
    clientMaxPacketBytes: mqtt.client_max_packet_size_bytes,
    maxTopicLevels: mqtt.max_topic_levels,
    maxFiltersPerSubscribe: mqtt.max_filters_per_subscribe,
    maxSubscriptions: mqtt.max_subscriptions_per_client,
    maxAwaitingRelease: mqtt.max_awaiting_rel,
    keepAlivePermille: mqtt.keepalive_multiplier,
    connectTimeoutMs: mqtt.connect_timeout_s * 1000,
    retainer: { ...(retainer ?? RETAINS_ALL) },
  };
}
