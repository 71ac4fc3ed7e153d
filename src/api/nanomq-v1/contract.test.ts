import { generateKeyPairSync, sign } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { topicFilter } from "../../mqtt/index.ts";
import { clientInfo, subscriptionInfo } from "../../services/fake-broker.testing.ts";
import { ADMIN, createTestApi, type TestApi } from "../test-api.testing.ts";
import { REQUEST_CODES } from "./dispatch.ts";

let api: TestApi;

beforeEach(async () => {
  api = await createTestApi();
});

afterEach(() => api.close());

describe("transport (reference §1.1)", () => {
  const request = { req: 2, seq: 7 };
  const wellKnown = { code: 0, seq: 7, rep: 2 };

  test.each(["/api/v1", "/api/v1/", "/api/v1?x=1", "/api/v4"])("POST %s is served", async (url) => {
    const headers = { authorization: ADMIN };
    const reply = await api.app.inject({ method: "POST", url, headers, payload: request });
    expect(reply.statusCode).toBe(200);
    expect(reply.json()).toMatchObject(wellKnown);
  });

  test.each([
    ["GET", "/api/v1/foo"],
    ["POST", "/api/v1/foo"],
    ["POST", "/API/v1"],
    ["POST", "/api/v1x"],
    ["POST", "/api"],
    ["POST", "/api/v1%zz"],
    ["PUT", "/api/v1"],
    ["DELETE", "/api/v1"],
    ["PATCH", "/api/v1"],
    ["OPTIONS", "/api/v1"],
    ["PROPFIND", "/api/v1"],
  ] as const)("%s %s is 404 with code 102", async (method, url) => {
    const reply = await api.app.inject({
      method: method as "GET",
      url,
      headers: { authorization: ADMIN, "content-type": ";;bad" },
    });
    expect(reply.statusCode).toBe(404);
    expect(reply.json()).toEqual({ code: 102 });
  });

  test("HEAD is 404", async () => {
    expect((await api.app.inject({ method: "HEAD", url: "/api/v1" })).statusCode).toBe(404);
  });

  test.each([
    "application/json",
    "application/x-www-form-urlencoded",
    "text/plain",
    "multipart/form-data; boundary=x",
    "application/json\tx",
    ";;;",
    "",
  ])("the content type does not matter: %j", async (type) => {
    const headers = { authorization: ADMIN, ...(type === "" ? {} : { "content-type": type }) };
    const reply = await api.v1({ req: 2, seq: 7 }, headers);
    expect(reply.status).toBe(200);
    expect(reply.body).toMatchObject(wellKnown);
    expect(reply.headers["content-type"]).toBe("application/json");
  });

  test.each([
    ["a byte order mark", "\ufeff", ""],
    ["white space around", " \r\n\t", "\n "],
  ])("JSON with %s is taken", async (_, before, after) => {
    expect((await api.v1(`${before}{"req":2,"seq":7}${after}`)).body).toMatchObject(wellKnown);
  });

  test("members nobody asked for are ignored", async () => {
    expect((await api.v1({ ...request, other: [], __proto__x: 1 })).status).toBe(200);
  });

  test("128 KiB pass, a byte more is 400 with code 108 before anything else", async () => {
    const body = (bytes: number) => {
      const start = '{"req":2,"seq":7,"fill":"';
      return `${start}${"x".repeat(bytes - start.length - 2)}"}`;
    };
    expect((await api.v1(body(131_072))).status).toBe(200);
    const large = await api.v1(body(131_073), {});
    expect(large.status).toBe(400);
    expect(large.body).toEqual({ code: 108, seq: 0 });
  });
});

