import { Readable } from "node:stream";
import { afterAll, beforeAll, expect, test } from "vitest";
import { GatewayError } from "../../../errors/index.ts";
import {
  ApiError,
  accepted,
  created,
  file,
  noContent,
  ok,
  PAGE_QUERY,
  pageSchema,
  paginate,
  route,
  text,
} from "./index.ts";
import { startApi, type TestRoutes } from "./kit.testing.ts";

const common = {
  tag: "Test",
  summary: "For the test",
  section: "1",
  priority: "P1",
  test: "",
} as const;

const ANY = {} as const;

const ROUTES = [
  route({
    ...common,
    method: "GET",
    path: "/things/{name}",
    schema: {
      query: {
        type: "object",
        properties: {
          count: { type: "integer", minimum: 1, default: 7 },
          ratio: { type: "number" },
          isOn: { type: "boolean" },
          name: { type: "array", items: { type: "string" } },
          word: { type: "string", enum: ["a", "b"] },
          since: { type: ["integer", "string"] },
        },
      },
      answers: { 200: ANY },
    },
    handle: ({ params, query, body, caller }) => ok({ params, query, body: body ?? null, caller }),
  }),
  route({
    ...common,
    method: "POST",
    path: "/things",
    schema: {
      body: {
        type: "object",
        properties: {
          name: { type: "string", minLength: 1 },
          qos: { type: "integer", minimum: 0, maximum: 2, default: 0 },
          kind: { type: "string", enum: ["x", "y"] },
          either: { anyOf: [{ type: "string" }, { type: "integer" }] },
          inner: { type: "object", properties: { deep: { type: "boolean" } } },
        },
        required: ["name"],
        additionalProperties: false,
      },
      answers: { 201: ANY },
    },
    handle: ({ body }) => created(body),
  }),
  route({
    ...common,
    method: "DELETE",
    path: "/things",
    schema: { answers: { 204: null } },
    handle: () => noContent(),
  }),
  route({
    ...common,
    method: "PUT",
    path: "/text",
    consumes: ["text"],
    schema: { body: { type: "string" }, answers: { 200: { type: "string" } } },
    handle: ({ body }) => text(body.toUpperCase()),
  }),
  route({
    ...common,
    method: "POST",
    path: "/upload",
    consumes: ["file", "json"],
    maxBodyBytes: 10_000,
    schema: { body: { type: "array", items: { type: "string" } }, answers: { 202: ANY } },
    handle: ({ body, file: upload }) =>
      accepted({ body: body ?? null, name: upload?.name, text: upload?.bytes.toString() }),
  }),
  route({
    ...common,
    method: "GET",
    path: "/download",
    schema: { answers: { 200: { type: "string" } } },
    handle: () => file("a b/ü.zip", "application/zip", Readable.from([Buffer.from("zip")])),
  }),
  route({
    ...common,
    method: "GET",
    path: "/rows",
    schema: {
      query: { type: "object", properties: PAGE_QUERY },
      answers: { 200: pageSchema({ type: "object", properties: { id: { type: "integer" } } }) },
    },
    handle: async ({ query }) =>
      ok(
        await paginate(
          Array.from({ length: 25_000 }, (_, id) => ({ id })),
          query,
          { isCountKnown: true },
        ),
      ),
  }),
  route({
    ...common,
    method: "GET",
    path: "/fail/{how}",
    access: "public",
    schema: { answers: { 200: null } },
    handle({ params: { how } }) {
      if (how === "api") throw new ApiError(409, "EXCEED_LIMIT", "no more", { index: 3 });
      if (how === "gateway") throw new GatewayError("CLIENT_NOT_FOUND", { clientId: "c" });
      throw new Error("secret inside");
    },
  }),
];

let api: TestRoutes;

beforeAll(async () => {
  api = await startApi(ROUTES);
});

afterAll(() => api.close());

test.each([
  [undefined, "application/json", /"Request Path Not Found"/],
  ["application/json", "application/json", /NOT_FOUND/],
  ["*/*", "application/json", /NOT_FOUND/],
  ["text/plain", "text/plain", /^404 - NOT FOUND$/],
  ["text/html,application/xhtml+xml", "text/html", /<html|<!doctype/i],
])("an unknown path is 404 without login; Accept %s gets %s", async (accept, type, body) => {
  for (const path of ["/nothing", "", "/things/a/b", "/..%2fthings", "/%ff%"]) {
    const headers = accept === undefined ? {} : { accept };
    const reply = await api.app.inject({ method: "GET", url: `/api/v5${path}`, headers });
    if (path === "/%ff%") continue;
    expect(reply.statusCode, path).toBe(404);
    expect(reply.headers["content-type"], path).toContain(type);
    expect(reply.body, path).toMatch(body);
  }
});

