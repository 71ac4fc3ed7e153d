import { readFileSync } from "node:fs";
import type { MessageCounters, SessionGlance, SubscriptionInfo } from "../mqtt/index.ts";
import type { Clock } from "../time/index.ts";
import type { ConfigStatus } from "./configuration/index.ts";
import { gradually } from "./gradually.ts";

export interface StatisticsDeps {
  readonly clock: Clock;
  readonly broker: {
    counters(): MessageCounters;
    sessions(): Iterable<Pick<SessionGlance, "isOnline">>;
    subscriptions(): Iterable<SubscriptionInfo>;
  };
  readonly telemetry: {
    /** Newest device samples by metric name; a missing sensor is null. */
    snapshot(): Readonly<Record<string, unknown>>;
  };
  /** Serial ports by name, as the device's own figures show them. */
  readonly serialPorts: () => readonly { readonly name: string }[];
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
  /** Sessions, those of disconnected clients included. */
  readonly sessions: number;
  /** Files and sockets this process may hold; null = as many as it likes, or nobody knows. */
  readonly maxOpenFiles: number | null;
  readonly configuration: ConfigStatus;
}

/** What the gateway counts and measures. */
export interface Statistics {
  messages(): Promise<MessageStatistics>;
  /** Newest device samples by metric name; a missing sensor is null. */
  device(): Readonly<Record<string, unknown>>;
  node(): NodeFacts;
}

/** The soft limit of proc(5) `/proc/self/limits`; it does not change while the process runs. */
function readMaxOpenFiles(): number | null {
  try {
    const found = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"));
    return found === null ? null : Number(found[1]);
  } catch {
    // Not on Linux.
    return null;
  }
}

/** Uptime counts from the call of this function. */
export function createStatistics(deps: StatisticsDeps, cfg: { version: string }): Statistics {
  const startedMs = deps.clock.monotonicMs();
  let limit: { readonly value: number | null } | null = null;
  const maxOpenFiles = () => {
    limit ??= { value: readMaxOpenFiles() };
    return limit.value;
  };
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

    device: () => ({
      ...deps.telemetry.snapshot(),
      serial: Object.fromEntries(deps.serialPorts().map((port) => [port.name, port])),
    }),

    node() {
      let connections = 0;
      let sessions = 0;
      for (const { isOnline } of deps.broker.sessions()) {
        sessions += 1;
        if (isOnline) connections += 1;
      }
      return {
        version: cfg.version,
        uptimeMs: deps.clock.monotonicMs() - startedMs,
        nowMs: deps.clock.nowMs(),
        isReady: deps.isReady(),
        connections,
        sessions,
        maxOpenFiles: maxOpenFiles(),
        configuration: deps.configStatus(),
      };
    },
  };
}