describe("failure classes (reference §1.3)", () => {
  const seq = 77;

  test.each([
    ["no body", "", 109],
    ["truncated JSON", '{"req":2', 109],
    ["text after the object", '{"req":2,"seq":1} x', 109],
    ["an array", "[]", 109],
    ["a string", '"x"', 109],
    ["null", "null", 109],
    ["a number", "5", 109],
    ["single quotes", "{'req':2,'seq':1}", 109],
  ])("%s is 400 with seq 0 and no rep", async (_, body, code) => {
    const reply = await api.v1(body);
    expect(reply.status).toBe(400);
    expect(reply.body).toEqual({ code, seq: 0 });
  });

  test("invalid UTF-8 is not legal JSON", async () => {
    const payload = Buffer.concat([
      Buffer.from('{"req":2,"seq":1,"x":"'),
      Buffer.from([0xff, 0x22, 0x7d]),
    ]);
    const headers = { authorization: ADMIN };
    const reply = await api.app.inject({ method: "POST", url: "/api/v1", headers, payload });
    expect(reply.json()).toEqual({ code: 109, seq: 0 });
  });

  test.each([0, 1, 3, 6, 7, 8, 9, 14, 99, 24, -1])(
    "unknown request code %d is 404/108",
    async (req) => {
      const reply = await api.v1({ req, seq });
      expect(reply.status).toBe(404);
      expect(reply.body).toEqual(req > 0 ? { code: 108, seq, rep: req } : { code: 108, seq });
    },
  );

  test.each([
    ["req missing", { seq }, { code: 107, seq }],
    ["req null", { req: null, seq }, { code: 108, seq }],
    ["req a string", { req: "2", seq }, { code: 108, seq }],
    ["req true", { req: true, seq }, { code: 108, seq }],
    ["req a list", { req: [2], seq }, { code: 108, seq }],
    ["req 2.9", { req: 2.9, seq }, { code: 108, seq }],
    ["seq missing", { req: 2 }, { code: 107, seq: 0, rep: 2 }],
    ["seq null", { req: 2, seq: null }, { code: 108, seq: 0, rep: 2 }],
    ["seq a string", { req: 2, seq: "1" }, { code: 108, seq: 0, rep: 2 }],
    ["seq true", { req: 2, seq: true }, { code: 108, seq: 0, rep: 2 }],
    ["seq 1.5", { req: 2, seq: 1.5 }, { code: 108, seq: 0, rep: 2 }],
    ["both missing", {}, { code: 107, seq: 0 }],
    ["seq missing and req unknown", { req: 99 }, { code: 107, seq: 0, rep: 99 }],
  ])("%s is 400", async (_, body, expected) => {
    const reply = await api.v1(body);
    expect(reply.status).toBe(400);
    expect(reply.body).toEqual(expected);
  });

  test.each(["1e20", "9007199254740993", "9007199254740992"])(
    "a seq that cannot be echoed exactly is refused: %s",
    async (text) => {
      const reply = await api.v1(`{"req":2,"seq":${text}}`);
      expect(reply.status).toBe(400);
      expect(reply.body).toEqual({ code: 108, seq: 0, rep: 2 });
    },
  );

  test.each([0, 1, -3, 1_111_111, 2_147_483_648, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER])(
    "seq %d is echoed exactly",
    async (number) => {
      expect((await api.v1({ req: 4, seq: number })).body.seq).toBe(number);
    },
  );

  test.each([
    ["12 without data", { req: 12 }, 107],
    ["12 with data null", { req: 12, data: null }, 108],
    ["12 with data a string", { req: 12, data: "x" }, 108],
    ["12 with data a list", { req: 12, data: [] }, 108],
    ["12 with force a number", { req: 12, data: {}, force: 1 }, 108],
    ["12 with a wrong type", { req: 12, data: { msq_len: "5" } }, 108],
    ["12 with a number out of range", { req: 12, data: { http_server: { port: 70_000 } } }, 108],
    ["12 with a negative number", { req: 12, data: { parallel: -5 } }, 108],
    ["12 with a number in forwards", { req: 12, data: { bridge: { forwards: [5] } } }, 108],
    ["12 with a section that is no object", { req: 12, data: { tls: "x" } }, 108],
    ["12 with a null section", { req: 12, data: { bridge: null } }, 108],
    ["10 without action", { req: 10 }, 107],
    ["10 with an unknown action", { req: 10, action: "explode" }, 108],
    ["10 with a number as action", { req: 10, action: 5 }, 108],
  ])("%s is refused and nothing happens", async (_, body, code) => {
    const reply = await api.v1({ ...body, seq });
    expect(reply.status).toBe(400);
    expect(reply.body).toMatchObject({ code, seq, rep: body.req });
    expect(api.store.writes).toBe(0);
    expect(api.exits).toEqual([]);
  });

  test("an internal fault is 500 as JSON, without text from the inside", async () => {
    api.broker.counters = () => {
      throw new Error("secret detail");
    };
    const reply = await api.v1({ req: 2, seq });
    expect(reply.status).toBe(500);
    expect(reply.body).toEqual({ code: 102, seq, rep: 2 });
    expect(api.lines.join("")).toContain("secret detail");
  });
});

