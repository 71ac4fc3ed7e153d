import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { eventually } from "../../bridge/bridge.testing.ts";
import {
  CONNACK_OK,
  CONNECT,
  ScriptedServer,
  SUBSCRIBE,
} from "../../bridge/scripted-server.testing.ts";
import { ADMIN, createTestApi, type TestApi } from "../test-api.testing.ts";

let api: TestApi;
let cloud: ScriptedServer;
let subscribed: string[];

beforeEach(async () => {
  subscribed = [];
  cloud = await ScriptedServer.start({
    onPacket: (connection, { type, body }) => {
      if (type === CONNECT) connection.send(CONNACK_OK);
      if (type !== SUBSCRIBE) return;
      subscribed.push(body.toString("utf8", 4, 4 + body.readUInt16BE(2)));
      connection.send(Buffer.of(0x90, 3, body[0] ?? 0, body[1] ?? 0, 1));
    },
  });
  api = await createTestApi({
    bridges: {
      cloud: {
        server: cloud.url,
        username: "gw",
        password: "secret",
        keepalive_s: 30,
        forwards: [
          { local_topic: "plant/#", remote_topic: "up", qos: 1, retain: true, prefix: "gw1/" },
        ],
        subscription: [{ remote_topic: "cmd/#", qos: 2 }],
      },
    },
  });
  await api.bridges.start();
  await api.bridges.settled("cloud");
});

afterEach(async () => {
  await api.close();
  await cloud[Symbol.asyncDispose]();
});

async function call(method: "GET" | "PUT" | "POST", path: string, body?: unknown) {
  const reply = await api.app.inject({
    method,
    url: `/api/v4${path}`,
    headers: { authorization: ADMIN },
    ...(body === undefined ? {} : { payload: JSON.stringify(body) }),
  });
  return { status: reply.statusCode, body: reply.body === "" ? null : reply.json() };
}

const node = async () => (await call("GET", "/bridges/cloud")).body.data.bridge.nodes[0];

