import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { listenerRoutes } from "./listeners.ts";
import { LiveGateway, until } from "./live-gateway.testing.ts";

const start = () => LiveGateway.start((services) => listenerRoutes(services));

const NEW = { type: "tcp", name: "extra", bind: "127.0.0.1:0" };

/** Resolves when a new connection is closed without an answer. */
async function isCutOff(live: LiveGateway): Promise<void> {
  const socket = connect(live.gateway.ports()["tcp"] ?? 0, "127.0.0.1");
  socket.on("error", () => undefined);
  await new Promise((resolve) => socket.resume().once("close", resolve));
}

test("a new listener is open at once, is open after a restart, and goes with its clients", async () => {
  const live = await start();
  const created = await live.call("POST", "/listeners", { body: NEW });
  expect(created).toMatchObject({ status: 200, body: { id: "tcp:extra", running: true } });
  const { mqtt } = await live.connect({}, "tcp:extra");
  expect((await live.call("GET", "/listeners/tcp:extra")).body).toMatchObject({
    bind: "127.0.0.1:0",
    enable: true,
    current_connections: 1,
  });
  const twice = await live.call("POST", "/listeners", { body: NEW });
  expect(twice).toMatchObject({ status: 400, body: { code: "BAD_LISTENER_ID" } });

  await live.restart();
  const again = await live.connect({}, "tcp:extra");
  expect(mqtt.connected).toBe(false);
  expect((await live.call("DELETE", "/listeners/tcp%3Aextra")).status).toBe(204);
  await until(() => !again.mqtt.connected);
  expect(live.gateway.ports()).not.toHaveProperty("tcp:extra");
  const gone = { status: 404, body: { code: "BAD_LISTENER_ID" } };
  expect(await live.call("GET", "/listeners/tcp:extra")).toMatchObject(gone);
  await live.restart();
  expect(await live.call("DELETE", "/listeners/tcp:extra")).toMatchObject(gone);
});

test("a stopped listener refuses until it is started, over restarts too", async () => {
  const live = await start();
  const port = live.gateway.ports()["tcp"];
  const client = await live.connect();
  const act = (action: string) => live.call("POST", `/listeners/tcp:default/${action}`);
  expect(await act("stop")).toMatchObject({ status: 200, body: null });
  await until(() => !client.mqtt.connected);
  await expect(live.connect({ port: port ?? 0 }, "http")).rejects.toThrow("ECONNREFUSED");
  expect((await act("stop")).status).toBe(200);
  expect((await live.call("GET", "/listeners?type=tcp")).body).toMatchObject([
    { id: "tcp:default", enable: false, status: { running: false, current_connections: 0 } },
  ]);
  await live.restart();
  expect(live.gateway.ports()).not.toHaveProperty("tcp");
  expect((await act("start")).status).toBe(200);
  expect((await act("start")).status).toBe(200);
  const back = await live.connect();
  expect((await act("restart")).status).toBe(200);
  await until(() => !back.mqtt.connected);
  await live.connect();
  await live.restart();
  await live.connect();
});

test("limits change under connected clients, and hold", async () => {
  const live = await start();
  const put = (more: object) =>
    live.call("PUT", "/listeners/tcp:default", {
      body: { type: "tcp", id: "tcp:default", running: true, ...more },
    });
  const first = await live.connect();
  expect(await put({ max_connections: 1 })).toMatchObject({
    status: 200,
    body: { max_connections: 1 },
  });
  await isCutOff(live);
  await put({ max_connections: "infinity", max_conn_rate: "1/s" });
  await live.connect();
  await isCutOff(live);
  expect((await put({ max_conn_rate: "infinity" })).body).not.toHaveProperty("max_conn_rate");
  await live.connect();
  expect(first.mqtt.connected).toBe(true);
});

test("a port that is taken is refused, and the listener stays as it was", async () => {
  const live = await start();
  const other = createServer().listen(0, "127.0.0.1");
  onTestFinished(() => void other.close());
  await new Promise((resolve) => other.once("listening", resolve));
  const address = other.address();
  const taken = typeof address === "object" && address !== null ? address.port : 0;
  const before = (await live.call("GET", "/listeners/tcp:default")).body;
  const answer = await live.call("PUT", "/listeners/tcp:default", {
    body: { type: "tcp", id: "tcp:default", bind: `127.0.0.1:${taken}` },
  });
  expect(answer).toMatchObject({ status: 400, body: { code: "BAD_REQUEST" } });
  expect((await live.call("GET", "/listeners/tcp:default")).body).toEqual(before);
  await live.connect();
  await live.restart();
  await live.connect();
});

