import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createTestApi, type TestApi } from "../test-api.testing.ts";
import { logIn, type Session } from "./session.testing.ts";

let api: TestApi;
let call: Session;

beforeEach(async () => {
  api = await createTestApi({ acl: { no_match: "deny" } });
  call = await logIn(api.app, "admin", "public");
});

afterEach(() => api.close());

const SOURCES = "/authorization/sources";
const DATABASE = `${SOURCES}/built_in_database`;
const RULES = `${DATABASE}/rules`;
const ALLOW_T = { topic: "t", permission: "allow", action: "all" };
const SHOWN_T = { ...ALLOW_T, qos: [0, 1, 2], retain: "all" };

function may(topic: string, more: Partial<Parameters<TestApi["auth"]["authorize"]>[0]> = {}) {
  return api.auth.authorize({
    clientId: "c1",
    username: "u1",
    address: "192.0.2.1",
    isSuperuser: false,
    action: "publish",
    topic,
    qos: 0,
    retain: false,
    ...more,
  });
}

describe("sources", () => {
  test("are added in front, changed, moved, ordered and removed, live", async () => {
    expect(await call("GET", SOURCES)).toEqual({ status: 200, body: { sources: [] } });
    const allow = { type: "file", enable: true, rules: '{allow, all, all, ["t"]}.\n' };
    expect(await call("POST", SOURCES, allow)).toEqual({ status: 204, body: null });
    expect(may("t")).toBe(true);
    expect(await call("POST", SOURCES, allow)).toMatchObject({
      status: 400,
      body: { code: "BAD_REQUEST" },
    });
    await call("POST", SOURCES, { type: "built_in_database" });
    const types = async () => {
      const { body } = await call("GET", SOURCES);
      return (body as { sources: { type: string }[] }).sources.map(({ type }) => type);
    };
    expect(await types()).toEqual(["built_in_database", "file"]);
    expect(await call("GET", `${SOURCES}/file`)).toEqual({ status: 200, body: allow });
    expect(await call("GET", DATABASE)).toEqual({
      status: 200,
      body: { type: "built_in_database", enable: true, max_rules: 100 },
    });
    await call("POST", `${RULES}/all`, { rules: [{ ...ALLOW_T, permission: "deny" }] });
    expect(may("t")).toBe(false);
    for (const [position, order] of [
      ["front", ["file", "built_in_database"]],
      ["rear", ["built_in_database", "file"]],
      ["before:built_in_database", ["file", "built_in_database"]],
      ["after:built_in_database", ["built_in_database", "file"]],
    ] as const) {
      expect((await call("POST", `${SOURCES}/file/move`, { position })).status).toBe(204);
      expect(await types()).toEqual(order);
    }
    const order = [{ type: "file" }, { type: "built_in_database" }];
    expect((await call("PUT", `${SOURCES}/order`, order)).status).toBe(204);
    expect(may("t")).toBe(true);
    for (const wrong of [[], [{ type: "file" }], [...order, { type: "file" }]]) {
      expect((await call("PUT", `${SOURCES}/order`, wrong)).status).toBe(400);
    }
    expect((await call("PUT", `${SOURCES}/file`, { ...allow, enable: false })).status).toBe(204);
    expect(may("t")).toBe(false);
    expect((await call("DELETE", `${SOURCES}/file`)).status).toBe(204);
    expect(await types()).toEqual(["built_in_database"]);
    await call("DELETE", DATABASE);
    await call("POST", SOURCES, { type: "built_in_database" });
    expect((await call("GET", `${RULES}/all`)).body).toEqual({ rules: [] });
  });

  test("that are not there or not possible are refused", async () => {
    const bad = { status: 400, body: { code: "BAD_REQUEST" } };
    const missing = { status: 404, body: { code: "NOT_FOUND" } };
    for (const body of [
      { type: "http", url: "http://127.0.0.1" },
      { type: "file" },
      { type: "file", rules: "{allow, all}.", max_rules: 1 },
      { type: "built_in_database", max_rules: 0 },
      { enable: true },
    ]) {
      expect(await call("POST", SOURCES, body), JSON.stringify(body)).toMatchObject(bad);
    }
    const broken = { type: "file", rules: "{allow, all}.\n{deny, al}.\n" };
    const reply = await call("POST", SOURCES, broken);
    expect(reply).toMatchObject(bad);
    expect(JSON.stringify(reply.body)).toContain("line 2");
    expect(JSON.stringify(reply.body)).toContain("{deny, al}.");
    for (const type of ["file", "http", "built_in_database"]) {
      expect(await call("GET", `${SOURCES}/${type}`)).toMatchObject(missing);
      expect(await call("DELETE", `${SOURCES}/${type}`)).toMatchObject(missing);
      expect(await call("GET", `${SOURCES}/${type}/status`)).toMatchObject(missing);
      expect(await call("POST", `${SOURCES}/${type}/move`, { position: "front" })).toMatchObject(
        missing,
      );
    }
    const file = { type: "file", rules: "{allow, all}." };
    expect(await call("PUT", `${SOURCES}/file`, file)).toMatchObject(missing);
    await call("POST", SOURCES, file);
    expect(await call("PUT", `${SOURCES}/file`, { type: "built_in_database" })).toMatchObject(bad);
    expect(await call("PUT", `${SOURCES}/file`, broken)).toMatchObject(bad);
    expect(may("t")).toBe(true);
    const move = (position: string) => call("POST", `${SOURCES}/file/move`, { position });
    expect(await move("up")).toMatchObject(bad);
    expect(await move("before:built_in_database")).toMatchObject(missing);
  });

  test("tell what they did", async () => {
    await call("POST", SOURCES, { type: "file", rules: '{allow, all, all, ["t"]}.' });
    may("t");
    may("t");
    may("x");
    const metrics = { total: 3, allow: 2, deny: 0, nomatch: 1, ignore: 0 };
    expect(await call("GET", `${SOURCES}/file/status`)).toMatchObject({
      status: 200,
      body: { status: "connected", metrics, node_metrics: [{ metrics }] },
    });
  });
});