describe("/bridges (reference §5.1)", () => {
  test("GET shows each bridge in NanoMQ's members, its secrets masked, and how it stands", async () => {
    const { status, body } = await call("GET", "/bridges");
    expect(status).toBe(200);
    expect(body).toMatchObject({
      code: 0,
      data: {
        bridge: {
          nodes: [
            {
              name: "cloud",
              enable: true,
              parallel: 32,
              connector: {
                server: cloud.url,
                proto_ver: 4,
                clientid: null,
                clean_start: false,
                username: "gw",
                password: "******",
                keepalive: 30,
              },
              forwards: [
                { local_topic: "plant/#", remote_topic: "up", qos: 1, retain: 1, prefix: "gw1/" },
              ],
              subscription: [{ remote_topic: "cmd/#", local_topic: "", qos: 2, retain: 2 }],
              tls: { enable: false, verify_peer: true },
              status: { state: "connected", last_error: null, depth_messages: 0 },
            },
          ],
          sqlite: {},
        },
      },
    });
  });

  test("GET of an unknown bridge is an empty list", async () => {
    expect(await call("GET", "/bridges/nobody")).toEqual({
      status: 200,
      body: { code: 0, data: { bridge: { nodes: [], sqlite: {} } } },
    });
  });

  test("PUT connects anew with the definition, stores it, and keeps what is not named", async () => {
    const put = await call("PUT", "/bridges/cloud", {
      cloud: { keepalive: "2m", max_parallel_processes: 5, forwards: ["a/#"] },
    });
    expect(put).toEqual({ status: 200, body: { code: 0 } });
    expect(await node()).toMatchObject({
      parallel: 5,
      connector: { keepalive: 120, username: "gw", password: "******" },
      forwards: [{ local_topic: "a/#", remote_topic: "", retain: 2 }],
    });
    expect(api.store.stored().bridges["cloud"]).toMatchObject({ keepalive_s: 120 });
    expect(api.exits).toEqual([]);
    await eventually(() => expect(cloud.connections[1]?.packets[0]).toBeDefined());
    const connect = cloud.connections[1]?.packets[0]?.body.toString("latin1");
    expect(connect?.endsWith("gw\0\u0006secret")).toBe(true);
  });

  test("what GET shows can be put back and changes nothing", async () => {
    const before = await node();
    expect(await call("PUT", "/bridges/cloud", { cloud: before })).toMatchObject({ status: 200 });
    expect(api.store.writes).toBe(0);
  });

  test.each([
    ["an unknown bridge", "/bridges/nobody", { nobody: {} }, 403, 108],
    ["a body without that name", "/bridges/cloud", { other: {} }, 403, 108],
    ["a body that is no object", "/bridges/cloud", [], 400, 109],
    ["an unknown member", "/bridges/cloud", { cloud: { quic_keepalive: 1 } }, 400, 108],
    ["a value out of range", "/bridges/cloud", { cloud: { keepalive: 70_000 } }, 400, 108],
    ["a server of another kind", "/bridges/cloud", { cloud: { server: "x" } }, 400, 108],
    ["rules that loop", "/bridges/cloud", { cloud: { forwards: ["cmd/#"] } }, 400, 108],
  ])("PUT refuses %s and changes nothing", async (_, path, body, status, code) => {
    expect(await call("PUT", path, body)).toMatchObject({ status, body: { code } });
    expect(api.store.writes).toBe(0);
    expect(cloud.connections).toHaveLength(1);
  });

  test("tls.enable changes the scheme of the server", async () => {
    await call("PUT", "/bridges/cloud", { cloud: { tls: { enable: true, verify_peer: false } } });
    expect(await node()).toMatchObject({
      connector: { server: cloud.url.replace("mqtt:", "mqtts:") },
      tls: { enable: true, verify_peer: false },
    });
  });

  test("the switch ends the link and brings it back", async () => {
    const off = await call("POST", "/bridges/switch/cloud", { data: { bridge_switch: false } });
    expect(off).toEqual({ status: 200, body: { code: 0 } });
    expect(await node()).toMatchObject({ enable: false, status: { state: "disabled" } });
    await call("POST", "/bridges/switch/cloud", { data: { bridge_switch: true } });
    await api.bridges.settled("cloud");
    expect(await node()).toMatchObject({ enable: true, status: { state: "connected" } });
  });

  test.each([
    ["/bridges/switch/nobody", { data: { bridge_switch: true } }, 204, null],
    ["/bridges/switch/cloud", { data: {} }, 400, { code: 107 }],
    ["/bridges/switch/cloud", { data: { bridge_switch: 1 } }, 400, { code: 108 }],
    ["/bridges/sub/nobody", { data: { subscription: [] } }, 404, { code: 108 }],
    ["/bridges/sub/cloud", { data: { subscription: 1 } }, 400, { code: 109 }],
    ["/bridges/unsub/cloud", {}, 400, { code: 109 }],
    ["/bridges/unsub/cloud", { data: { unsubscription: [1] } }, 400, { code: 108 }],
  ])("POST %s with %o answers %i", async (path, body, status, answer) => {
    const reply = await call("POST", path, body);
    expect(reply.status).toBe(status);
    if (answer === null) expect(reply.body).toBeNull();
    else expect(reply.body).toMatchObject(answer);
  });

  test("sub and unsub change what the bridge asks the cloud for", async () => {
    await call("POST", "/bridges/sub/cloud", {
      data: { subscription: [{ remote_topic: "news/+", local_topic: "", qos: 1 }] },
    });
    await eventually(() => expect(subscribed).toContain("news/+"));
    expect((await node()).subscription).toHaveLength(2);
    await call("POST", "/bridges/unsub/cloud", { data: { unsubscription: [{ topic: "cmd/#" }] } });
    expect((await node()).subscription).toMatchObject([{ remote_topic: "news/+" }]);
  });
});
