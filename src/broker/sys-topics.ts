import type { Log } from "../log/index.ts";
import {
  type Bus,
  LEVEL_NAMES,
  type Levels,
  METRIC_NAMES,
  type MessageCounters,
  type Metrics,
  topic,
} from "../mqtt/index.ts";
import type { Clock, Timer } from "../time/index.ts";

export interface SysTopicsDeps {
  readonly log: Log;
  readonly clock: Clock;
  readonly broker: Pick<Bus, "publish"> & {
    counters(): MessageCounters;
    /** Whether anybody could receive a `$SYS` topic. */
    isSysHeard(): boolean;
  };
  readonly metrics: { counters(): Metrics; levels(): Levels };
}

/** How often is told what; 0 = never. EMQX's `sys_topics`. */
export interface SysTopicsSettings {
  readonly heartbeat_interval_s: number;
  readonly msg_interval_s: number;
}

export interface SysTopicsConfig {
  /** One topic level that names this gateway. */
  readonly node: string;
  readonly version: string;
  readonly settings: SysTopicsSettings;
}

/** The periodic `$SYS/brokers/…` topics. */
export interface SysTopics {
  start(signal?: AbortSignal): Promise<void>;
  stop(): Promise<void>;
  /** Changes the intervals; both begin anew. */
  configure(settings: SysTopicsSettings): void;
}

/**
 * Publishes what EMQX publishes about a node, QoS 0, not retained, payloads as text. With the
 * heartbeat: `$SYS/brokers` (the node), `$SYS/brokers/<node>/uptime` (seconds) and `…/datetime`. With
 * the messages: `…/version`, `…/sysdescr`, `…/stats/<level>.count` and `.max`, `…/metrics/<name>` for
 * every name of the tables in `mqtt/`, and `…/metrics/messages.dropped.<reason>` for NanoMQ's reasons.
 * While nobody subscribes to `$SYS`, nothing is made.
 */
export function createSysTopics(deps: SysTopicsDeps, cfg: SysTopicsConfig): SysTopics {
  const { broker, clock, metrics } = deps;
  const log = deps.log.child({ part: "sys" });
  const prefix = `$SYS/brokers/${cfg.node}/`;
  const startedMs = clock.monotonicMs();
  let settings = cfg.settings;
  let isRunning = false;
  let timers: readonly Timer[] = [];

  function send(name: string, text: string | number): void {
    const message = {
      topic: topic(name),
      payload: Buffer.from(String(text)),
      qos: 0,
      retain: false,
      origin: { kind: "system" },
    } as const;
    broker.publish(message).catch((err: unknown) => log.warn({ err }, "publish failed"));
  }

  function heartbeat(): void {
    if (!broker.isSysHeard()) return;
    send("$SYS/brokers", cfg.node);
    send(`${prefix}uptime`, Math.floor((clock.monotonicMs() - startedMs) / 1000));
    send(`${prefix}datetime`, new Date(clock.nowMs()).toISOString());
  }

  function report(): void {
    if (!broker.isSysHeard()) return;
    send(`${prefix}version`, cfg.version);
    send(`${prefix}sysdescr`, "Tidegate");
    const levels = metrics.levels();
    for (const name of LEVEL_NAMES) {
      send(`${prefix}stats/${name}.count`, levels[name].now);
      send(`${prefix}stats/${name}.max`, levels[name].max);
    }
    const counters = metrics.counters();
    for (const name of METRIC_NAMES) send(`${prefix}metrics/${name}`, counters[name]);
    for (const [reason, count] of Object.entries(broker.counters().dropped)) {
      send(`${prefix}metrics/messages.dropped.${reason}`, count);
    }
  }

  function schedule(): void {
    for (const timer of timers) timer.cancel();
    timers = [];
    if (!isRunning) return;
    const { heartbeat_interval_s: heartbeatS, msg_interval_s: reportS } = settings;
    if (heartbeatS > 0) timers = [clock.every(heartbeatS * 1000, heartbeat)];
    if (reportS > 0) timers = [...timers, clock.every(reportS * 1000, report)];
  }

  return {
    async start(signal) {
      signal?.throwIfAborted();
      if (isRunning) return;
      isRunning = true;
      if (settings.heartbeat_interval_s > 0) heartbeat();
      if (settings.msg_interval_s > 0) report();
      schedule();
    },
    async stop() {
      isRunning = false;
      schedule();
    },
    configure(next) {
      settings = next;
      schedule();
    },
  };
}
