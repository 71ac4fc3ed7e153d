import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { topicFilter } from "../../mqtt/index.ts";
import { clientInfo, subscriptionInfo } from "../../services/fake-broker.testing.ts";
import { ADMIN, createTestApi, type TestApi } from "../test-api.testing.ts";

let api: TestApi;

beforeEach(async () => {
  api = await createTestApi();
});

afterEach(() => api.close());

async function call(method: string, path: string, body?: unknown, headers = {}) {
  const payload = body === undefined || typeof body === "string" ? body : JSON.stringify(body);
  const reply = await api.app.inject({
    method: method as "GET",
    url: `/api/v4${path}`,
    headers: { authorization: ADMIN, ...headers },
    ...(payload === undefined ? {} : { payload }),
  });
  expect(reply.headers["content-type"]).toBe("application/json");
  return { status: reply.statusCode, body: reply.body === "" ? null : reply.json() };
}

const get = (path: string) => call("GET", path);
const post = (path: string, body?: unknown) => call("POST", path, body);

describe("general (reference §5.1)", () => {
  test.each([
    ["GET", "/none", 404],
    ["POST", "/none", 404],
    ["PUT", "/none", 404],
    ["DELETE", "/none", 404],
    ["POST", "/brokers", 404],
    ["GET", "/mqtt/publish", 404],
    ["POST", "/mqtt/subscribe", 404],
    ["GET", "/", 404],
    ["PATCH", "/none", 405],
    ["PATCH", "/nodes", 405],
    ["OPTIONS", "/nodes", 405],
    ["PROPFIND", "/none", 405],
  ])("%s %s is %d with code 102", async (method, path, status) => {
    expect(await call(method, path)).toEqual({ status, body: { code: 102 } });
  });

  test.each([
    ["GET", "/brokers", {}, 104],
    ["GET", "/none", {}, 104],
    ["POST", "/mqtt/publish", { authorization: `Basic ${btoa("admin:x")}` }, 103],
    ["PATCH", "/none", { authorization: "Bearer x" }, 104],
  ])("%s %s without login is 401", async (method, path, headers, code) => {
    const reply = await call(method, path, undefined, { authorization: "", ...headers });
    expect(reply).toEqual({ status: 401, body: { code } });
  });

  test.each(["/brokers/", "/clients/", "/subscriptions/x/", "/reload/"])(
    "a trailing slash is optional: %s",
    async (path) => {
      expect((await get(path)).status).toBe(200);
    },
  );

  test("an internal fault is 500 without text from the inside", async () => {
    api.broker.clients = () => {
      throw new Error("secret detail");
    };
    expect(await get("/clients")).toEqual({ status: 500, body: { code: 102 } });
  });
});

describe("brokers and nodes", () => {
  test("/brokers", async () => {
    expect((await get("/brokers")).body).toEqual({
      code: 0,
      data: [
        {
          datetime: expect.stringMatching(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/),
          node_status: "Running",
          sysdescr: "Tidegate",
          uptime: expect.stringMatching(/^0 Hours, 0 minutes, \d+ seconds$/),
          version: "9.8.7",
        },
      ],
    });
  });

  test("/metrics has the gateway's load, every bridge and every device metric, and no code", async () => {
    api.state.snapshot = () => ({
      process_cpu_percent: 7.25,
      process_rss_bytes: 104_857_600,
      disk_written_bytes: { mmcblk0: 1 },
      temperature_c: null,
    });
    api.broker.add(clientInfo("a"), clientInfo("gone", { isConnected: false }));
    expect((await get("/metrics")).body).toEqual({
      metrics: [],
      cpuinfo: "7.25%",
      memory: "104857600",
      connections: 1,
      device: {
        process_cpu_percent: 7.25,
        process_rss_bytes: 104_857_600,
        disk_written_bytes: { mmcblk0: 1 },
        temperature_c: null,
        serial: {},
      },
    });
    api.state.snapshot = () => ({});
    expect((await get("/metrics")).body).toMatchObject({ cpuinfo: "0.00%", memory: "0" });
  });

  test("/nodes counts connected clients and tells of a change that was taken back", async () => {
    api.broker.add(clientInfo("a"), clientInfo("b", { isConnected: false }));
    expect((await get("/nodes")).body.data).toEqual([
      { connections: 1, node_status: "Running", uptime: expect.any(String), version: "9.8.7" },
    ]);
    api.store.statusNow = {
      restartPending: false,
      onTrial: false,
      confirmS: null,
      rolledBack: { atMs: 0, reason: "not ready", rejectedFile: "/data/rejected.yaml" },
    };
    const { body } = await get("/nodes");
    expect(body.data[0].rolled_back).toEqual({
      at: "1970-01-01T00:00:00.000Z",
      reason: "not ready",
    });
  });
});