describe("rules of the database", () => {
  beforeEach(async () => {
    await call("POST", SOURCES, { type: "built_in_database", max_rules: 3 });
  });

  test.each([
    ["users", "username", "u1"],
    ["clients", "clientid", "c1"],
  ])("of %s are added, put, listed and removed, live", async (owner, member, name) => {
    const path = `${RULES}/${owner}`;
    const entry = { [member]: name, rules: [ALLOW_T] };
    const shown = { [member]: name, rules: [SHOWN_T] };
    expect(await call("POST", path, [entry])).toEqual({ status: 204, body: null });
    expect(may("t")).toBe(true);
    expect(await call("POST", path, [entry])).toMatchObject({
      status: 409,
      body: { code: "ALREADY_EXISTS" },
    });
    expect(await call("GET", `${path}/${name}`)).toEqual({ status: 200, body: shown });
    const put = { ...entry, rules: [{ ...ALLOW_T, permission: "deny" }] };
    expect(await call("PUT", `${path}/${name}`, put)).toEqual({ status: 204, body: null });
    expect(may("t")).toBe(false);
    // Device back ends rely on PUT making what is not there.
    const other = { [member]: "a/b", rules: [] };
    expect((await call("PUT", `${path}/a%2Fb`, other)).status).toBe(204);
    expect((await call("PUT", `${path}/a%2Fb`, { rules: [] })).status).toBe(204);
    expect(await call("PUT", `${path}/z`, other)).toMatchObject({ status: 400 });
    expect(await call("GET", `${path}?limit=1&page=2`)).toEqual({
      status: 200,
      body: { data: [other], meta: { page: 2, limit: 1, count: 2, hasnext: false } },
    });
    expect(await call("GET", `${path}?like_${member}=%2F`)).toEqual({
      status: 200,
      body: { data: [other], meta: { page: 1, limit: 100, hasnext: false } },
    });
    expect((await call("DELETE", `${path}/${name}`)).status).toBe(204);
    for (const method of ["GET", "DELETE"] as const) {
      expect(await call(method, `${path}/${name}`)).toMatchObject({
        status: 404,
        body: { code: "NOT_FOUND" },
      });
    }
  });

  test("QoS and Retain in every spelling, and what they mean", async () => {
    const rules = [
      { topic: "a", permission: "allow", action: "publish", qos: [1, "2"], retain: "false" },
      { topic: "b", permission: "allow", action: "publish", qos: "1", retain: true },
      { topic: "eq c/#", permission: "allow", action: "subscribe", qos: 0 },
    ];
    await call("PUT", `${RULES}/users/u1`, { username: "u1", rules });
    expect((await call("GET", `${RULES}/users/u1`)).body).toEqual({
      username: "u1",
      rules: [
        { topic: "a", permission: "allow", action: "publish", qos: [1, 2], retain: false },
        { topic: "b", permission: "allow", action: "publish", qos: [1], retain: true },
        { topic: "eq c/#", permission: "allow", action: "subscribe", qos: [0] },
      ],
    });
    expect([may("a"), may("a", { qos: 2 }), may("a", { qos: 2, retain: true })]).toEqual([
      false,
      true,
      false,
    ]);
    expect([may("b", { qos: 1 }), may("b", { qos: 1, retain: true })]).toEqual([false, true]);
    expect(may("c/#", { action: "subscribe" })).toBe(true);
    expect(may("c/#", { action: "subscribe", qos: 1 })).toBe(false);
  });

  test.each<[string, object]>([
    ["too many", [ALLOW_T, ALLOW_T, ALLOW_T, ALLOW_T]],
    ["no filter", [{ ...ALLOW_T, topic: "a/#/b" }]],
    ["an unknown placeholder", [{ ...ALLOW_T, topic: "${zone}/x" }]],
    ["a member missing", [{ topic: "t", action: "all" }]],
    ["an unknown member", [{ ...ALLOW_T, zone: "z" }]],
    ["QoS 3", [{ ...ALLOW_T, qos: [3] }]],
    ["an unknown action", [{ ...ALLOW_T, action: "read" }]],
    ["no list", { topic: "t" }],
  ])("%s is refused everywhere", async (_, rules) => {
    const bad = { status: 400, body: { code: "BAD_REQUEST" } };
    expect(await call("PUT", `${RULES}/users/u1`, { username: "u1", rules })).toMatchObject(bad);
    expect(await call("POST", `${RULES}/users`, [{ username: "u1", rules }])).toMatchObject(bad);
    expect(await call("POST", `${RULES}/all`, { rules })).toMatchObject(bad);
  });

  test("of everybody are replaced together and removed", async () => {
    await call("POST", `${RULES}/all`, { rules: [ALLOW_T] });
    expect(await call("GET", `${RULES}/all`)).toEqual({ status: 200, body: { rules: [SHOWN_T] } });
    expect(may("t")).toBe(true);
    expect((await call("DELETE", `${RULES}/all`)).status).toBe(204);
    expect(may("t")).toBe(false);
  });

  test("go all at once only while the source is disabled", async () => {
    await call("PUT", `${RULES}/users/u1`, { rules: [ALLOW_T] });
    expect(await call("DELETE", RULES)).toMatchObject({
      status: 400,
      body: { code: "BAD_REQUEST" },
    });
    await call("PUT", DATABASE, { type: "built_in_database", enable: false });
    expect((await call("DELETE", RULES)).status).toBe(204);
    expect((await call("GET", `${RULES}/users`)).body).toMatchObject({ data: [] });
  });

  test("are there under the paths of 5.0 too", async () => {
    expect((await call("PUT", `${DATABASE}/users/u1`, { rules: [ALLOW_T] })).status).toBe(204);
    expect((await call("GET", `${DATABASE}/users/u1`)).body).toMatchObject({ rules: [SHOWN_T] });
    expect((await call("POST", `${DATABASE}/clients`, [{ clientid: "c", rules: [] }])).status).toBe(
      204,
    );
    expect((await call("GET", `${DATABASE}/clients`)).body).toMatchObject({ meta: { count: 1 } });
    expect((await call("GET", `${DATABASE}/all`)).body).toEqual({ rules: [] });
  });
});

