import { spawn } from "node:child_process";
import { once } from "node:events";
import { text as textOf } from "node:stream/consumers";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type Auth, createAuth } from "../../../auth/index.ts";
import { memoryTables } from "../../../auth/memory-table.testing.ts";
import { createLog } from "../../../log/index.ts";
import { LEVEL_NAMES, METRIC_NAMES } from "../../../mqtt/index.ts";
import type { MemoryConfigStore } from "../../../services/configuration/memory-config-store.testing.ts";
import { createFigures } from "../../../services/figures.ts";
import { createMetrics } from "../../../services/index.ts";
import { createMqttAccess, type MqttAccess } from "../../../services/mqtt-access.ts";
import { systemClock } from "../../../time/index.ts";
import { startApi, type TestRoutes } from "../kit/kit.testing.ts";
import { liveConfiguration } from "../watching.testing.ts";
import { renderFamilies } from "./exposition.ts";
import { prometheusRoutes } from "./index.ts";

const NODE = "tidegate@127.0.0.1";
const ban = {
  as: "clientid",
  who: "x",
  by: "",
  reason: "",
  atMs: 0,
  untilMs: null,
} as const;

/** Reads the text format, on Debian's Python, as Prometheus's own library does, and answers with all samples. */
const READER = `
import json, re, sys
from prometheus_client.parser import text_string_to_metric_families
seen = set()
out = []
text = sys.stdin.read()
# The library calls every counter *_total, whatever it is called.
sent = set(re.findall(r"^\\w+", text, re.M))
for family in text_string_to_metric_families(text):
    if family.name in seen: sys.exit("twice: " + family.name)
    seen.add(family.name)
    for sample in family.samples:
        name = sample.name if sample.name in sent else sample.name.removesuffix("_total")
        out.append([name, family.type, sample.labels, sample.value])
print(json.dumps(out))
`;

type Row = readonly [name: string, type: string, labels: Record<string, string>, value: number];

async function read(exposition: unknown): Promise<readonly Row[]> {
  const reader = spawn("/usr/bin/python3", ["-c", READER]);
  const [out, err] = [textOf(reader.stdout), textOf(reader.stderr)];
  reader.stdin.end(String(exposition));
  const [code] = await once(reader, "close");
  expect(code, await err).toBe(0);
  return JSON.parse(await out) as Row[];
}

let api: TestRoutes;
let store: MemoryConfigStore;
let live: ReturnType<typeof liveConfiguration>;
let auth: Auth;
let mqttAccess: MqttAccess;

beforeEach(async () => {
  live = liveConfiguration((next) => auth.reconfigure(next));
  store = live.store;
  const log = createLog({ level: "fatal" });
  auth = createAuth({ log, clock: systemClock, store: memoryTables() }, store.stored());
  await auth.start();
  mqttAccess = createMqttAccess({ auth, configuration: live });
  const rates = { now: 0, last5m: 0, max: 0 };
  const bridge = {
    config: { enable: true },
    status: {
      name: "cloud",
      state: "connected",
      reconnects: 2,
      depthMessages: 40,
      depthBytes: 4000,
      oldestAgeS: null,
      fillPercent: 7,
      inflight: 3,
      forwarded: 100,
      received: 50,
      retried: 1,
      dropped: { queue_full: 5, expired: 0 },
      rules: [
        {
          name: "up",
          direction: "forward",
          state: "active",
          matched: 140,
          passed: 100,
          failed: 0,
          dropped: 5,
          rates,
        },
        {
          name: "down",
          direction: "subscription",
          state: "active",
          matched: 50,
          passed: 50,
          failed: 0,
          dropped: 0,
          rates,
        },
      ],
    },
  };
  const device = {
    cpu_percent: 12.5,
    memory_total_bytes: 1e9,
    under_voltage: true,
    temperature_c: null,
    board_model: 'a "board" \\ one\nline',
    written_bytes: { queue: 10, retained: null },
  };
  const deviceMetrics = [
    { name: "cpu_percent", doc: "Processor.", kind: "gauge", label: null },
    { name: "memory_total_bytes", doc: "Memory.", kind: "gauge", label: null },
    { name: "under_voltage", doc: "Supply.", kind: "gauge", label: null },
    { name: "temperature_c", doc: "Heat.", kind: "gauge", label: null },
    { name: "board_model", doc: "Name.", kind: "gauge", label: null },
    { name: "written_bytes", doc: "Written\nby cause.", kind: "counter", label: "cause" },
  ] as const;
  const services = {
    node: { name: NODE },
    metrics: createMetrics([
      {
        metrics: () => ({
          "messages.received": 12,
          "packets.connect.received": 3,
          "authentication.success": 5,
          "authentication.success.anonymous": 1,
        }),
        levels: () => ({ live_connections: { now: 2, max: 6 } }),
      },
    ]),
    figures: createFigures({
      telemetry: { snapshot: () => device },
      deviceMetrics,
      bridges: { list: () => [bridge] },
    }),
    statistics: {
      device: () => device,
      node: () => ({
        version: "1",
        uptimeMs: 1234.5,
        nowMs: 0,
        isReady: true,
        connections: 2,
        sessions: 3,
        maxOpenFiles: 1024,
        configuration: store.status(),
      }),
    },
    mqttAccess,
    bans: {
      list: () => [ban, ban],
      add: () => Promise.resolve(ban),
      remove: () => Promise.resolve(false),
      clear: () => Promise.resolve(),
    },
    configuration: {
      ...live,
      running: () => store.stored(),
      status: () => store.status(),
      confirm: () => Promise.resolve(false),
      pemTexts: async () => ({ cert: null, ca: null }),
    },
  };
  api = await startApi(prometheusRoutes(services));
});