describe("clients", () => {
  beforeEach(() => {
    api.broker.add(
      clientInfo("a", { username: "ann", protocolVersion: 5, cleanStart: true }),
      clientInfo("b/ü", {
        isConnected: false,
        protocolVersion: 3,
        cleanStart: false,
        will: { topic: "w", payload: Buffer.from("bye"), qos: 1 },
      }),
    );
  });

  const a = {
    client_id: "a",
    username: "ann",
    keepalive: 60,
    conn_state: "connected",
    clean_start: true,
    proto_name: "MQTT",
    proto_ver: 5,
  };
  const b = {
    client_id: "b/ü",
    username: "",
    keepalive: 60,
    conn_state: "disconnected",
    clean_start: false,
    proto_name: "MQIsdp",
    proto_ver: 3,
    will_topic: "w",
    will_msg: "bye",
  };

  test.each([
    ["", [a, b]],
    ["?clientid=a", [a]],
    ["?client_id=a", [a]],
    ["?clientid=a&client_id=b", []],
    ["?username=ann", [a]],
    ["?conn_state=disconnected", [b]],
    ["?conn_state=connected", [a]],
    ["?clean_start=false", [b]],
    ["?proto_name=MQTT", [a]],
    ["?proto_name=MQIsdp", [b]],
    ["?proto_ver=3", [b]],
    ["?proto_ver=4", []],
    ["?username=ann&proto_ver=5", [a]],
    ["/a", [a]],
    ["/b%2F%C3%BC", [b]],
    ["/nobody", []],
    [`/${"x".repeat(2_000)}`, []],
    ["/username/ann", [a]],
    ["/username/nobody", []],
  ])("/clients%s", async (path, data) => {
    expect(await get(`/clients${path}`)).toEqual({ status: 200, body: { code: 0, data } });
  });

  test.each([
    "?unknown=1",
    "?conn_state=idle",
    "?clean_start=1",
    "?proto_ver=6",
    "?proto_ver=five",
    "?proto_name=mqtt",
    "?clientid=a&clientid=b",
    "?__proto__=1",
  ])("/clients%s is 400 with code 108", async (query) => {
    expect(await get(`/clients${query}`)).toMatchObject({ status: 400, body: { code: 108 } });
  });
});

test("/subscriptions is flat, by client where one is named", async () => {
  api.broker.rows.push(
    subscriptionInfo("c", { filter: topicFilter("a/#"), qos: 1 }),
    subscriptionInfo("d", { filter: topicFilter("$share/g/a"), qos: 2 }),
  );
  const c = { clientid: "c", topic: "a/#", qos: 1 };
  const d = { clientid: "d", topic: "$share/g/a", qos: 2 };
  expect((await get("/subscriptions")).body).toEqual({ code: 0, data: [c, d] });
  expect((await get("/subscriptions?topic=ignored")).body.data).toEqual([c, d]);
  expect((await get("/subscriptions/d")).body.data).toEqual([d]);
  expect((await get("/subscriptions/nobody")).body.data).toEqual([]);
});

describe("reload", () => {
  test("GET shows what can change live", async () => {
    expect((await get("/reload")).body).toEqual({
      code: 0,
      data: {
        property_size: 32,
        max_packet_size: 1024,
        client_max_packet_size: 1024,
        msq_len: 2048,
        qos_duration: 10,
        keepalive_backoff: 1.5,
        allow_anonymous: false,
        enable_mqtt_stream: false,
        bridge_mode: false,
      },
    });
  });

  test("POST applies numbers and booleans at once and in memory only", async () => {
    const data = {
      property_size: 64,
      max_packet_size: 2,
      client_max_packet_size: 3,
      msq_len: 9,
      qos_duration: 20,
      keepalive_backoff: 1.25,
      allow_anonymous: true,
      bridge_mode: true,
    };
    expect(await post("/reload", { data })).toEqual({ status: 200, body: { code: 0 } });
    expect((await get("/reload")).body.data).toEqual({ ...data, enable_mqtt_stream: false });
    expect(api.broker.reconfigured.at(-1)).toEqual({
      msqLen: 9,
      maxPacketSizeBytes: 2048,
      clientMaxPacketSizeBytes: 3072,
      keepaliveMultiplier: 1250,
    });
    expect(api.anonymous).toEqual([true]);
    expect(api.switched).toEqual([["default", true]]);
    expect(api.store.writes).toBe(0);
  });

  test("a keepalive_backoff of 100 and more is per mille, as in NanoMQ's samples", async () => {
    await post("/reload", { data: { keepalive_backoff: 1250 } });
    expect((await get("/reload")).body.data.keepalive_backoff).toBe(1.25);
  });

  test("members of a wrong type are ignored", async () => {
    const data = { msq_len: "9", allow_anonymous: 1, bridge_mode: null, other: {} };
    expect(await post("/reload", { data })).toEqual({ status: 200, body: { code: 0 } });
    expect((await get("/reload")).body.data.msq_len).toBe(2048);
  });

  test.each([
    ["msq_len", { msq_len: 0 }],
    ["max_packet_size", { max_packet_size: -1 }],
    ["keepalive_backoff", { keepalive_backoff: 0.5 }],
    ["qos_duration", { qos_duration: 1.5 }],
  ])("a %s out of range is refused by its name and nothing is applied", async (name, data) => {
    const reply = await post("/reload", { data: { ...data, allow_anonymous: true } });
    expect(reply).toMatchObject({ status: 400, body: { code: 108 } });
    expect(reply.body.message).toMatch(new RegExp(`^${name}: `));
    expect(api.anonymous).toEqual([]);
  });

  test("a bridge that is not configured cannot be switched on", async () => {
    api.state.hasBridge = false;
    const reply = await post("/reload", { data: { bridge_mode: true } });
    expect(reply).toMatchObject({ status: 400, body: { code: 108 } });
    expect(reply.body.message).toMatch(/^bridge_mode: /);
  });

  test.each([
    ["[]", 109],
    ['"x"', 109],
    ["not json", 109],
    ["", 109],
    [undefined, 109],
    ["{}", 107],
    ['{"data":[]}', 108],
  ])("the body %j is 400", async (body, code) => {
    expect(await post("/reload", body)).toMatchObject({ status: 400, body: { code } });
  });
});

