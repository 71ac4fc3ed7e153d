import { afterAll, beforeAll, expect, test } from "vitest";
import { createTestApi, type TestApi } from "../test-api.testing.ts";

let api: TestApi;
const token: Record<string, string> = {};

beforeAll(async () => {
  const key = (name: string, role: string, more = {}) => ({
    name,
    api_key: name,
    secret: "s:e:cret",
    role,
    ...more,
  });
  api = await createTestApi({
    api_key: {
      keys: [
        key("boss", "administrator"),
        key("looker", "viewer"),
        key("talker", "publisher"),
        key("off", "administrator", { enable: false }),
        key("old", "administrator", { expired_at_s: 1 }),
      ],
    },
    dashboard: { users: [{ username: "vera", password: "vera-pass-1", role: "viewer" }] },
  });
  for (const [username, password] of [
    ["admin", "public"],
    ["vera", "vera-pass-1"],
  ]) {
    const payload = { username, password };
    const reply = await api.app.inject({ method: "POST", url: "/api/v5/login", payload });
    token[username ?? ""] = `Bearer ${reply.json().token}`;
  }
});

afterAll(() => api.close());

const basic = (pair: string) => `Basic ${btoa(pair)}`;

async function call(method: string, path: string, authorization?: string, payload?: object) {
  const reply = await api.app.inject({
    method: method as "GET",
    url: `/api/v5${path}`,
    headers: authorization === undefined ? {} : { authorization },
    ...(payload === undefined ? {} : { payload }),
  });
  const { code = null } = reply.body.startsWith("{") ? reply.json() : {};
  const challenge = reply.headers["www-authenticate"] !== undefined;
  return { status: reply.statusCode, code, challenge, body: reply.body };
}

test.each([
  ["no header", undefined, 401, "AUTHORIZATION_HEADER_ERROR", true],
  ["another scheme", "Digest abc", 401, "AUTHORIZATION_HEADER_ERROR", true],
  ["an empty scheme", "Basic", 401, "AUTHORIZATION_HEADER_ERROR", true],
  ["an unknown key", basic("nobody:s:e:cret"), 401, "BAD_API_KEY_OR_SECRET", true],
  ["a wrong secret", basic("boss:no"), 401, "BAD_API_KEY_OR_SECRET", true],
  ["a disabled key", basic("off:s:e:cret"), 401, "BAD_API_KEY_OR_SECRET", true],
  ["an expired key", basic("old:s:e:cret"), 401, "BAD_API_KEY_OR_SECRET", true],
  ["Basic that is none", "Basic !!!", 401, "BAD_API_KEY_OR_SECRET", true],
  ["Basic without colon", `Basic ${btoa("boss")}`, 401, "BAD_API_KEY_OR_SECRET", true],
  ["the administrator's name by Basic", basic("admin:public"), 401, "BAD_API_KEY_OR_SECRET", true],
  ["a user's name by Basic", basic("vera:vera-pass-1"), 401, "BAD_API_KEY_OR_SECRET", true],
  ["an unknown token", "Bearer abc", 401, "BAD_TOKEN", false],
  ["a publisher's key", basic("talker:s:e:cret"), 403, "UNAUTHORIZED_ROLE", false],
  ["a viewer's key", basic("looker:s:e:cret"), 200, null, false],
  ["an administrator's key", basic("boss:s:e:cret"), 200, null, false],
])(
  "GET /nodes with %s is answered as the reference says",
  async (_, header, status, code, challenge) => {
    expect(await call("GET", "/nodes", header)).toMatchObject({ status, code, challenge });
  },
);

test("an unknown path is 404 without login", async () => {
  expect(await call("GET", "/no-such-path")).toMatchObject({ status: 404, code: "NOT_FOUND" });
});

test.each(["nobody:x", "boss:s:e:cret"])(
  "API keys may not be used for users, keys and logout, whatever the key (%s)",
  async (pair) => {
    for (const [method, path] of [
      ["GET", "/users"],
      ["POST", "/users"],
      ["GET", "/api_key"],
      ["DELETE", "/api_key/x"],
      ["POST", "/logout"],
      ["POST", "/users/admin/change_pwd"],
    ] as const) {
      const reply = await call(method, path, basic(pair));
      expect(reply).toMatchObject({ status: 401, code: "API_KEY_NOT_ALLOW", challenge: true });
    }
  },
);

test("login is refused alike for an unknown user and a wrong password", async () => {
  const replies = await Promise.all(
    [
      { username: "nobody", password: "public" },
      { username: "vera", password: "wrong-pass-1" },
    ].map((body) => call("POST", "/login", undefined, body)),
  );
  expect(replies[0]).toMatchObject({ status: 401, code: "BAD_USERNAME_OR_PWD" });
  expect(replies[0]?.body).toContain("Auth failed");
  expect(replies[1]?.body).toBe(replies[0]?.body);
});

test("login answers what dashboards read", async () => {
  const reply = await call("POST", "/login", undefined, {
    username: "vera",
    password: "vera-pass-1",
  });
  expect(JSON.parse(reply.body)).toEqual({
    token: expect.stringMatching(/^[\w-]{43}$/),
    version: "5.8.4",
    license: { edition: "opensource" },
    role: "viewer",
  });
});

test("a viewer reads and changes nothing; its role is judged before its body", async () => {
  const viewer = token["vera"];
  expect(await call("GET", "/users", viewer)).toMatchObject({ status: 200 });
  expect(await call("GET", "/api_key", viewer)).toMatchObject({ status: 200 });
  for (const [method, path] of [
    ["POST", "/users"],
    ["PUT", "/users/admin"],
    ["DELETE", "/users/admin"],
    ["POST", "/api_key"],
  ] as const) {
    const reply = await call(method, path, viewer, { junk: [] });
    expect(reply).toMatchObject({ status: 403, code: "UNAUTHORIZED_ROLE", challenge: false });
  }
});

test("a viewer changes its own password only", async () => {
  const body = { old_pwd: "wrong", new_pwd: "new-pass-12" };
  const own = await call("POST", "/users/vera/change_pwd", token["vera"], body);
  expect(own).toMatchObject({ status: 400, code: "ERROR_PWD_NOT_MATCH" });
  const other = await call("POST", "/users/admin/change_pwd", token["vera"], body);
  expect(other).toMatchObject({ status: 403, code: "UNAUTHORIZED_ROLE" });
});

test("logout wants the token's own name, and ends the token", async () => {
  const { body } = await call("POST", "/login", undefined, {
    username: "admin",
    password: "public",
  });
  const bearer = `Bearer ${JSON.parse(body).token}`;
  const wrong = await call("POST", "/logout", bearer, { username: "vera" });
  expect(wrong).toMatchObject({ status: 401, code: "WRONG_TOKEN_OR_USERNAME" });
  expect(await call("POST", "/logout", bearer, { username: "admin" })).toMatchObject({
    status: 204,
  });
  expect(await call("GET", "/users", bearer)).toMatchObject({ status: 401, code: "BAD_TOKEN" });
});
