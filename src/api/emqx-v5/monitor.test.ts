import { afterEach, beforeEach, expect, test } from "vitest";
import { createLog } from "../../log/index.ts";
import { createMonitor, type Monitor } from "../../monitor/index.ts";
import type { MetricName } from "../../mqtt/index.ts";
import { createMetrics } from "../../services/index.ts";
import { ManualClock } from "../../time/index.ts";
import { startApi, type TestRoutes } from "./kit/kit.testing.ts";
import { monitorRoutes } from "./monitor.ts";

const NODE = "tidegate@127.0.0.1";
const START_MS = Date.UTC(2026, 4, 1, 10);

let api: TestRoutes;
let clock: ManualClock;
let monitor: Monitor;
let counted: Partial<Record<MetricName, number>>;

beforeEach(async () => {
  clock = new ManualClock(START_MS);
  counted = {};
  const metrics = createMetrics([
    {
      metrics: () => counted,
      levels: () => ({
        connections: { now: 3, max: 3 },
        live_connections: { now: 2, max: 2 },
        cluster_sessions: { now: 3, max: 3 },
        retained: { now: 9, max: 9 },
      }),
    },
  ]);
  const table = {
    entries: async function* () {
      yield [];
    },
    put: () => undefined,
    delete: () => undefined,
  };
  const log = createLog({ level: "fatal" });
  monitor = createMonitor({ log, clock, metrics, store: { table: () => table } });
  await monitor.start();
  const uptimeMs = () => clock.monotonicMs();
  const node = () => ({
    version: "1",
    uptimeMs: uptimeMs(),
    nowMs: clock.nowMs(),
    isReady: true,
    connections: 2,
    sessions: 2,
    maxOpenFiles: null,
    configuration: { restartPending: false, onTrial: false, confirmS: null, rolledBack: null },
  });
  api = await startApi(
    monitorRoutes({
      node: { name: NODE },
      metrics,
      monitor,
      statistics: { node, device: () => ({ temperature_c: 48.7 }) },
    }),
  );
});

afterEach(async () => {
  await api.close();
  await monitor.stop();
});

test("GET /monitor shows the asked span in steps without gaps, empty ones with their stamp", async () => {
  counted = { "messages.received": 30, "messages.sent": 60, "actions.executed": 2 };
  clock.advance(20_000);
  const { status, body } = await api.call("GET", "/monitor?latest=3600");
  expect(status).toBe(200);
  const rows = body as Record<string, number>[];
  expect(rows).toHaveLength(360);
  expect(rows[0]).toEqual({ time_stamp: START_MS - 3_580_000 });
  expect(rows.at(-2)).toEqual({
    time_stamp: START_MS,
    connections: 3,
    live_connections: 2,
    topics: 0,
    subscriptions: 0,
    subscriptions_durable: 0,
    disconnected_durable_sessions: 0,
    received: 30,
    sent: 60,
    dropped: 0,
    persisted: 0,
    validation_succeeded: 0,
    validation_failed: 0,
    transformation_succeeded: 0,
    transformation_failed: 0,
    rules_matched: 0,
    actions_executed: 2,
    actions_messages: 2,
    received_bytes: 0,
    sent_bytes: 0,
  });
  const node = await api.call("GET", `/monitor/nodes/${NODE}?latest=3600`);
  expect(node.body).toEqual(rows);
});

test("every span a dashboard asks for has its step", async () => {
  clock.advance(1000);
  for (const [latest, rows] of [
    [60, 60],
    [3600, 360],
    [21_600, 360],
    [43_200, 720],
    [86_400, 1440],
    [259_200, 864],
    [604_800, 1008],
  ]) {
    const { body } = await api.call("GET", `/monitor?latest=${latest}`);
    expect(body, String(latest)).toHaveLength(rows ?? 0);
  }
});

test("a span of 0, below 0 or of no number is refused", async () => {
  for (const latest of ["0", "-5", "abc", "1.5"]) {
    expect(await api.call("GET", `/monitor?latest=${latest}`), latest).toMatchObject({
      status: 400,
      body: { code: "BAD_REQUEST" },
    });
  }
});

test("DELETE /monitor forgets everything", async () => {
  clock.advance(60_000);
  expect(await api.call("GET", "/monitor")).not.toMatchObject({ body: [] });
  expect(await api.call("DELETE", "/monitor")).toMatchObject({ status: 204 });
  expect(await api.call("GET", "/monitor")).toMatchObject({ body: [] });
});

test("GET /monitor_current gives figures and whole rates; those of a node have no cluster's", async () => {
  clock.advance(10_000);
  counted = { "messages.received": 33, "messages.dropped": 5, "bytes.sent": 1000 };
  clock.advance(1000);
  const current = await api.call("GET", "/monitor_current");
  expect(current.body).toMatchObject({
    connections: 3,
    live_connections: 2,
    cluster_sessions: 3,
    retained_msg_count: 9,
    received_msg_rate: 7,
    sent_msg_rate: 0,
    dropped_msg_rate: 1,
    sent_bytes_rate: 200,
    rules_matched_rate: 0,
  });
  const { body } = await api.call("GET", `/monitor_current/nodes/${NODE}`);
  expect(body).toMatchObject({ received_msg_rate: 7, node_uptime: 11_000 });
  expect(body).not.toHaveProperty("cluster_sessions");
  expect(body).not.toHaveProperty("retained_msg_count");
});

test("another node is not found", async () => {
  for (const path of ["/monitor/nodes/x@y", "/monitor_current/nodes/x@y"]) {
    expect(await api.call("GET", path)).toMatchObject({ status: 404, body: { code: "NOT_FOUND" } });
  }
});
