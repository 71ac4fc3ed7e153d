import type { MonitorStep, Services } from "../../services/index.ts";
import { DEVICE } from "./device-member.ts";
import { type JSONSchema, noContent, ok, type Route, route } from "./kit/index.ts";
import { NODE_PARAMS, requireNode } from "./node-name.ts";

/** What the monitor's operations are made of. */
export type MonitorServices = Pick<Services, "node" | "metrics" | "monitor"> & {
  readonly statistics: Pick<Services["statistics"], "node" | "device">;
};

const TEST = "src/api/emqx-v5/monitor.test.ts";

const QUERY = {
  type: "object",
  properties: {
    latest: {
      type: "integer",
      minimum: 1,
      description: "Seconds back from now; all that is kept (at most 7 days) when left out.",
      example: 3600,
    },
  },
} as const;

const GAUGES = {
  connections: "Connections, those kept for sessions left behind included.",
  live_connections: "Open connections.",
  topics: "Distinct topic filters subscribed to.",
  subscriptions: "Subscriptions.",
  subscriptions_durable: "Always 0: no durable sessions of EMQX's kind.",
  disconnected_durable_sessions: "Always 0: no durable sessions of EMQX's kind.",
} as const;

const DELTAS = {
  received: "Messages from clients during the step.",
  sent: "Messages to clients during the step.",
  dropped: "Messages dropped during the step.",
  persisted: "Always 0.",
  validation_succeeded: "Always 0.",
  validation_failed: "Always 0.",
  transformation_succeeded: "Always 0.",
  transformation_failed: "Always 0.",
  rules_matched: "Always 0: no rule engine.",
  actions_executed: "Messages handed to cloud brokers during the step.",
  actions_messages: "Messages handed to cloud brokers during the step.",
  received_bytes: "Bytes from clients during the step.",
  sent_bytes: "Bytes to clients during the step.",
} as const;

const NOTHING_DURABLE = { subscriptions_durable: 0, disconnected_durable_sessions: 0 } as const;

const NOTHING_COUNTED = {
  persisted: 0,
  validation_succeeded: 0,
  validation_failed: 0,
  transformation_succeeded: 0,
  transformation_failed: 0,
  rules_matched: 0,
} as const;

const ROW = {
  type: "object",
  properties: {
    time_stamp: {
      type: "integer",
      description: "Start of the step, ms since 1970; a multiple of the step.",
      example: 1_700_000_010_000,
    },
    ...integers(GAUGES),
    ...integers(DELTAS),
  },
  required: ["time_stamp"],
  additionalProperties: false,
} as const satisfies JSONSchema;

const CURRENT = {
  ...integers(GAUGES),
  ...integers({
    subscriptions_ram: "Subscriptions.",
    cluster_sessions: "Sessions.",
    retained_msg_count: "Retained messages.",
    shared_subscriptions: "Shared subscriptions.",
    received_msg_rate: "Messages from clients per second.",
    sent_msg_rate: "Messages to clients per second.",
    dropped_msg_rate: "Messages dropped per second.",
    received_bytes_rate: "Bytes from clients per second.",
    sent_bytes_rate: "Bytes to clients per second.",
    persisted_rate: "Always 0.",
    validation_succeeded_rate: "Always 0.",
    validation_failed_rate: "Always 0.",
    transformation_succeeded_rate: "Always 0.",
    transformation_failed_rate: "Always 0.",
    rules_matched_rate: "Always 0: no rule engine.",
    actions_executed_rate: "Messages handed to cloud brokers per second.",
    actions_messages_rate: "Messages handed to cloud brokers per second.",
  }),
} as const;

const LIST = { type: "array", items: ROW } as const satisfies JSONSchema;

