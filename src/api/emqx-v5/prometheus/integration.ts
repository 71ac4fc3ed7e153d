import type { BridgeFigures, BridgeRuleFigures, Services } from "../../../services/index.ts";
import { type Family, type Sample, single } from "./exposition.ts";

interface Row<T> {
  readonly name: string;
  readonly kind: Family["kind"];
  readonly doc: string;
  read(of: T): number;
}

const CONNECTOR_ROWS: readonly Row<BridgeFigures>[] = [
  {
    name: "emqx_connector_enable",
    kind: "gauge",
    doc: "1 while the bridge is switched on.",
    read: ({ config }) => (config.enable ? 1 : 0),
  },
  {
    name: "emqx_connector_status",
    kind: "gauge",
    doc: "1 while the link to the cloud is up.",
    read: ({ status }) => (status.state === "connected" ? 1 : 0),
  },
];

interface Action {
  readonly bridge: BridgeFigures;
  readonly rule: BridgeRuleFigures;
}

const ACTION_ROWS: readonly Row<Action>[] = [
  {
    name: "emqx_action_enable",
    kind: "gauge",
    doc: "1 while the rule is in use.",
    read: ({ rule }) => (rule.state === "active" ? 1 : 0),
  },
  {
    name: "emqx_action_status",
    kind: "gauge",
    doc: "1 while its link is up.",
    read: ({ bridge }) => (bridge.status.state === "connected" ? 1 : 0),
  },
  {
    name: "emqx_action_matched",
    kind: "counter",
    doc: "Messages the rule selected.",
    read: ({ rule }) => rule.matched,
  },
  {
    name: "emqx_action_received",
    kind: "counter",
    doc: "Messages the rule selected.",
    read: ({ rule }) => rule.matched,
  },
  {
    name: "emqx_action_success",
    kind: "counter",
    doc: "Messages the cloud has taken.",
    read: ({ rule }) => rule.passed,
  },
  {
    name: "emqx_action_failed",
    kind: "counter",
    doc: "Messages the cloud has refused, or the outbox.",
    read: ({ rule }) => rule.failed,
  },
  {
    name: "emqx_action_dropped",
    kind: "counter",
    doc: "Messages given up before.",
    read: ({ rule }) => rule.dropped,
  },
  {
    name: "emqx_action_retried",
    kind: "counter",
    doc: "Messages of its bridge sent again.",
    read: ({ bridge }) => bridge.status.retried,
  },
  {
    name: "emqx_action_inflight",
    kind: "gauge",
    doc: "Messages of its bridge that are not acknowledged.",
    read: ({ bridge }) => bridge.status.inflight,
  },
  {
    name: "emqx_action_queuing",
    kind: "gauge",
    doc: "Messages of its bridge that wait.",
    read: ({ bridge }) => bridge.status.depthMessages,
  },
];

/** Bridges as connectors, and their rules towards the cloud as actions. */
export function integrationFamilies({ figures }: Pick<Services, "figures">): readonly Family[] {
  const bridges = [...figures.bridgeList()];
  const actions = bridges.flatMap((bridge) =>
    bridge.status.rules
      .filter(({ direction }) => direction === "forward")
      .map((rule) => ({ bridge, rule })),
  );
  return [
    single("emqx_rules_count", "gauge", "Always 0: no rule engine.", 0),
    single("emqx_actions_count", "gauge", "Rules towards a cloud.", actions.length),
    single("emqx_connectors_count", "gauge", "Bridges.", bridges.length),
    ...CONNECTOR_ROWS.map((row) => family(row, bridges, ({ status }) => `mqtt:${status.name}`)),
    ...ACTION_ROWS.map((row) => family(row, actions, ({ rule }) => `mqtt:${rule.name}`)),
  ];
}

function family<T>(row: Row<T>, all: readonly T[], idOf: (of: T) => string): Family {
  const samples: readonly Sample[] = all.map((of) => ({
    labels: { id: idOf(of) },
    value: row.read(of),
  }));
  return { name: row.name, kind: row.kind, doc: row.doc, samples };
}
