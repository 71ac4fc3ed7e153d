import { afterEach, beforeEach, expect, test } from "vitest";
import { LEVEL_NAMES, METRIC_NAMES } from "../../mqtt/index.ts";
import { createMetrics } from "../../services/index.ts";
import { startApi, type TestRoutes } from "./kit/kit.testing.ts";
import { metricsRoutes } from "./metrics.ts";

const NODE = "tidegate@127.0.0.1";

let api: TestRoutes;

beforeEach(async () => {
  const metrics = createMetrics([
    {
      metrics: () => ({ "messages.received": 12, "delivery.dropped.queue_full": 3 }),
      levels: () => ({ live_connections: { now: 2, max: 5 }, retained: { now: 1, max: 1 } }),
    },
    { metrics: () => ({ "messages.delayed": 4 }) },
  ]);
  api = await startApi(
    metricsRoutes({
      node: { name: NODE },
      metrics,
      statistics: { device: () => ({ temperature_c: 48.7 }) },
    }),
  );
});

afterEach(() => api.close());

test("GET /metrics gives one object a node, with every name EMQX has", async () => {
  const { status, body } = await api.call("GET", "/metrics");
  expect(status).toBe(200);
  expect(body).toMatchObject([
    {
      node: NODE,
      "messages.received": 12,
      "messages.delayed": 4,
      "delivery.dropped.queue_full": 3,
      "messages.sent": 0,
    },
  ]);
  const [row] = body as [object];
  expect(Object.keys(row).sort()).toEqual([...METRIC_NAMES, "node"].sort());
});

test("aggregate=true gives one object without the node", async () => {
  const metrics = await api.call("GET", "/metrics?aggregate=true");
  expect(metrics.body).toMatchObject({ "messages.received": 12 });
  expect(metrics.body).not.toHaveProperty("node");
  const stats = await api.call("GET", "/stats?aggregate=true");
  expect(Object.keys(stats.body as object).sort()).toEqual(
    [...LEVEL_NAMES.flatMap((name) => [`${name}.count`, `${name}.max`]), "device"].sort(),
  );
});

test("GET /stats gives what is now and the most there was", async () => {
  const { body } = await api.call("GET", "/stats");
  expect(body).toMatchObject([
    {
      node: NODE,
      "live_connections.count": 2,
      "live_connections.max": 5,
      "retained.count": 1,
      "delayed.count": 0,
      "durable_subscriptions.max": 0,
      device: { temperature_c: 48.7 },
    },
  ]);
});

test("a node has its own statistics and metrics, and no other is found", async () => {
  expect(await api.call("GET", `/nodes/${NODE}/stats`)).toMatchObject({
    status: 200,
    body: { "live_connections.count": 2 },
  });
  expect(await api.call("GET", `/nodes/${NODE}/metrics`)).toMatchObject({
    status: 200,
    body: { "messages.received": 12 },
  });
  expect(await api.call("GET", `/metrics?node=${NODE}`)).toMatchObject({ status: 200 });
  for (const path of ["/nodes/other@x/stats", "/nodes/other@x/metrics", "/metrics?node=other@x"]) {
    expect(await api.call("GET", path), path).toMatchObject({
      status: 404,
      body: { code: "NOT_FOUND" },
    });
  }
});