afterEach(async () => {
  await api.close();
  await auth.stop();
});

test("Prometheus's own library reads every counter and level under EMQX's name", async () => {
  const { status, body, headers } = await api.call("GET", "/prometheus/stats");
  expect(status).toBe(200);
  expect(headers["content-type"]).toBe("text/plain; version=0.0.4; charset=utf-8");
  const rows = await read(body);
  const types = new Map(rows.map(([name, type]) => [name, type]));
  for (const name of METRIC_NAMES) {
    const stem = `emqx_${name.replaceAll(".", "_")}`
      .replace("packets_connect_received", "packets_connect")
      .replace("dropped_await_pubrel_timeout", "dropped_expired");
    expect(types.get(stem), stem).toBe("counter");
  }
  for (const name of LEVEL_NAMES) {
    const stem = `emqx_${name.replaceAll(".", "_")}`;
    expect(types.get(`${stem}_count`), stem).toBe("gauge");
    expect(types.get(`${stem}_max`), stem).toBe("gauge");
  }
  const value = (name: string) => rows.find(([of]) => of === name)?.[3];
  expect(value("emqx_messages_received")).toBe(12);
  expect(value("emqx_packets_connect")).toBe(3);
  expect(value("emqx_live_connections_max")).toBe(6);
  expect(value("emqx_cluster_nodes_running")).toBe(1);
  expect(value("emqx_vm_cpu_idle")).toBe(87.5);
  expect(value("emqx_vm_uptime_ms")).toBe(1234);
});

test("device, store and bridges have metrics of their own, and missing sensors none", async () => {
  const rows = await read((await api.call("GET", "/prometheus/stats")).body);
  const own = rows.filter(([name]) => name.startsWith("tidegate_"));
  expect(own).toContainEqual(["tidegate_under_voltage", "gauge", {}, 1]);
  expect(own).toContainEqual(["tidegate_written_bytes", "counter", { cause: "queue" }, 10]);
  expect(own).toContainEqual([
    "tidegate_board_model_info",
    "gauge",
    { value: 'a "board" \\ one\nline' },
    1,
  ]);
  expect(own).toContainEqual(["tidegate_bridge_up", "gauge", { bridge: "cloud" }, 1]);
  expect(own).toContainEqual([
    "tidegate_bridge_dropped_total",
    "counter",
    { bridge: "cloud", reason: "queue_full" },
    5,
  ]);
  const names = own.map(([name]) => name);
  expect(names).not.toContain("tidegate_temperature_c");
  expect(names).not.toContain("tidegate_bridge_outbox_oldest_s");
});

test("the unaggregated mode labels every value with the node, the others do not", async () => {
  const labelled = await api.call("GET", "/prometheus/stats?mode=all_nodes_unaggregated");
  for (const [, , labels] of await read(labelled.body)) expect(labels["node"]).toBe(NODE);
  for (const mode of ["node", "all_nodes_aggregated"]) {
    const { body } = await api.call("GET", `/prometheus/stats?mode=${mode}`);
    expect(body).not.toContain(NODE);
  }
  expect(await api.call("GET", "/prometheus/stats?mode=all")).toMatchObject({
    status: 400,
    body: { code: "BAD_REQUEST" },
  });
});

test("bridges are connectors, and their rules towards the cloud actions", async () => {
  const rows = await read((await api.call("GET", "/prometheus/data_integration")).body);
  expect(rows).toContainEqual(["emqx_connector_status", "gauge", { id: "mqtt:cloud" }, 1]);
  expect(rows).toContainEqual(["emqx_action_success", "counter", { id: "mqtt:up" }, 100]);
  expect(rows).toContainEqual(["emqx_action_queuing", "gauge", { id: "mqtt:up" }, 40]);
  expect(rows).toContainEqual(["emqx_actions_count", "gauge", {}, 1]);
  expect(rows.some(([, , { id }]) => id === "mqtt:down")).toBe(false);
});