test("a TLS listener takes PEM texts and keeps the key to itself", async () => {
  const live = await start();
  const dir = live.dataDir;
  const file = (name: string) => join(dir, name);
  execFileSync("openssl", [
    ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"],
    ...["-keyout", file("k.pem"), "-out", file("c.pem"), "-days", "2", "-subj", "/CN=localhost"],
  ]);
  const pem = (name: string) => readFileSync(file(name), "utf8");
  const ssl_options = { keyfile: pem("k.pem"), certfile: pem("c.pem"), verify: "verify_none" };
  const body = { type: "ssl", name: "lan", bind: "127.0.0.1:0", ssl_options };
  const created = await live.call("POST", "/listeners", { body });
  expect(created).toMatchObject({ status: 200, body: { running: true } });
  expect(JSON.stringify(created.body)).not.toContain("PRIVATE");
  await live.restart();
  await live.connect({ protocol: "mqtts", ca: pem("c.pem"), rejectUnauthorized: false }, "ssl:lan");
  const wrong = { ...body, name: "wrong", ssl_options: { ...ssl_options, keyfile: "/none.pem" } };
  expect(await live.call("POST", "/listeners", { body: wrong })).toMatchObject({
    status: 400,
    body: { code: "BAD_REQUEST" },
  });
  expect(live.gateway.ports()).not.toHaveProperty("ssl:wrong");
});

test("a WebSocket listener has a path of its own", async () => {
  const live = await start();
  const body = { type: "ws", name: "w", bind: "127.0.0.1:0", websocket: { mqtt_path: "/here" } };
  expect((await live.call("POST", "/listeners/ws:w", { body })).status).toBe(200);
  await live.connect({ protocol: "ws", path: "/here" }, "ws:w");
});

test("what was answered can be sent back; what cannot be had is refused", async () => {
  const live = await start();
  for (const id of ["tcp:default", "ssl:default", "ws:default", "wss:default"]) {
    const { body } = await live.call("GET", `/listeners/${id}`);
    expect((await live.call("PUT", `/listeners/${id}`, { body })).status).toBe(200);
  }
  const base = { type: "tcp", id: "tcp:default" };
  const wrong = [
    { ...base, acceptors: 8 },
    { ...base, mountpoint: "site/" },
    { ...base, proxy_protocol: true },
    { ...base, access_rules: ["deny all"] },
    { ...base, messages_rate: "100/s" },
    { ...base, tcp_options: { backlog: 7 } },
    { ...base, tcp_options: { unknown: 1 } },
    { ...base, ssl_options: { verify: "verify_none" } },
    { ...base, bind: "nowhere" },
    { ...base, bind: "0.0.0.0:70000" },
    { ...base, max_connections: 0 },
    { ...base, max_conn_rate: "often" },
    { ...base, unknown: true },
    { ...base, id: "tcp:other" },
    { ...base, type: "ws" },
  ];
  for (const body of wrong) {
    const answer = await live.call("PUT", "/listeners/tcp:default", { body });
    expect(answer, JSON.stringify(body)).toMatchObject({ status: 400 });
  }
  expect(await live.call("DELETE", "/listeners/tcp:default")).toMatchObject({ status: 400 });
  expect(await live.call("POST", "/listeners", { body: { ...NEW, name: "a/b" } })).toMatchObject({
    status: 400,
  });
  await live.connect();
});

test("the summary adds up by transport", async () => {
  const live = await start();
  await live.call("POST", "/listeners", { body: NEW });
  await live.connect({}, "tcp:extra");
  expect((await live.call("GET", "/listeners_status")).body).toMatchObject([
    { type: "tcp", ids: ["tcp:default", "tcp:extra"], status: { current_connections: 1 } },
    { type: "ssl", enable: false, status: { running: false } },
    { type: "ws" },
    { type: "wss" },
  ]);
});
