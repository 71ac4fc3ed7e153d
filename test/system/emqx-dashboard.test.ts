import { expect, test } from "vitest";
import { startGateway } from "../helpers/gateway-process.ts";
import { connectDevice } from "../helpers/mqtt.ts";

const NODE = "tidegate@127.0.0.1";
const FIELDS =
  "clientid,username,connected,ip_address,port,keepalive,clean_start,expiry_interval,connected_at";
const DAYS = [3_600, 21_600, 43_200, 86_400, 259_200, 604_800];

/** What the dashboard of EMQX 5.8 asks, page by page (reference A.2); `{n}` is the node. */
const WALK = [
  // After the login, and polled on the overview.
  "GET /nodes",
  "GET /monitor_current",
  "GET /stats",
  "GET /telemetry/status",
  ...DAYS.map((seconds) => `GET /monitor?latest=${seconds}`),
  // Nodes and metrics.
  "GET /nodes/{n}",
  "GET /nodes/{n}/stats",
  "GET /metrics?aggregate=true",
  "GET /metrics?aggregate=false&node={n}",
  // Clients.
  `GET /clients_v2?limit=20&fields=${FIELDS}`,
  `GET /clients_v2?limit=20&like_clientid=c&conn_state=connected&fields=${FIELDS}`,
  "GET /clients/c1",
  "GET /clients/c1/subscriptions",
  'POST /clients/c1/subscribe {"topic":"from/page","qos":1,"nl":0,"rap":0,"rh":0}',
  'POST /clients/c1/unsubscribe {"topic":"from/page"}',
  "GET /clients/c1/mqueue_messages?limit=100&payload=none",
  "GET /clients/c1/inflight_messages?limit=100&payload=base64",
  // Subscriptions, topics, retained messages.
  "GET /subscriptions?limit=20&page=1",
  "GET /topics?limit=20&page=1",
  "GET /mqtt/retainer/messages?limit=20&page=1",
  "GET /mqtt/retainer",
  "GET /mqtt/retainer/message/kept%2Ftopic",
  "DELETE /mqtt/retainer/message/kept%2Ftopic",
  "DELETE /mqtt/retainer/messages",
  // Listeners, keys, users.
  "GET /listeners",
  "GET /listeners/tcp%3Adefault",
  "GET /api_key",
  'POST /api_key {"name":"page","desc":"","enable":true,"expired_at":"infinity","role":"viewer"}',
  'PUT /api_key/page {"name":"page","desc":"x","enable":false,"role":"viewer"}',
  "DELETE /api_key/page",
  "GET /users",
  // Data integration.
  "GET /connectors",
  "GET /actions",
  "GET /actions_summary",
  "GET /action_types",
  "GET /sources",
  "GET /sources_summary",
  "GET /source_types",
  "GET /bridges",
  "GET /schemas/actions",
  "GET /schemas/connectors",
  "GET /rules?limit=20&page=1",
  "GET /rule_events",
  // Access.
  "GET /authentication",
  "GET /authorization/sources",
  "GET /authorization/settings",
  "GET /banned?limit=20&page=1",
  "GET /banned?limit=20&page=1&like_clientid=a",
  "DELETE /banned",
  // Settings.
  "GET /schemas/hotconf",
  "GET /configs/global_zone",
  "GET /configs/log",
  "GET /configs/sys_topics",
  "GET /prometheus",
  "GET /opentelemetry",
  "GET /trace",
  // Pages only the dashboard of 2022 has (A.1), with the junk it sends.
  "GET /alarms?activated=true",
  `GET /clients?limit=20&page=1&count=0&hasnext=false&node={n}&gte_connected_at=2020-01-01T00%3A00%3A00.000Z`,
  "GET /subscriptions?limit=20&page=1&_shallow=false&__v_isRef=true&_rawValue=&_value=",
  "GET /mqtt/topic_metrics",
  "GET /slow_subscriptions",
  "GET /slow_subscriptions/settings",
  "GET /mqtt/delayed",
  "GET /mqtt/topic_rewrite",
  "GET /mqtt/auto_subscribe",
  "GET /cluster",
  // At last, because they end something.
  "DELETE /monitor",
  'POST /clients/kickout/bulk ["c1"]',
  'POST /logout {"username":"admin"}',
];

test("a dashboard walks through all its pages without an error", async () => {
  const { ports } = await startGateway();
  const base = `http://127.0.0.1:${ports.http}/api/v5`;
  const device = await connectDevice(ports.tcp, { clientId: "c1", subscribe: ["a/#"] });
  await device.client.publishAsync("kept/topic", "x", { retain: true, qos: 1 });
  const json = { "content-type": "application/json" };
  const login = await fetch(`${base}/login`, {
    method: "POST",
    headers: json,
    body: JSON.stringify({ username: "admin", password: "public" }),
  });
  const { token } = (await login.json()) as { token: string };

  const failed: string[] = [];
  for (const step of WALK) {
    const [method = "", path = "", ...body] = step.split(" ");
    const reply = await fetch(`${base}${path.replace("{n}", NODE)}`, {
      method,
      headers: { authorization: `Bearer ${token}`, ...(body.length > 0 ? json : {}) },
      ...(body.length > 0 ? { body: body.join(" ") } : {}),
    });
    const text = await reply.text();
    if (!reply.ok) failed.push(`${step}: ${reply.status} ${text}`);
  }
  expect(failed).toEqual([]);
});