test.each(["PATCH", "OPTIONS", "HEAD", "PUT", "GET"] as const)(
  "%s on a path without it is 405 with the methods there are, before any login",
  async (method) => {
    const reply = await api.app.inject({ method, url: "/api/v5/things?x=1" });
    expect(reply.statusCode).toBe(405);
    expect(reply.headers["allow"]).toBe("POST, DELETE");
    expect(reply.body).toBe("");
  },
);

test("a HEAD of a GET is 405", async () => {
  const reply = await api.app.inject({ method: "HEAD", url: "/api/v5/things/a" });
  expect([reply.statusCode, reply.headers["allow"]]).toEqual([405, "GET"]);
});

test.each([
  ["a%2Fb", "a/b"],
  ["a%252Fb", "a%2Fb"],
  ["%24share%2Fg%2F%2B%2F%23", "$share/g/+/#"],
  ["$SYS", "$SYS"],
  ["a:b", "a:b"],
  ["a%3Ab", "a:b"],
  ["caf%C3%A9%20%25", "café %"],
  ["__proto__", "__proto__"],
  ["a+b", "a+b"],
])("the path parameter %s is decoded once to %s", async (raw, name) => {
  const reply = await api.call("GET", `/things/${raw}`);
  expect(reply.body).toMatchObject({ params: { name } });
});

test("query parameters are read by their schema; unknown ones are ignored, the last scalar counts", async () => {
  const query =
    "count=1&count=3&ratio=0.5&isOn=true&name=a&name=b&since=17&_shallow=false&__v_isRef=1&page=";
  const reply = await api.call("GET", `/things/x?${query}`);
  expect(reply.body).toMatchObject({
    query: { count: 3, ratio: 0.5, isOn: true, name: ["a", "b"], since: "17" },
    body: null,
  });
  const plain = await api.call("GET", "/things/x?name=a");
  expect(plain.body).toMatchObject({ query: { count: 7, name: ["a"] } });
});

test.each([
  ["count=abc", "count"],
  ["count=", "count"],
  ["count=0", "count"],
  ["count=1.5", "count"],
  ["count=1e3", "count"],
  ["isOn=1", "isOn"],
  ["word=c", "word"],
])("the query %s is 400 and names the parameter", async (query, path) => {
  const reply = await api.call("GET", `/things/x?${query}`);
  expect(reply.status).toBe(400);
  const body = reply.body as { code: string; message: string; reason: string };
  expect(body).toMatchObject({ code: "BAD_REQUEST", reason: body.message });
  expect(JSON.parse(body.message)).toMatchObject({ kind: "validation_error", path });
});

test.each([
  [{}, { path: "name", reason: "required_field" }],
  ["", { path: "name", reason: "required_field" }],
  [
    { name: "a", qos: 7 },
    { path: "qos", reason: "integer_too_large", value: 7 },
  ],
  [
    { name: "a", qos: "1" },
    { path: "qos", value: "1" },
  ],
  [
    { name: "a", qos: -1 },
    { path: "qos", reason: "integer_too_small", value: -1 },
  ],
  [
    { name: "a", kind: "z" },
    { path: "kind", reason: "unable_to_convert_to_enum_symbol" },
  ],
  [
    { name: "a", either: [] },
    { path: "either", reason: "matched_no_union_member" },
  ],
  [
    { name: "a", more: 1 },
    { path: "root", reason: "unknown_fields", unknown: "more" },
  ],
  [
    { name: "a", inner: { deep: 1 } },
    { path: "inner.deep", value: 1 },
  ],
  [[], { path: "root" }],
  [null, { path: "root" }],
])("the body %j is 400 in the outer shape of a schema error", async (body, expected) => {
  const reply = await api.call("POST", "/things", { body });
  expect(reply.status).toBe(400);
  const { code, message } = reply.body as { code: string; message: string };
  expect(code).toBe("BAD_REQUEST");
  expect(JSON.parse(message)).toMatchObject({ kind: "validation_error", ...expected });
});

test("defaults are filled into bodies; a content type may have parameters", async () => {
  const headers = { "content-type": "Application/JSON; charset=utf-8" };
  const reply = await api.call("POST", "/things", { body: '{"name":"a"}', headers });
  expect([reply.status, reply.body]).toEqual([201, { name: "a", qos: 0 }]);
});

test.each([
  "application/x-www-form-urlencoded",
  "text/plain",
  "multipart/form-data; boundary=x",
  ";;",
  "__proto__",
])("a JSON body sent as %s is 415", async (type) => {
  const headers = { "content-type": type };
  const reply = await api.call("POST", "/things", { body: '{"name":"a"}', headers });
  expect(reply.status).toBe(415);
  expect(reply.body).toMatchObject({
    code: "UNSUPPORTED_MEDIA_TYPE",
    message: "content-type:application/json Required",
  });
});

