import type { Log } from "../log/index.ts";
import { type Bus, type Levels, type MessageCounters, topic } from "../mqtt/index.ts";
import type { Clock, Timer } from "../time/index.ts";

/** EMQX's `broker.sys_heartbeat_interval` and `broker.sys_msg_interval` (defaults of 5.8). */
const HEARTBEAT_MS = 30_000;
const REPORT_MS = 60_000;

export interface SysTopicsDeps {
  readonly log: Log;
  readonly clock: Clock;
  readonly broker: Pick<Bus, "publish"> & {
    levels(): Pick<Levels, "live_connections" | "sessions" | "subscriptions" | "retained">;
    counters(): MessageCounters;
  };
}

export interface SysTopicsConfig {
  /** One topic level that names this gateway. */
  readonly node: string;
  readonly version: string;
}

/** The periodic `$SYS/brokers/…` topics. */
export interface SysTopics {
  start(signal?: AbortSignal): Promise<void>;
  stop(): Promise<void>;
}

/**
 * Publishes what EMQX publishes about a node, QoS 0, not retained, payloads as text:
 * `$SYS/brokers` (the node), `$SYS/brokers/<node>/uptime` (seconds) and `…/datetime` every 30 s;
 * `…/version`, `…/sysdescr`, `…/stats/<name>` (`connections`, `sessions`, `subscriptions`,
 * `retained`, each `.count` and `.max` since the start) and `…/metrics/messages.<name>`
 * (`received`, `sent`, `dropped` and `dropped.<reason>`) every 60 s, all of them also at the start.
 */
export function createSysTopics(deps: SysTopicsDeps, cfg: SysTopicsConfig): SysTopics {
  const { broker, clock } = deps;
  const log = deps.log.child({ part: "sys" });
  const prefix = `$SYS/brokers/${cfg.node}/`;
  const startedMs = clock.monotonicMs();
  let timers: readonly Timer[] = [];

  function send(name: string, text: string): void {
    const message = {
      topic: topic(name),
      payload: Buffer.from(text),
      qos: 0,
      retain: false,
      origin: { kind: "system" },
    } as const;
    broker.publish(message).catch((err: unknown) => log.warn({ err }, "publish failed"));
  }

  function heartbeat(): void {
    send("$SYS/brokers", cfg.node);
    send(`${prefix}uptime`, String(Math.floor((clock.monotonicMs() - startedMs) / 1000)));
    send(`${prefix}datetime`, new Date(clock.nowMs()).toISOString());
  }

  function report(): void {
    send(`${prefix}version`, cfg.version);
    send(`${prefix}sysdescr`, "Tidegate");
    const { live_connections: connections, sessions, subscriptions, retained } = broker.levels();
    for (const [name, level] of Object.entries({
      connections,
      sessions,
      subscriptions,
      retained,
    })) {
      send(`${prefix}stats/${name}.count`, String(level.now));
      send(`${prefix}stats/${name}.max`, String(level.max));
    }
    const { received, sent, dropped } = broker.counters();
    const reasons = Object.entries(dropped);
    const total = reasons.reduce((sum, [, count]) => sum + count, 0);
    send(`${prefix}metrics/messages.received`, String(received));
    send(`${prefix}metrics/messages.sent`, String(sent));
    send(`${prefix}metrics/messages.dropped`, String(total));
    for (const [reason, count] of reasons) {
      send(`${prefix}metrics/messages.dropped.${reason}`, String(count));
    }
  }

  return {
    async start(signal) {
      signal?.throwIfAborted();
      if (timers.length > 0) return;
      heartbeat();
      report();
      timers = [clock.every(HEARTBEAT_MS, heartbeat), clock.every(REPORT_MS, report)];
    },
    async stop() {
      for (const timer of timers) timer.cancel();
      timers = [];
    },
  };
}
