import { RESULT } from "../errors.ts";
import { FAILURE, listOf, type Resource } from "./schema.ts";
import { formatDateTime, formatUptime } from "./time-text.ts";

const BROKER = {
  type: "object",
  properties: {
    datetime: { type: "string", description: "Local time, YYYY-MM-DD hh:mm:ss." },
    node_status: { type: "string" },
    sysdescr: { type: "string" },
    uptime: { type: "string", description: "H Hours, m minutes, s seconds." },
    version: { type: "string" },
  },
  required: ["datetime", "node_status", "sysdescr", "uptime", "version"],
} as const;

const NODE = {
  type: "object",
  properties: {
    connections: { type: "integer" },
    node_status: { type: "string" },
    uptime: { type: "string" },
    version: { type: "string" },
    rolled_back: {
      type: "object",
      description: "The last change of the configuration that was taken back; absent without one.",
      properties: { at: { type: "string" }, reason: { type: "string" } },
      required: ["at", "reason"],
    },
  },
  required: ["connections", "node_status", "uptime", "version"],
} as const;

/** `/brokers` and `/nodes`: this gateway, the only one there is. */
export const nodes: Resource = (app, { statistics }) => {
  app.get(
    "/brokers",
    { schema: { response: { 200: listOf(BROKER), "4xx": FAILURE } } },
    async () => {
      const facts = statistics.node();
      const row = {
        datetime: formatDateTime(facts.nowMs),
        node_status: "Running",
        sysdescr: "Tidegate",
        uptime: formatUptime(facts.uptimeMs),
        version: facts.version,
      };
      return { code: RESULT.success, data: [row] };
    },
  );

  app.get("/nodes", { schema: { response: { 200: listOf(NODE), "4xx": FAILURE } } }, async () => {
    const { connections, uptimeMs, version, configuration } = statistics.node();
    const { rolledBack } = configuration;
    const row = {
      connections,
      node_status: "Running",
      uptime: formatUptime(uptimeMs),
      version,
      ...(rolledBack === null
        ? {}
        : {
            rolled_back: {
              at: new Date(rolledBack.atMs).toISOString(),
              reason: rolledBack.reason,
            },
          }),
    };
    return { code: RESULT.success, data: [row] };
  });
};