describe("publish (reference §5.2)", () => {
  test("every member takes effect", async () => {
    const reply = await post("/mqtt/publish", {
      topic: "a",
      payload: "aGk=",
      decoding: "base64",
      qos: 2,
      retain: true,
      clientid: "tool",
      properties: { content_type: "text/plain" },
    });
    expect(reply).toEqual({ status: 200, body: { code: 0 } });
    expect(api.broker.published).toEqual([
      {
        topic: "a",
        payload: Buffer.from("hi"),
        qos: 2,
        retain: true,
        properties: { contentType: "text/plain" },
        origin: { kind: "api", clientId: "tool", serial: expect.any(String) },
      },
    ]);
  });

  test("any content type is taken, as curl -d sends it", async () => {
    const type = { "content-type": "application/x-www-form-urlencoded" };
    const reply = await call("POST", "/mqtt/publish", { topic: "a", payload: "" }, type);
    expect(reply.body).toEqual({ code: 0 });
  });

  test.each([
    ["topic missing", { payload: "x" }, 200, 108],
    ["payload missing", { topic: "a" }, 200, 108],
    ["a wildcard topic", { topic: "a/+", payload: "x" }, 400, 115],
    ["a $SYS topic", { topic: "$SYS/a", payload: "x" }, 400, 115],
    ["QoS 7", { topic: "a", payload: "x", qos: 7 }, 400, 108],
    ["a list as QoS", { topic: "a", payload: "x", qos: [[[]]] }, 400, 108],
    ["a number as topic", { topic: 5, payload: "x" }, 400, 108],
    ["an object as payload", { topic: "a", payload: {} }, 400, 108],
    ["a text as retain", { topic: "a", payload: "x", retain: "yes" }, 400, 108],
    ["broken base64", { topic: "a", payload: "*", decoding: "base64" }, 400, 108],
    ["an empty client id", { topic: "a", payload: "x", clientid: "" }, 400, 108],
    ["a list", [], 400, 109],
    ["text", "hello", 400, 109],
  ])("%s is refused", async (_, body, status, code) => {
    expect(await post("/mqtt/publish", body)).toMatchObject({ status, body: { code } });
    expect(api.broker.published).toEqual([]);
  });

  test("a batch tells what became of each message", async () => {
    const batch = [{ topic: "a", payload: "1" }, { topic: "#", payload: "2" }, { topic: "c" }];
    expect(await post("/mqtt/publish_batch", batch)).toEqual({
      status: 200,
      body: {
        code: 0,
        data: [
          { topic: "a", code: 0 },
          { topic: "#", code: 115 },
          { topic: "c", code: 107 },
        ],
      },
    });
  });

  test.each([
    ["an object", {}, 109],
    ["text", "x", 109],
    ["too many messages", Array(1_001).fill({}), 108],
  ])("a batch that is %s is 400", async (_, body, code) => {
    expect(await post("/mqtt/publish_batch", body)).toMatchObject({ status: 400, body: { code } });
  });

  test("a body over 1 MiB is 400 with code 108", async () => {
    const body = { topic: "a", payload: "x".repeat(1_048_577) };
    expect(await post("/mqtt/publish", body)).toEqual({ status: 400, body: { code: 108 } });
  });
});

describe("ctrl", () => {
  test.each(["stop", "restart"])("/ctrl/%s answers and then does it", async (action) => {
    expect(await post(`/ctrl/${action}`)).toEqual({ status: 200, body: { code: 0 } });
    expect(await api.exited).toBe(action);
  });

  test("another action is 404 with code 101", async () => {
    expect(await post("/ctrl/explode")).toEqual({ status: 404, body: { code: 101 } });
    expect(api.exits).toEqual([]);
  });
});
