import type { Services } from "../../services/index.ts";
import { ApiError, ok, PAGE_QUERY, pageSchema, type Route, route } from "./kit/index.ts";
import { CLUSTER } from "./status-text.ts";

const SWITCH = {
  type: "object",
  properties: { enable: { type: "boolean", description: "Always false.", example: false } },
  required: ["enable"],
} as const;

const CLUSTER_INFO = {
  type: "object",
  properties: {
    name: { type: "string", description: "Name of the cluster.", example: CLUSTER },
    nodes: {
      type: "array",
      items: { type: "string", example: "tidegate@127.0.0.1" },
      description: "This gateway.",
    },
    self: { type: "string", description: "This gateway.", example: "tidegate@127.0.0.1" },
  },
  required: ["name", "nodes", "self"],
} as const;

const OPENTELEMETRY = {
  type: "object",
  properties: { metrics: SWITCH, traces: SWITCH, logs: SWITCH },
  required: ["metrics", "traces", "logs"],
} as const;

const common = { section: "5.14", test: "src/api/emqx-v5/misc.test.ts" } as const;

/** Small endpoints that dashboards and tools ask for (reference §5.14), and the empty list of rules. */
export function miscRoutes({ node }: Pick<Services, "node">): readonly Route[] {
  return [
    route({
      ...common,
      method: "GET",
      path: "/telemetry/status",
      tag: "Telemetry",
      summary: "Whether the gateway reports to EMQX's makers",
      description: "It does not.",
      priority: "P2",
      schema: { answers: { 200: SWITCH } },
      handle: () => ok({ enable: false }),
    }),
    route({
      ...common,
      method: "PUT",
      path: "/telemetry/status",
      tag: "Telemetry",
      summary: "Switch reports to EMQX's makers off",
      description: "They cannot be switched on.",
      priority: "P2",
      schema: { body: { ...SWITCH, additionalProperties: false }, answers: { 200: SWITCH } },
      handle({ body }) {
        if (body.enable) throw new ApiError(400, "BAD_REQUEST", "there are no such reports");
        return ok({ enable: false });
      },
    }),
    route({
      ...common,
      method: "GET",
      path: "/cluster",
      tag: "Cluster",
      summary: "The cluster, which is this gateway",
      priority: "P3",
      schema: { answers: { 200: CLUSTER_INFO } },
      handle: () => ok({ name: CLUSTER, nodes: [node.name], self: node.name }),
    }),
    route({
      ...common,
      method: "GET",
      path: "/sso/running",
      tag: "Users",
      summary: "Login services beside the users",
      description: "There are none.",
      priority: "P3",
      access: "public",
      schema: { answers: { 200: { type: "array", items: { type: "string" } } } },
      handle: () => ok([]),
    }),
    route({
      ...common,
      method: "GET",
      path: "/opentelemetry",
      tag: "Telemetry",
      summary: "OpenTelemetry exporters",
      description: "There are none; metrics can be had at `/prometheus/stats`.",
      priority: "P3",
      schema: { answers: { 200: OPENTELEMETRY } },
      handle() {
        const off = { enable: false };
        return ok({ metrics: off, traces: off, logs: off });
      },
    }),
    route({
      ...common,
      section: "5.12.4",
      method: "GET",
      path: "/rules",
      tag: "Rules",
      summary: "List the rules",
      description:
        "There is no rule engine: the list is empty, which dashboards and exporters accept.",
      priority: "P3",
      schema: {
        query: { type: "object", properties: PAGE_QUERY },
        answers: { 200: pageSchema({ type: "object", properties: {} }) },
      },
      handle({ query: { page, limit } }) {
        return ok({ data: [], meta: { page, limit, count: 0, hasnext: false } });
      },
    }),
    route({
      ...common,
      section: "5.12.4",
      method: "GET",
      path: "/rule_events",
      tag: "Rules",
      summary: "Events rules can be about",
      description: "There is no rule engine: the list is empty.",
      priority: "P3",
      schema: { answers: { 200: { type: "array", items: { type: "object" } } } },
      handle: () => ok([]),
    }),
  ];
}