describe("login (reference §1.5)", () => {
  const body = { req: 4, seq: 9 };

  test.each([
    ["no header", {}, 104],
    ["Bearer", { authorization: "Bearer x" }, 104],
    ["a wrong password", { authorization: `Basic ${btoa("admin:x")}` }, 103],
  ])("%s is 401 with seq and rep echoed", async (_, headers, code) => {
    const reply = await api.v1(body, headers);
    expect(reply.status).toBe(401);
    expect(reply.body).toEqual({ code, seq: 9, rep: 4 });
    expect(reply.headers["www-authenticate"]).toMatch(/^Basic realm=/);
  });

  test("the login is checked before the body", async () => {
    const reply = await api.v1("no json", {});
    expect(reply.status).toBe(401);
    expect(reply.body).toEqual({ code: 104, seq: 0 });
  });

  test("a page that logs in by script gets no password dialog", async () => {
    const reply = await api.v1(body, { "x-requested-with": "XMLHttpRequest" });
    expect(reply.status).toBe(401);
    expect(reply.headers["www-authenticate"]).toBeUndefined();
  });

  test("passwords and headers stay out of the log", async () => {
    await api.v1(body, { authorization: `Basic ${btoa("admin:hunter2")}` });
    expect(api.lines.join("")).not.toMatch(new RegExp(`hunter2|${btoa("admin:hunter2")}`));
  });
});

describe("login by token (reference §1.5)", () => {
  const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });

  function bearer(claims: object): Record<string, string> {
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const text = `${part({ alg: "RS256", typ: "JWT" })}.${part(claims)}`;
    const signature = sign("RSA-SHA256", Buffer.from(text), privateKey).toString("base64url");
    return { authorization: `Bearer ${text}.${signature}` };
  }

  const later = Math.floor(Date.now() / 1000) + 600;

  async function withTokens(body: (tokens: TestApi) => Promise<void>, writeKey = true) {
    const directory = await mkdtemp(join(tmpdir(), "tidegate-token-"));
    const file = join(directory, "gateway.pub");
    if (writeKey) await writeFile(file, publicKey.export({ type: "spki", format: "pem" }));
    const http = { auth_type: "jwt", jwt_public_key_file: file };
    const tokens = await createTestApi({ http });
    try {
      await body(tokens);
    } finally {
      await tokens.close();
      await rm(directory, { recursive: true, force: true });
    }
  }

  test("the issuer is the file name of the key", () =>
    withTokens(async ({ v1, app }) => {
      const headers = bearer({ iss: "gateway.pub", exp: later });
      expect((await v1({ req: 2, seq: 1 }, headers)).status).toBe(200);
      expect((await app.inject({ url: "/api/v4/nodes", headers })).statusCode).toBe(200);
      const other = await v1({ req: 2, seq: 1 }, bearer({ iss: "other.pub", exp: later }));
      expect(other.body).toEqual({ code: 103, seq: 1, rep: 2 });
      expect(other.headers["www-authenticate"]).toMatch(/^Bearer /);
    }));

  test("an expired token is 116, Basic is 104", () =>
    withTokens(async ({ v1 }) => {
      const expired = await v1({ req: 2, seq: 1 }, bearer({ iss: "gateway.pub", exp: 1 }));
      expect(expired.status).toBe(401);
      expect(expired.body).toEqual({ code: 116, seq: 1, rep: 2 });
      const basic = await v1({ req: 2, seq: 1 });
      expect(basic.status).toBe(401);
      expect(basic.body.code).toBe(104);
    }));

  test("without a readable key every token is refused, and the log says why", () =>
    withTokens(async ({ v1, lines }) => {
      const reply = await v1({ req: 2, seq: 1 }, bearer({ iss: "gateway.pub", exp: later }));
      expect(reply.body.code).toBe(103);
      expect(lines.join("")).toMatch(/token key cannot be read/);
    }, false));
});

