import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { eventually } from "../../bridge/bridge.testing.ts";
import { ScriptedServer } from "../../bridge/scripted-server.testing.ts";
import { type BridgeApi, startBridgeApi } from "./bridge-api.testing.ts";

let api: BridgeApi;

beforeEach(async () => {
  api = await startBridgeApi();
});

afterEach(() => api.close());

const body = () => ({ type: "mqtt", name: "cloud", server: api.server, keepalive: "30s" });

async function make(more: object = {}) {
  const reply = await api.call("POST", "/connectors", { body: { ...body(), ...more } });
  await api.bridges.settled("cloud");
  return reply;
}

describe("connectors (reference §5.12.1)", () => {
  it("a connector that is made connects, is stored, and shows as EMQX shows it", async () => {
    const { status } = await make({ username: "gw", password: "secret", proto_ver: "v4" });
    expect(status).toBe(201);
    const shown = await api.call("GET", "/connectors/mqtt:cloud");
    expect(shown.body).toMatchObject({
      type: "mqtt",
      name: "cloud",
      enable: true,
      server: api.server,
      proto_ver: "v4",
      username: "gw",
      password: "******",
      keepalive: "30s",
      max_inflight: 32,
      ssl: { enable: false, verify: "verify_peer" },
      status: "connected",
      node_status: [{ node: "tidegate@127.0.0.1", status: "connected" }],
      actions: [],
      sources: [],
    });
    expect(api.store.stored().bridges["cloud"]).toMatchObject({ password: "secret" });
    expect((await api.call("GET", "/connectors/mqtt%3Acloud")).status).toBe(200);
  });

  it("tags are kept, and the resend interval is how long an acknowledgement may take", async () => {
    const { body: made } = await make({ tags: ["site 7", "cloud"], retry_interval: "2m" });
    expect(made).toMatchObject({ tags: ["site 7", "cloud"], retry_interval: "2m" });
    expect(api.store.stored().bridges["cloud"]).toMatchObject({
      tags: ["site 7", "cloud"],
      ack_timeout_s: 120,
    });
    const { body: changed } = await api.call("PUT", "/connectors/mqtt:cloud", {
      body: { retry_interval: "15s" },
    });
    expect(changed).toMatchObject({ tags: ["site 7", "cloud"], retry_interval: "1m" });
  });

  it.each([
    [{ ssl: { enable: true, partial_chain: true } }, "partial_chain"],
    [{ ssl: { ciphers: ["NULL-MD5"] } }, "ciphers"],
    [{ resource_opts: { request_ttl: "45s" } }, "request_ttl"],
    [{ resource_opts: { start_after_created: false } }, "start_after_created"],
    [{ tags: Array(33).fill("x") }, "tags"],
  ])("what would change nothing here is refused by its name: %j", async (more, field) => {
    const { status, body: refusal } = await make(more);
    expect(status).toBe(400);
    expect(JSON.stringify(refusal)).toContain(field);
    expect(api.bridges.list()).toEqual([]);
  });

  it("what is shown can be sent back: nothing changes, and the secret stays", async () => {
    await make({ username: "gw", password: "secret" });
    const { body: shown } = await api.call("GET", "/connectors/mqtt:cloud");
    const before = api.store.stored().bridges["cloud"];
    expect((await api.call("PUT", "/connectors/mqtt:cloud", { body: shown })).status).toBe(200);
    expect(api.store.stored().bridges["cloud"]).toEqual(before);
    expect(api.cloud.connections).toHaveLength(1);
  });

  it("a change connects anew and keeps rules and whatever EMQX has no word for", async () => {
    api.bridges.apply({});
    await make();
    await api.call("POST", "/actions", {
      body: {
        type: "mqtt",
        name: "up",
        connector: "cloud",
        parameters: { topic: "${topic}", local: { topic: "a/#" } },
      },
    });
    const changed = await api.call("PUT", "/connectors/mqtt:cloud", {
      body: { keepalive: "2m", server: `${api.server},backup:1884`, ssl: { enable: false } },
    });
    expect(changed.body).toMatchObject({ keepalive: "2m", actions: ["up"] });
    expect(api.store.stored().bridges["cloud"]).toMatchObject({
      server: `mqtt://${api.server}`,
      servers: ["mqtt://backup:1884"],
      keepalive_s: 120,
      forwards: [{ name: "up" }],
    });
  });

  it.each([
    ["host:1883", { enable: true }, "mqtts://host:1883"],
    ["host", { enable: false }, "mqtt://host:1883"],
    ["[::1]:1884", undefined, "mqtt://[::1]:1884"],
    ["wss://host:443/mqtt", { enable: true }, "wss://host:443/mqtt"],
  ])("server %s with ssl %o is %s", async (server, ssl, url) => {
    await make({ server, enable: false, ...(ssl !== undefined && { ssl }) });
    expect(api.store.stored().bridges["cloud"]?.server).toBe(url);
    const { body: shown } = await api.call("GET", "/connectors/mqtt:cloud");
    await api.call("PUT", "/connectors/mqtt:cloud", { body: shown });
    expect(api.store.stored().bridges["cloud"]?.server).toBe(url);
  });

  it.each([
    ["the same name", {}, 400, "ALREADY_EXISTS"],
    ["another type", { type: "kafka" }, 400, "BAD_REQUEST"],
    ["a bad name", { name: "a b" }, 400, "BAD_REQUEST"],
    ["a name objects have", { name: "constructor" }, 400, "BAD_REQUEST"],
    ["no server", { name: "x", server: "::" }, 400, "BAD_REQUEST"],
    ["a keep alive too long", { name: "x", keepalive: "9d" }, 400, "BAD_REQUEST"],
    ["an unknown member", { name: "x", foo: 1 }, 400, "BAD_REQUEST"],
  ])("refuses %s", async (_, more, status, code) => {
    await make();
    expect(await make(more)).toMatchObject({ status, body: { code } });
    expect(Object.keys(api.store.stored().bridges)).toEqual(["cloud"]);
  });

  it.each([
    ["GET", "/connectors/mqtt:nobody"],
    ["GET", "/connectors/kafka:cloud"],
    ["GET", "/connectors/cloud"],
    ["PUT", "/connectors/mqtt:nobody/enable/true"],
    ["DELETE", "/connectors/mqtt:nobody"],
    ["POST", "/connectors/mqtt:nobody/start"],
  ] as const)("%s %s is 404", async (method, path) => {
    expect(await api.call(method, path)).toMatchObject({
      status: 404,
      body: { code: "NOT_FOUND" },
    });
  });

  it("disabled it reports disconnected and does not start; enabled it connects", async () => {
    await make();
    expect((await api.call("PUT", "/connectors/mqtt:cloud/enable/false")).status).toBe(204);
    const { body: shown } = await api.call("GET", "/connectors/mqtt:cloud");
    expect(shown).toMatchObject({ status: "disconnected", status_reason: "disabled" });
    expect(await api.call("POST", "/connectors/mqtt:cloud/start")).toMatchObject({
      status: 400,
      body: { message: "Forbidden operation, connector not enabled" },
    });
    await api.call("PUT", "/connectors/mqtt:cloud/enable/true");
    await api.bridges.settled("cloud");
    expect((await api.call("POST", "/connectors/mqtt:cloud/start")).status).toBe(204);
    expect((await api.call("POST", "/connectors/mqtt:cloud/stop")).status).toBe(400);
  });

  it("a start that fails tells why", async () => {
    await using refusing = await ScriptedServer.start({
      onPacket: (connection) => connection.send(Buffer.of(0x20, 2, 0, 4)),
    });
    await make({ server: `127.0.0.1:${refusing.tcpPort}` });
    expect(await api.call("POST", "/connectors/mqtt:cloud/start")).toMatchObject({
      status: 400,
      body: { code: "BAD_REQUEST", message: "bad user name or password (CONNACK 4)" },
    });
    expect((await api.call("GET", "/connectors/mqtt:cloud")).body).toMatchObject({
      status: "disconnected",
      status_reason: "bad user name or password (CONNACK 4)",
    });
  });

  it("a probe uses the stored secret where the mask is sent", async () => {
    await make({ username: "gw", password: "secret" });
    const probe = { ...body(), username: "gw", password: "******" };
    expect((await api.call("POST", "/connectors_probe", { body: probe })).status).toBe(204);
    const connect = api.cloud.connections[1]?.packets[0]?.body.toString("latin1");
    expect(connect?.endsWith("secret")).toBe(true);
    const dead = { server: "127.0.0.1:1" };
    expect(await api.call("POST", "/connectors_probe", { body: dead })).toMatchObject({
      status: 400,
      body: { code: "TEST_FAILED", message: "connection refused by 127.0.0.1:1" },
    });
  });

  it("is removed when nothing uses it any more", async () => {
    await make();
    await api.call("POST", "/sources", {
      body: { type: "mqtt", name: "down", connector: "cloud", parameters: { topic: "cmd/#" } },
    });
    expect(await api.call("DELETE", "/connectors/mqtt:cloud")).toMatchObject({ status: 400 });
    expect((await api.call("DELETE", "/sources/mqtt:down")).status).toBe(204);
    expect((await api.call("DELETE", "/connectors/mqtt:cloud")).status).toBe(204);
    expect((await api.call("GET", "/connectors")).body).toEqual([]);
    await eventually(() => expect(api.bridges.list()).toEqual([]));
  });
});
