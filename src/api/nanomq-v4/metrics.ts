import type { Resource } from "./schema.ts";
import { FAILURE } from "./schema.ts";

const COUNT = { type: "integer" } as const;

const BRIDGE = {
  type: "object",
  properties: {
    name: { type: "string" },
    state: { type: "string" },
    forwarded: { ...COUNT, description: "Messages the cloud has taken." },
    received: { ...COUNT, description: "Messages that came from the cloud." },
    dropped: { ...COUNT, description: "Messages that were given up, for whatever reason." },
    reconnects: COUNT,
    outbox_messages: { ...COUNT, description: "Messages that wait for the cloud." },
    outbox_bytes: COUNT,
  },
} as const;

const METRICS = {
  type: "object",
  properties: {
    metrics: { type: "array", items: BRIDGE, description: "One row per bridge." },
    cpuinfo: { type: "string", description: "Processor time of the gateway; 100 % = one core." },
    memory: { type: "string", description: "Memory of the gateway, bytes." },
    connections: { ...COUNT, description: "Clients connected now." },
    device: {
      type: "object",
      additionalProperties: true,
      description: "Every device metric by name; a missing sensor is null.",
    },
  },
  required: ["metrics", "cpuinfo", "memory", "connections", "device"],
} as const;

/** `/metrics` (reference §5.1), which has no `code`; `device` is this gateway's own member. */
export const metrics: Resource = (app, { statistics, figures }) => {
  app.get("/metrics", { schema: { response: { 200: METRICS, "4xx": FAILURE } } }, async () => {
    const device = statistics.device();
    const number = (name: string) => {
      const value = device[name];
      return typeof value === "number" ? value : 0;
    };
    return {
      metrics: [...figures.bridgeList()].map(({ status }) => ({
        name: status.name,
        state: status.state,
        forwarded: status.forwarded,
        received: status.received,
        dropped: Object.values(status.dropped).reduce((sum, count) => sum + count, 0),
        reconnects: status.reconnects,
        outbox_messages: status.depthMessages,
        outbox_bytes: status.depthBytes,
      })),
      cpuinfo: `${number("process_cpu_percent").toFixed(2)}%`,
      memory: String(number("process_rss_bytes")),
      connections: statistics.node().connections,
      device,
    };
  });
};