test("rules are 404 while the database is no source", async () => {
  for (const [method, path, body] of [
    ["GET", "/users", undefined],
    ["GET", "/clients/c", undefined],
    ["PUT", "/users/u", { rules: [] }],
    ["POST", "/users", []],
    ["GET", "/all", undefined],
    ["DELETE", "", undefined],
  ] as const) {
    expect(await call(method, RULES + path, body), path).toMatchObject({ status: 404 });
  }
});

describe("settings", () => {
  test("are shown, changed in part, and applied", async () => {
    const cache = { enable: true, max_size: 32, ttl: "1m", excludes: [] };
    const shown = { no_match: "deny", deny_action: "ignore", cache };
    expect(await call("GET", "/authorization/settings")).toEqual({ status: 200, body: shown });
    const change = {
      no_match: "allow",
      deny_action: "disconnect",
      cache: { enable: false, ttl: 90_000 },
    };
    const after = { ...change, cache: { ...cache, enable: false, ttl: "90s" } };
    expect(await call("PUT", "/authorization/settings", change)).toEqual({
      status: 200,
      body: after,
    });
    expect(may("t")).toBe(true);
    expect(api.auth.denyAction).toBe("disconnect");
    expect(api.auth.revision()).toBeLessThan(0);
    expect((await call("PUT", "/authorization/settings", after)).status).toBe(200);
    for (const wrong of [
      { no_match: "perhaps" },
      { cache: { ttl: "1ms" } },
      { cache: { ttl: "2d" } },
      { cache: { max_size: 0 } },
      { cache: { excludes: ["a/#/b"] } },
      { other: 1 },
    ]) {
      expect((await call("PUT", "/authorization/settings", wrong)).status).toBe(400);
    }
  });

  test("what is remembered can be dropped", async () => {
    const rules = [1, 2, 3, 4].map((n) => `{allow, all, all, ["t${n}"]}.`).join("\n");
    await call("POST", SOURCES, { type: "file", rules });
    may("t1");
    expect([...api.auth.rememberedDecisions("c1")]).toHaveLength(1);
    const before = api.auth.revision();
    expect(await call("DELETE", "/authorization/cache")).toEqual({ status: 204, body: null });
    expect([...api.auth.rememberedDecisions("c1")]).toEqual([]);
    expect(api.auth.revision()).not.toBe(before);
  });
});
