import type { BridgeRuleView, BridgeStatusView } from "../../services/index.ts";

const NAMES = {
  matched: "Messages the rule selected.",
  success: "Taken by the other side.",
  failed: "Refused by the other side, or by the outbox.",
  dropped: "Given up before they were sent.",
  "dropped.other": "As `dropped`.",
  "dropped.expired": "Of the connector: their expiry interval had passed.",
  "dropped.queue_full": "Of the connector: the outbox was full.",
  "dropped.resource_not_found": "Always 0.",
  "dropped.resource_stopped": "Of the connector: QoS 0 while it was not connected.",
  retried: "Of the connector: sent again after a connection broke.",
  late_reply: "Always 0.",
  queuing: "Of the connector: messages that wait.",
  queuing_bytes: "Of the connector: topic and payload bytes that wait.",
  inflight: "Of the connector: sent and not acknowledged.",
  received: "Of a source: messages that came.",
  rate: "Messages per second, last 10 s.",
  rate_last5m: "Messages per second, last 5 minutes.",
  rate_max: "Most messages per second.",
} as const;

const METRICS = {
  type: "object",
  description: "Those of the connector are shared by its actions and sources.",
  properties: Object.fromEntries(
    Object.entries(NAMES).map(([name, description]) => [name, { type: "number", description }]),
  ),
} as const;

/** Schema of `/…/{id}/metrics`. */
export const METRICS_ANSWER = {
  type: "object",
  properties: {
    metrics: METRICS,
    node_metrics: {
      type: "array",
      items: {
        type: "object",
        properties: {
          node: { type: "string", description: "Name of the node." },
          metrics: METRICS,
        },
        required: ["node", "metrics"],
      },
    },
  },
  required: ["metrics", "node_metrics"],
} as const;

/** The metrics of some rules of one connector, added up. */
export function metricsOf(
  status: BridgeStatusView,
  rules: readonly BridgeRuleView[],
  node: string,
) {
  const sum = (read: (rule: BridgeRuleView) => number) =>
    rules.reduce((all, rule) => all + read(rule), 0);
  const lost = (...reasons: readonly string[]) =>
    reasons.reduce((all, reason) => all + (status.dropped[reason] ?? 0), 0);
  const dropped = sum((rule) => rule.dropped);
  const metrics = {
    matched: sum((rule) => rule.matched),
    success: sum((rule) => rule.passed),
    failed: sum((rule) => rule.failed),
    dropped,
    "dropped.other": dropped,
    "dropped.expired": lost("expired"),
    "dropped.queue_full": lost("queue_full", "too_old"),
    "dropped.resource_not_found": 0,
    "dropped.resource_stopped": lost("link_down"),
    retried: status.retried,
    late_reply: 0,
    queuing: status.depthMessages,
    queuing_bytes: status.depthBytes,
    inflight: status.inflight,
    received: sum((rule) => (rule.direction === "subscription" ? rule.matched : 0)),
    rate: sum((rule) => rule.rates.now),
    rate_last5m: sum((rule) => rule.rates.last5m),
    rate_max: sum((rule) => rule.rates.max),
  };
  return { metrics, node_metrics: [{ node, metrics }] };
}
