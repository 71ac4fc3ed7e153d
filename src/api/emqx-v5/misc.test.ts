import { afterAll, beforeAll, expect, test } from "vitest";
import { clientInfo } from "../../services/fake-broker.testing.ts";
import { createTestApi, type TestApi } from "../test-api.testing.ts";
import { emqxRoutes } from "./index.ts";
import { type Call, startApi, type TestRoutes } from "./kit/kit.testing.ts";
import { createLogin } from "./login.ts";
import { sizeText } from "./nodes.ts";

let whole: TestApi;
let api: TestRoutes;
const get = (path: string, call?: Call) => api.call("GET", path, call);

beforeAll(async () => {
  whole = await createTestApi();
  whole.broker.add(clientInfo("c"));
  whole.broker.add(clientInfo("away", { isConnected: false }));
  whole.state.snapshot = () => ({
    load_1m: 0.25,
    memory_total_bytes: 2_083_059_139,
    memory_used_bytes: 536_870_912,
  });
  const login = createLogin(whole.deps);
  api = await startApi(emqxRoutes(whole.deps.services, login));
});

afterAll(async () => {
  await api.close();
  await whole.close();
});

test("the node is told in the types exporters decode", async () => {
  const { body } = await get("/nodes");
  expect(body).toEqual([
    expect.objectContaining({
      node: "tidegate@127.0.0.1",
      node_status: "running",
      version: expect.stringMatching(/^\d+\.\d+\.\d+$/),
      gateway: "tidegate/9.8.7",
      edition: "Opensource",
      connections: 2,
      live_connections: 1,
      load1: 0.25,
      load5: 0,
      memory_total: "1.94G",
      memory_used: "512.00M",
      uptime: expect.any(Number),
      max_fds: expect.any(Number),
    }),
  ]);
  expect((await get("/nodes/tidegate%40127.0.0.1")).body).toMatchObject({ edition: "Opensource" });
});

test.each(["emqx@127.0.0.1", "tidegate", "__proto__"])("the node %s is not known", async (name) => {
  const reply = await get(`/nodes/${name}`);
  expect(reply).toMatchObject({ status: 404, body: { code: "NOT_FOUND" } });
});

test.each([
  [0, "0"],
  [1023, "1023"],
  [1024, "1.00K"],
  [1_572_864, "1.50M"],
  [2 ** 41, "2048.00G"],
])("%i bytes are written %s", (bytes, text) => {
  expect(sizeText(bytes)).toBe(text);
});

test("the small endpoints answer what dashboards ask after a login", async () => {
  expect((await get("/telemetry/status")).body).toEqual({ enable: false });
  expect((await get("/cluster")).body).toEqual({
    name: "emqxcl",
    nodes: ["tidegate@127.0.0.1"],
    self: "tidegate@127.0.0.1",
  });
  expect((await get("/sso/running", { as: null })).body).toEqual([]);
  expect((await get("/rules?limit=20&page=1")).body).toEqual({
    data: [],
    meta: { page: 1, limit: 20, count: 0, hasnext: false },
  });
  expect((await get("/license")).status).toBe(404);
});

test("reports to EMQX's makers cannot be switched on", async () => {
  const put = (enable: boolean) => api.call("PUT", "/telemetry/status", { body: { enable } });
  expect(await put(false)).toMatchObject({ status: 200, body: { enable: false } });
  expect(await put(true)).toMatchObject({ status: 400, body: { code: "BAD_REQUEST" } });
});

test("every code of the specification is listed, without login", async () => {
  const { body } = await get("/error_codes", { as: null });
  const codes = (body as { code: string }[]).map(({ code }) => code);
  const specified =
    "WRONG_USERNAME_OR_PWD WRONG_USERNAME_OR_PWD_OR_API_KEY_OR_API_SECRET BAD_REQUEST NOT_MATCH ALREADY_EXISTS BAD_CONFIG_SCHEMA BAD_LISTENER_ID BAD_NODE_NAME BAD_RPC BAD_TOPIC EXCEED_LIMIT INVALID_PARAMETER CONFLICT NO_DEFAULT_VALUE DEPENDENCY_EXISTS MESSAGE_ID_SCHEMA_ERROR INVALID_ID MESSAGE_ID_NOT_FOUND NOT_FOUND CLIENTID_NOT_FOUND CLIENT_NOT_FOUND RESOURCE_NOT_FOUND TOPIC_NOT_FOUND USER_NOT_FOUND INTERNAL_ERROR SERVICE_UNAVAILABLE SOURCE_ERROR UPDATE_FAILED REST_FAILED CLIENT_NOT_RESPONSE";
  expect(codes).toEqual(expect.arrayContaining(specified.split(" ")));
  expect((await get("/error_codes/NOT_FOUND", { as: null })).status).toBe(200);
  for (const code of ["NOPE", "toString", "__proto__"]) {
    expect((await get(`/error_codes/${code}`, { as: null })).status).toBe(404);
  }
});

test.each(["hotconf", "actions", "connectors"])(
  "the schema document %s has paths",
  async (name) => {
    const { status, body } = await get(`/schemas/${name}`, { as: null });
    expect(status).toBe(200);
    expect(body).toMatchObject({ paths: {}, components: { schemas: {} } });
  },
);

test("other schema documents are refused", async () => {
  expect((await get("/schemas/other", { as: null })).status).toBe(400);
});
