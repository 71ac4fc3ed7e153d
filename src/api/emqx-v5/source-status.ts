const number = (description: string, example: number) =>
  ({ type: "number", description, example }) as const;

const MEANINGS: Readonly<Record<string, string>> = {
  total: "How often it was asked.",
  success: "Logins it accepted.",
  failed: "Logins it refused.",
  nomatch: "Requests it had nothing to say about.",
  allow: "Requests it allowed.",
  deny: "Requests it denied.",
  ignore: "Requests it passed over; there are none.",
  rate: "Requests per second in the last seconds.",
  rate_last5m: "Requests per second in the last five minutes.",
  rate_max: "The highest rate since the start.",
};

const STATUS = {
  type: "string",
  enum: ["connected"],
  description: "It is part of the gateway, so it is always there.",
} as const;

const NODE = {
  type: "string",
  description: "Name of the node.",
  example: "tidegate@127.0.0.1",
} as const;

/** The schema of what an authenticator or a source did, with these counts. */
export function statusSchema(counts: readonly string[]) {
  const names = [...counts, "rate", "rate_last5m", "rate_max"];
  const metrics = {
    type: "object",
    description: "Counts since the start, and rates per second.",
    properties: Object.fromEntries(names.map((name) => [name, number(MEANINGS[name] ?? name, 0)])),
    required: names,
  } as const;
  const none = { type: "array", description: "Nothing: there is no resource behind it." } as const;
  return {
    type: "object",
    properties: {
      status: STATUS,
      metrics,
      node_metrics: {
        type: "array",
        description: "The same by node.",
        items: {
          type: "object",
          properties: { node: NODE, metrics },
          required: ["node", "metrics"],
        },
      },
      node_status: {
        type: "array",
        description: "The status by node.",
        items: {
          type: "object",
          properties: { node: NODE, status: STATUS },
          required: ["node", "status"],
        },
      },
      resource_metrics: { type: "object", description: "Nothing: there is no resource behind it." },
      node_resource_metrics: { ...none, items: { type: "object" } },
      node_error: { ...none, items: { type: "object" } },
    },
    required: ["status", "metrics", "node_metrics", "node_status"],
  } as const;
}

export function shownMetrics(
  node: string,
  counts: Readonly<Record<string, number>>,
  rates: { readonly now: number; readonly last5m: number; readonly max: number },
) {
  const metrics = {
    ...counts,
    rate: rounded(rates.now),
    rate_last5m: rounded(rates.last5m),
    rate_max: rounded(rates.max),
  };
  return {
    status: "connected",
    metrics,
    node_metrics: [{ node, metrics }],
    node_status: [{ node, status: "connected" }],
    resource_metrics: {},
    node_resource_metrics: [],
    node_error: [],
  };
}

function rounded(rate: number): number {
  return Math.round(rate * 100) / 100;
}