/** `/monitor` and `/monitor_current` (reference §5.4.3). */
export function monitorRoutes(services: MonitorServices): readonly Route[] {
  const { node, monitor } = services;
  const series = (latest: number | undefined) => ok(monitor.series(latest ?? null).map(rowOf));
  const shared = { tag: "Metrics", section: "5.4.3", priority: "P1", test: TEST } as const;
  return [
    route({
      ...shared,
      method: "GET",
      path: "/monitor",
      summary: "Figures over time",
      description:
        "In steps of 1 s up to a minute, 10 s up to an hour, 1 min up to a day, 5 min up to 3 days, 10 min up to 7. A step without samples has its stamp alone.",
      schema: { query: QUERY, answers: { 200: LIST } },
      handle: ({ query }) => series(query.latest),
    }),
    route({
      ...shared,
      method: "DELETE",
      path: "/monitor",
      summary: "Forget the figures over time",
      schema: { answers: { 204: null } },
      handle() {
        monitor.clear();
        return noContent();
      },
    }),
    route({
      ...shared,
      method: "GET",
      path: "/monitor/nodes/{node}",
      summary: "Figures of one node over time",
      schema: { params: NODE_PARAMS, query: QUERY, answers: { 200: LIST } },
      handle({ params, query }) {
        requireNode(node, params.node);
        return series(query.latest);
      },
    }),
    route({
      ...shared,
      method: "GET",
      path: "/monitor_current",
      summary: "Figures and rates of the moment",
      description: "Rates are means of the last seconds, whole numbers.",
      schema: { answers: { 200: closed({ ...CURRENT, device: DEVICE }) } },
      handle: () => ok({ ...currentOf(services), device: services.statistics.device() }),
    }),
    route({
      ...shared,
      method: "GET",
      path: "/monitor_current/nodes/{node}",
      summary: "Figures and rates of one node",
      schema: {
        params: NODE_PARAMS,
        answers: {
          200: closed({
            ...withoutCluster(CURRENT),
            ...integers({ node_uptime: "How long the node runs, ms." }),
            device: DEVICE,
          }),
        },
      },
      handle({ params }) {
        requireNode(node, params.node);
        const { uptimeMs } = services.statistics.node();
        return ok({
          ...withoutCluster(currentOf(services)),
          node_uptime: Math.floor(uptimeMs),
          device: services.statistics.device(),
        });
      },
    }),
  ];
}

function rowOf({ atMs, sample }: MonitorStep): Record<string, number> {
  if (sample === null) return { time_stamp: atMs };
  return {
    time_stamp: atMs,
    connections: sample.connections,
    live_connections: sample.liveConnections,
    topics: sample.topics,
    subscriptions: sample.subscriptions,
    ...NOTHING_DURABLE,
    received: sample.received,
    sent: sample.sent,
    dropped: sample.dropped,
    ...NOTHING_COUNTED,
    actions_executed: sample.actions,
    actions_messages: sample.actions,
    received_bytes: sample.receivedBytes,
    sent_bytes: sample.sentBytes,
  };
}

function currentOf({ metrics, monitor }: MonitorServices) {
  const levels = metrics.levels();
  const rates = monitor.rates();
  return {
    connections: levels.connections.now,
    live_connections: levels.live_connections.now,
    topics: levels.topics.now,
    subscriptions: levels.subscriptions.now,
    ...NOTHING_DURABLE,
    subscriptions_ram: levels.subscriptions.now,
    cluster_sessions: levels.cluster_sessions.now,
    retained_msg_count: levels.retained.now,
    shared_subscriptions: levels["subscriptions.shared"].now,
    received_msg_rate: rates.received,
    sent_msg_rate: rates.sent,
    dropped_msg_rate: rates.dropped,
    received_bytes_rate: rates.receivedBytes,
    sent_bytes_rate: rates.sentBytes,
    ...Object.fromEntries(Object.keys(NOTHING_COUNTED).map((name) => [`${name}_rate`, 0])),
    actions_executed_rate: rates.actions,
    actions_messages_rate: rates.actions,
  };
}

/** What EMQX tells of the cluster alone. */
function withoutCluster(all: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const {
    cluster_sessions: _sessions,
    retained_msg_count: _retained,
    shared_subscriptions: _shared,
    ...rest
  } = all;
  return rest;
}

function integers(docs: Readonly<Record<string, string>>): Record<string, JSONSchema> {
  return Object.fromEntries(
    Object.entries(docs).map(([name, description]) => [
      name,
      { type: "integer", minimum: 0, description, example: 3 },
    ]),
  );
}

function closed(properties: Readonly<Record<string, unknown>>): JSONSchema {
  return {
    type: "object",
    properties,
    required: Object.keys(properties),
    additionalProperties: false,
  };
}
