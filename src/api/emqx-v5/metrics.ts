import {
  LEVEL_DOCS,
  LEVEL_NAMES,
  type Levels,
  METRIC_DOCS,
  METRIC_NAMES,
} from "../../mqtt/index.ts";
import type { Services } from "../../services/index.ts";
import { DEVICE } from "./device-member.ts";
import { type JSONSchema, ok, type Route, route } from "./kit/index.ts";
import { NODE, NODE_PARAMS, requireNode } from "./node-name.ts";

/** What statistics and metrics are made of. */
export type MetricsServices = Pick<Services, "node" | "metrics"> & {
  readonly statistics: Pick<Services["statistics"], "device">;
};

const TEST = "src/api/emqx-v5/metrics.test.ts";

const AGGREGATE = {
  aggregate: {
    type: "boolean",
    default: false,
    description: "One object without `node` instead of a list of nodes.",
  },
} as const;

const METRICS = counters(METRIC_NAMES.map((name) => [name, METRIC_DOCS[name]]));

const LEVELS = counters(
  LEVEL_NAMES.flatMap((name) => [
    [`${name}.count`, LEVEL_DOCS[name]],
    [`${name}.max`, `The most since the start: ${LEVEL_DOCS[name]}`],
  ]),
);

const STATS = { ...LEVELS, properties: { ...LEVELS.properties, device: DEVICE } };

/** `/stats`, `/metrics` and the same of a node (reference §5.3, §5.4.1, §5.4.2). */
export function metricsRoutes({ node, metrics, statistics }: MetricsServices): readonly Route[] {
  const stats = () => ({ ...statsOf(metrics.levels()), device: statistics.device() });
  return [
    route({
      method: "GET",
      path: "/stats",
      tag: "Metrics",
      summary: "Figures of the moment and their maxima",
      section: "5.4.1",
      priority: "P1",
      schema: {
        query: { type: "object", properties: AGGREGATE },
        answers: { 200: { oneOf: [listOfNodes(STATS), STATS] } },
      },
      test: TEST,
      handle: ({ query }) =>
        ok(query.aggregate === true ? stats() : [{ ...stats(), node: node.name }]),
    }),
    route({
      method: "GET",
      path: "/metrics",
      tag: "Metrics",
      summary: "What has been counted since the start",
      description: "Counters for what the gateway does not have stay 0.",
      section: "5.4.2",
      priority: "P1",
      schema: {
        query: { type: "object", properties: { ...AGGREGATE, node: NODE } },
        answers: { 200: { oneOf: [listOfNodes(METRICS), METRICS] } },
      },
      test: TEST,
      handle({ query }) {
        if (query.node !== undefined) requireNode(node, query.node);
        const counted = metrics.counters();
        return ok(query.aggregate === true ? counted : [{ ...counted, node: node.name }]);
      },
    }),
    route({
      method: "GET",
      path: "/nodes/{node}/stats",
      tag: "Nodes",
      summary: "Figures of the moment and their maxima, of one node",
      section: "5.3",
      priority: "P1",
      schema: { params: NODE_PARAMS, answers: { 200: STATS } },
      test: TEST,
      handle({ params }) {
        requireNode(node, params.node);
        return ok(stats());
      },
    }),
    route({
      method: "GET",
      path: "/nodes/{node}/metrics",
      tag: "Nodes",
      summary: "What one node has counted since its start",
      section: "5.3",
      priority: "P1",
      schema: { params: NODE_PARAMS, answers: { 200: METRICS } },
      test: TEST,
      handle({ params }) {
        requireNode(node, params.node);
        return ok(metrics.counters());
      },
    }),
  ];
}

/** `connections.count`, `connections.max` and so on. */
function statsOf(levels: Levels): Record<string, number> {
  return Object.fromEntries(
    LEVEL_NAMES.flatMap((name) => [
      [`${name}.count`, levels[name].now],
      [`${name}.max`, levels[name].max],
    ]),
  );
}

function counters(rows: readonly (readonly (string | undefined)[])[]) {
  const properties = Object.fromEntries(
    rows.map(([name = "", description]) => [
      name,
      { type: "integer", minimum: 0, description, example: 0 },
    ]),
  );
  return {
    type: "object",
    properties: { ...properties, node: NODE },
    required: Object.keys(properties),
    additionalProperties: false,
  } as const;
}

function listOfNodes(item: JSONSchema): JSONSchema {
  return { type: "array", items: item };
}