describe("requests (reference §1.7)", () => {
  test("2 gives the four counters first and the device in one member", async () => {
    api.broker.add(clientInfo("c"));
    api.broker.rows.push(subscriptionInfo("c", { filter: topicFilter("a"), qos: 0 }));
    api.broker.count = {
      received: 4,
      sent: 3,
      dropped: { no_subscriber: 1, queue_full: 1, expired: 0, too_large: 0, rejected: 0 },
    };
    const { body } = await api.v1({ req: 2, seq: 1 });
    expect(Object.keys(body)).toEqual(["code", "seq", "rep", "data"]);
    expect(Object.keys(body.data)).toEqual([
      "client_size",
      "message_in",
      "message_out",
      "message_drop",
      "device",
    ]);
    expect(body.data).toMatchObject({
      client_size: 1,
      message_in: 4,
      message_out: 3,
      message_drop: 2,
      device: { cpu_percent: 7.5 },
    });
  });

  test("4 gives filters exactly as subscribed, by client", async () => {
    api.broker.rows.push(
      subscriptionInfo("c", { filter: topicFilter("$share/g/a/#"), qos: 2 }),
      subscriptionInfo("d", { filter: topicFilter("x"), qos: 0 }),
      subscriptionInfo("c", { filter: topicFilter("b"), qos: 1 }),
    );
    const { body } = await api.v1({ req: 4, seq: 1 });
    expect(body.data).toEqual([
      {
        client_id: "c",
        subscriptions: [
          { topic: "$share/g/a/#", qos: 2 },
          { topic: "b", qos: 1 },
        ],
      },
      { client_id: "d", subscriptions: [{ topic: "x", qos: 0 }] },
    ]);
  });

  test("5 lists every client, connected or left behind", async () => {
    api.broker.add(
      clientInfo("on", { username: "u", keepAliveS: 30, protocolVersion: 5, messagesOut: 12 }),
      clientInfo("off", { isConnected: false, protocolVersion: 3 }),
    );
    const { body } = await api.v1({ req: 5, seq: 1 });
    expect(body.data).toEqual([
      {
        client_id: "on",
        username: "u",
        keepalive: 30,
        protocol: 5,
        connect_status: 1,
        message_receive: 12,
      },
      {
        client_id: "off",
        username: "",
        keepalive: 60,
        protocol: 3,
        connect_status: 0,
        message_receive: 0,
      },
    ]);
  });

  test.each([
    ["stop", "stop"],
    ["restart", "restart"],
    ["ReStart", "restart"],
  ])("10 answers %s and then does it", async (action, exit) => {
    const { status, body } = await api.v1({ req: 10, seq: 1, action });
    expect(status).toBe(200);
    expect(body).toEqual({ code: 0, seq: 1, rep: 10 });
    expect(await api.exited).toBe(exit);
  });

  test("11 has the members of the specification in their order", async () => {
    const { body } = await api.v1({ req: 11, seq: 1 });
    expect(Object.keys(body)).toEqual(["code", "seq", "rep", "data"]);
    expect(Object.keys(body.data).slice(0, 13)).toEqual([
      "url",
      "num_taskq_thread",
      "max_taskq_thread",
      "parallel",
      "property_size",
      "msq_len",
      "qos_duration",
      "allow_anonymous",
      "daemon",
      "tls",
      "websocket",
      "http_server",
      "bridge",
    ]);
  });

  test("11 tells beside data when the stored configuration is not the running one", async () => {
    api.store.statusNow = {
      restartPending: true,
      onTrial: false,
      confirmS: null,
      rolledBack: { atMs: 0, reason: "no listener came up", rejectedFile: "/x" },
    };
    const { body } = await api.v1({ req: 11, seq: 1 });
    expect(body.config_status).toEqual({
      restart_pending: true,
      on_trial: false,
      confirm_within_s: null,
      rolled_back: { at: "1970-01-01T00:00:00.000Z", reason: "no listener came up" },
    });
  });

  test("13 gives the filters level by level", async () => {
    api.broker.rows.push(
      subscriptionInfo("c", { filter: topicFilter("a/b"), qos: 0 }),
      subscriptionInfo("d", { filter: topicFilter("a"), qos: 0 }),
      subscriptionInfo("e", { filter: topicFilter("a/b"), qos: 0 }),
    );
    const { body } = await api.v1({ req: 13, seq: 1 });
    expect(body.data).toEqual([
      [{ topic: "", cld_cnt: 1 }],
      [{ topic: "a", cld_cnt: 1, client_id: ["d"] }],
      [{ topic: "b", cld_cnt: 0, client_id: ["c", "e"] }],
    ]);
  });
});