test("logins, rules and bans have metrics, by who decides", async () => {
  const none = await read((await api.call("GET", "/prometheus/auth")).body);
  expect(none).toEqual([["emqx_banned_count", "gauge", {}, 2]]);
  await live.change(async () => ({
    patch: {
      auth: { built_in_database: {} },
      acl: {
        sources: [
          { type: "file", rules: '{deny, all, all, ["no"]}.' },
          { type: "built_in_database", enable: false },
        ],
      },
    },
  }));
  await mqttAccess.users().create({ userId: "ann", password: "right", isSuperuser: false });
  const login = (password: string) =>
    auth.authenticate({
      clientId: "c",
      username: "ann",
      password: Buffer.from(password),
      peer: { listener: "tcp", address: "127.0.0.1", tcpPort: 1, certificate: null },
    });
  expect(await login("right")).toBe("accepted");
  expect(await login("wrong")).toBe("bad_credentials");
  const rule = { topic: "t", permission: "allow", action: "all", qos: [0], retain: "all" } as const;
  await mqttAccess.rules().putAll([rule]);
  await mqttAccess.rules().put("users", { name: "ann", rules: [rule] });
  for (const topic of ["no", "yes"]) {
    auth.authorize({
      clientId: "c",
      username: "ann",
      address: "127.0.0.1",
      isSuperuser: false,
      action: "publish",
      topic,
      qos: 0,
      retain: false,
    });
  }
  const rows = await read((await api.call("GET", "/prometheus/auth")).body);
  const id = "password_based:built_in_database";
  expect(rows).toContainEqual(["emqx_authn_success", "counter", { id }, 1]);
  expect(rows).toContainEqual(["emqx_authn_failed", "counter", { id }, 1]);
  expect(rows).toContainEqual(["emqx_authn_total", "counter", { id }, 2]);
  expect(rows).toContainEqual(["emqx_authn_users_count", "gauge", { id }, 1]);
  expect(rows).toContainEqual(["emqx_authz_deny", "counter", { type: "file" }, 1]);
  expect(rows).toContainEqual(["emqx_authz_nomatch", "counter", { type: "file" }, 1]);
  const type = "built_in_database";
  expect(rows).toContainEqual(["emqx_authz_enable", "gauge", { type }, 0]);
  expect(rows).toContainEqual(["emqx_authz_rules_count", "gauge", { type }, 2]);
  const stats = await read((await api.call("GET", "/prometheus/stats")).body);
  expect(stats).toContainEqual(["emqx_authn_builtin_record_count", "gauge", {}, 1]);
  expect(stats).toContainEqual(["emqx_authz_builtin_record_count", "gauge", {}, 2]);
});

test("metrics need a login until that is switched off, which applies at once", async () => {
  expect(await api.call("GET", "/prometheus/stats", { as: null })).toMatchObject({ status: 401 });
  const off = await api.call("PUT", "/prometheus", { body: { enable_basic_auth: false } });
  expect(off).toMatchObject({ status: 200, body: { enable_basic_auth: false } });
  expect(store.stored().prometheus.enable_basic_auth).toBe(false);
  for (const path of ["stats", "auth", "data_integration"]) {
    const open = await api.call("GET", `/prometheus/${path}`, { as: null });
    expect(open, path).toMatchObject({ status: 200 });
  }
  expect(await api.call("GET", "/prometheus", { as: null })).toMatchObject({ status: 401 });
});

test("settings come back as they were shown, and nothing that has no effect is accepted", async () => {
  const shown = await api.call("GET", "/prometheus");
  expect(shown).toMatchObject({ status: 200, body: { push_gateway: { enable: false } } });
  expect(await api.call("PUT", "/prometheus", { body: shown.body })).toMatchObject({ status: 200 });
  const old = { enable: false, push_gateway_server: "http://127.0.0.1:9091", interval: "15s" };
  expect(await api.call("PUT", "/prometheus", { body: old })).toMatchObject({ status: 200 });
  for (const body of [
    { push_gateway: { enable: true } },
    { enable: true },
    { push_gateway: { url: "http://other:9091" } },
    { collectors: { vm_memory: "enabled" } },
    { enable_basic_auth: "yes" },
    { unknown: 1 },
  ]) {
    const refused = await api.call("PUT", "/prometheus", { body });
    expect(refused, JSON.stringify(body)).toMatchObject({
      status: 400,
      body: { code: "BAD_REQUEST" },
    });
  }
  expect(store.writes).toBe(0);
});

test("families without a sample are left out", () => {
  expect(renderFamilies([{ name: "x", doc: "", kind: "gauge", samples: [] }])).toBe("\n");
});
