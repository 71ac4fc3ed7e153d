import type { ClientInfo, MessageCounters, SubscriptionInfo } from "../mqtt/index.ts";
import type { Clock } from "../time/index.ts";
import type { ConfigStatus } from "./configuration/index.ts";
import { gradually } from "./gradually.ts";

export interface StatisticsDeps {
  readonly clock: Clock;
  readonly broker: {
    counters(): MessageCounters;
    clients(): Iterable<ClientInfo>;
    subscriptions(): Iterable<SubscriptionInfo>;
  };
  readonly telemetry: {
    /** Newest device samples by metric name; a missing sensor is null. */
    snapshot(): Readonly<Record<string, unknown>>;
  };
  readonly configStatus: () => ConfigStatus;
  readonly isReady: () => boolean;
}

/** Messages since the process started, and who listens now. */
export interface MessageStatistics {
  /** Sessions with at least one subscription, offline ones included. */
  readonly subscribers: number;
  readonly received: number;
  readonly sent: number;
  /** For whatever reason. */
  readonly dropped: number;
}

/** What there is to say about this gateway as a whole. */
export interface NodeFacts {
  readonly version: string;
  readonly uptimeMs: number;
  /** Wall clock, milliseconds since 1970. */
  readonly nowMs: number;
  readonly isReady: boolean;
  /** Clients connected now. */
  readonly connections: number;
  readonly configuration: ConfigStatus;
}

/** What the gateway counts and measures. */
export interface Statistics {
  messages(): Promise<MessageStatistics>;
  /** Newest device samples by metric name; a missing sensor is null. */
  device(): Readonly<Record<string, unknown>>;
  node(): NodeFacts;
}

/** Uptime counts from the call of this function. */
export function createStatistics(deps: StatisticsDeps, cfg: { version: string }): Statistics {
  const startedMs = deps.clock.monotonicMs();
  return {
    async messages() {
      const subscribers = new Set<string>();
      await gradually(deps.broker.subscriptions(), (row) => {
        subscribers.add(row.clientId);
        return undefined;
      });
      const { received, sent, dropped } = deps.broker.counters();
      return {
        subscribers: subscribers.size,
        received,
        sent,
        dropped: Object.values(dropped).reduce((sum, count) => sum + count, 0),
      };
    },

    device: () => deps.telemetry.snapshot(),

    node() {
      let connections = 0;
      for (const client of deps.broker.clients()) if (client.isConnected) connections += 1;
      return {
        version: cfg.version,
        uptimeMs: deps.clock.monotonicMs() - startedMs,
        nowMs: deps.clock.nowMs(),
        isReady: deps.isReady(),
        connections,
        configuration: deps.configStatus(),
      };
    },
  };
}