test("an empty body of any type is an empty object, and no body matters where none is read", async () => {
  const headers = { "content-type": "application/x-www-form-urlencoded" };
  const posted = await api.call("POST", "/things", { body: "", headers });
  expect(posted.status).toBe(400);
  expect(posted.body).toMatchObject({ code: "BAD_REQUEST" });
  const deleted = await api.call("DELETE", "/things", { body: "a=b", headers });
  expect(deleted.status).toBe(204);
  const read = await api.call("GET", "/things/x", { body: "{", headers });
  expect(read.status).toBe(200);
});

test.each([
  "{",
  "{'a':1}",
  "[1,]",
  "\u0000",
  '{"name":"a"}x',
  `${"[".repeat(5000)}${"]".repeat(5000)}`,
])("the body %.20s is malformed JSON", async (body) => {
  const headers = { "content-type": "application/json" };
  const reply = await api.call("POST", "/things", { body, headers });
  expect(reply.status).toBe(400);
  expect(reply.body).toMatchObject({
    code: "BAD_REQUEST",
    message: "Invalid json message received",
  });
});

test("login comes before the body, the body before the schema", async () => {
  const headers = { "content-type": "text/plain" };
  const reply = await api.call("POST", "/things", { as: null, body: "{", headers });
  expect(reply.status).toBe(401);
  expect(reply.headers["www-authenticate"]).toMatch(/^Basic Realm=/);
});

test("a body over the bound is 413", async () => {
  const body = { name: "x".repeat(2_097_152) };
  expect((await api.call("POST", "/things", { body })).status).toBe(413);
});

test("text bodies and text answers", async () => {
  const headers = { "content-type": "text/plain" };
  const reply = await api.call("PUT", "/text", { body: "a = 1", headers });
  expect([reply.body, reply.headers["content-type"]]).toEqual(["A = 1", "text/plain"]);
  const bad = await api.call("PUT", "/text", { body: new Uint8Array([0xff]), headers });
  expect(bad.status).toBe(400);
});

function form(content: string, name = "users.csv") {
  return {
    headers: { "content-type": "multipart/form-data; boundary=XX" },
    body: `--XX\r\ncontent-disposition: form-data; name="filename"; filename="${name}"\r\n\r\n${content}\r\n--XX--\r\n`,
  };
}

test("a file comes by form, or the same route takes JSON", async () => {
  const reply = await api.call("POST", "/upload", form("a,b"));
  expect([reply.status, reply.body]).toEqual([202, { body: null, name: "users.csv", text: "a,b" }]);
  const other = await api.call("POST", "/upload", { body: ["a"] });
  expect(other.body).toEqual({ body: ["a"] });
});

test.each([
  [
    "a form without file",
    "--XX\r\ncontent-disposition: form-data; name=a\r\n\r\nb\r\n--XX--\r\n",
    400,
  ],
  ["a form that is none", "hello", 400],
  ["a form cut off", '--XX\r\ncontent-disposition: form-data; name=f; filename="a"\r\n\r\nab', 400],
  ["a file too large", form("x".repeat(10_001)).body, 413],
])("%s is refused", async (_, body, status) => {
  const reply = await api.call("POST", "/upload", { ...form(""), body });
  expect(reply.status).toBe(status);
});

test("a download has a file name without surprises", async () => {
  const reply = await api.call("GET", "/download");
  expect(reply.headers["content-disposition"]).toBe('attachment; filename="a_b__.zip"');
  expect(reply.body).toBe("zip");
});

test.each([
  ["api", 409, { code: "EXCEED_LIMIT", message: "no more", reason: "no more", index: 3 }],
  ["gateway", 404, { code: "CLIENTID_NOT_FOUND", message: "Client ID not found" }],
  ["defect", 500, { code: "INTERNAL_ERROR", message: "internal error" }],
])("what is thrown (%s) is answered in this API's words", async (how, status, body) => {
  const reply = await api.call("GET", `/fail/${how}`, { as: null });
  expect(reply.status).toBe(status);
  expect(reply.body).toMatchObject(body);
  expect(JSON.stringify(reply.body)).not.toContain("secret");
});

test("a defect is logged with its path", () => {
  expect(api.lines.filter((line) => line.includes("secret inside"))).toHaveLength(1);
});

test("a page of 10,000 rows comes whole; the one past the end is empty", async () => {
  const long = (await api.call("GET", "/rows?page=2&limit=10000")).body as {
    data: { id: number }[];
    meta: unknown;
  };
  expect(long.data).toHaveLength(10_000);
  expect(long.data[9_999]).toEqual({ id: 19_999 });
  expect(long.meta).toEqual({ page: 2, limit: 10_000, count: 25_000, hasnext: true });
  const past = await api.call("GET", "/rows?page=4&limit=10000");
  expect(past.body).toEqual({
    data: [],
    meta: { page: 4, limit: 10_000, count: 25_000, hasnext: false },
  });
});

test.each(["limit=0", "limit=10001", "page=0", "page=-1", "limit=x", "page="])(
  "the page query %s is 400, not clamped",
  async (query) => {
    expect((await api.call("GET", `/rows?${query}`)).status).toBe(400);
  },
);