describe("extension codes", () => {
  test.each([
    ["beside req", { topic: "a/b", payload: "x", qos: 1, retain: true }],
    ["in data", { data: { topic: "a/b", payload: "x", qos: 1, retain: true } }],
  ])("20 publishes with its members %s", async (_, members) => {
    const { status, body } = await api.v1({ req: 20, seq: 1, ...members });
    expect(status).toBe(200);
    expect(body).toEqual({ code: 0, seq: 1, rep: 20 });
    expect(api.broker.published).toMatchObject([
      {
        topic: "a/b",
        payload: Buffer.from("x"),
        qos: 1,
        retain: true,
        origin: { kind: "api", clientId: "NanoMQ-HTTP-Client" },
      },
    ]);
  });

  test("20 publishes to a list of topics, and topic wins over topics", async () => {
    await api.v1({ req: 20, seq: 1, topics: "a,b/c", payload: "x" });
    await api.v1({ req: 20, seq: 1, topic: "one", topics: "a,b", payload: "x" });
    expect(api.broker.published.map(({ topic }) => topic)).toEqual(["a", "b/c", "one"]);
  });

  test.each([
    ["20 without topic", { req: 20, payload: "x" }, 400, 107],
    ["20 without payload", { req: 20, topic: "a" }, 400, 107],
    ["20 with QoS 3", { req: 20, topic: "a", payload: "x", qos: 3 }, 400, 108],
    ["20 with a text as QoS", { req: 20, topic: "a", payload: "x", qos: "1" }, 400, 108],
    ["20 with a wildcard", { req: 20, topic: "a/#", payload: "x" }, 400, 115],
    ["20 with a number as payload", { req: 20, topic: "a", payload: 5 }, 400, 108],
    ["20 with another encoding", { req: 20, topic: "a", payload: "x", encoding: "hex" }, 400, 108],
    ["21 without client", { req: 21, topic: "a" }, 400, 107],
    ["21 for an absent client", { req: 21, clientid: "x", topic: "a" }, 404, 112],
    ["21 with a bad filter", { req: 21, clientid: "c", topic: "a/#/b" }, 400, 115],
    ["21 with QoS 7", { req: 21, clientid: "c", topic: "a", qos: 7 }, 400, 108],
    ["22 for an absent client", { req: 22, clientid: "x", topic: "a" }, 404, 112],
    ["22 without topic", { req: 22, clientid: "c" }, 400, 107],
    ["23 without data", { req: 23 }, 400, 107],
    ["23 with an object", { req: 23, data: {} }, 400, 108],
  ])("%s is refused", async (_, body, status, code) => {
    api.broker.add(clientInfo("c"));
    const reply = await api.v1({ ...body, seq: 1 });
    expect(reply.status).toBe(status);
    expect(reply.body).toMatchObject({ code, seq: 1, rep: body.req, message: expect.any(String) });
    expect(api.broker.published).toEqual([]);
    expect(api.broker.rows).toEqual([]);
  });

  test("21 and 22 subscribe and unsubscribe a client", async () => {
    api.broker.add(clientInfo("c"));
    const asked = { seq: 1, clientid: "c", topics: "a/#,b" };
    expect((await api.v1({ req: 21, qos: 1, ...asked })).body).toEqual({
      code: 0,
      seq: 1,
      rep: 21,
    });
    expect(api.broker.rows).toEqual([
      subscriptionInfo("c", { filter: topicFilter("a/#"), qos: 1 }),
      subscriptionInfo("c", { filter: topicFilter("b"), qos: 1 }),
    ]);
    expect((await api.v1({ req: 22, ...asked })).body).toEqual({ code: 0, seq: 1, rep: 22 });
    expect(api.broker.rows).toEqual([]);
  });

  test("23 publishes what it can and tells what became of each message", async () => {
    const data = [{ topic: "a", payload: "1" }, { topic: "a/#", payload: "2" }, 5, { topic: "b" }];
    const { status, body } = await api.v1({ req: 23, seq: 1, data });
    expect(status).toBe(200);
    expect(body.data).toEqual([
      { topic: "a", code: 0 },
      { topic: "a/#", code: 115 },
      { topic: "", code: 108 },
      { topic: "b", code: 107 },
    ]);
    expect(api.broker.published).toHaveLength(1);
  });
});

test("the README names exactly the request codes that are served", async () => {
  const readme = await readFile(new URL("README.md", import.meta.url), "utf8");
  const [codes = ""] = readme.split("## Answers");
  const named = Array.from(codes.matchAll(/^\| (\d+) +\|/gm), ([, code]) => Number(code));
  expect(named).toEqual([...REQUEST_CODES.keys()].sort((a, b) => a - b));
});
