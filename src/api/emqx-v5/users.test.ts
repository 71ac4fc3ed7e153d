import { afterEach, beforeEach, expect, test } from "vitest";
import { createTestApi, type TestApi } from "../test-api.testing.ts";
import { logIn, type Session } from "./session.testing.ts";

let api: TestApi;
let admin: Session;

beforeEach(async () => {
  api = await createTestApi();
  admin = await logIn(api.app, "admin", "public");
});

afterEach(() => api.close());

const VERA = { username: "vera", password: "vera-pass-1", role: "viewer", description: "d" };

test("a user is added, changed and removed, and never shows a password", async () => {
  const shown = { username: "vera", role: "viewer", description: "d", backend: "local" };
  expect(await admin("POST", "/users", VERA)).toEqual({ status: 200, body: shown });
  const list = await admin("GET", "/users");
  expect(list.body).toEqual([
    { username: "admin", role: "administrator", description: "administrator", backend: "local" },
    shown,
  ]);
  const changed = { role: "administrator", description: "new" };
  expect(await admin("PUT", "/users/vera", changed)).toEqual({
    status: 200,
    body: { ...shown, ...changed },
  });
  expect(await admin("DELETE", "/users/vera")).toEqual({ status: 204, body: null });
  expect(await admin("DELETE", "/users/vera")).toMatchObject({ status: 404 });
});

test("defaults: an administrator without description; unknown members are tolerated", async () => {
  const body = { username: "max", password: "max-pass-1", mfa: "none" };
  const reply = await admin("POST", "/users", body);
  expect(reply).toMatchObject({ status: 200, body: { role: "administrator", description: "" } });
});

test.each([
  ["the name in use", { username: "admin", password: "good-pass-1" }, /username_already_exists/],
  ["a bad name", { username: "a b", password: "good-pass-1" }, /username/],
  ["a long name", { username: "a".repeat(101), password: "good-pass-1" }, /username/],
  ["a short password", { username: "a", password: "short-1" }, /password/],
  ["one kind of character", { username: "a", password: "onlyletters" }, /password/],
  ["another alphabet", { username: "a", password: "пароль-пароль-1" }, /password/],
  ["an unknown role", { username: "a", password: "good-pass-1", role: "root" }, /role/],
  ["no password", { username: "a" }, /password/],
])("%s is 400 BAD_REQUEST", async (_, body, message) => {
  const reply = await admin("POST", "/users", body);
  expect(reply).toMatchObject({
    status: 400,
    body: { code: "BAD_REQUEST", message: expect.stringMatching(message) },
  });
});

test("the administrator stays, with its role; nobody removes himself", async () => {
  const viewer = { role: "viewer", description: "x" };
  const refused = { status: 400, body: { code: "NOT_ALLOWED" } };
  expect(await admin("PUT", "/users/admin", viewer)).toMatchObject(refused);
  expect(await admin("DELETE", "/users/admin")).toMatchObject(refused);
  await admin("POST", "/users", { username: "max", password: "max-pass-1" });
  const max = await logIn(api.app, "max", "max-pass-1");
  expect(await max("DELETE", "/users/max")).toMatchObject(refused);
  expect(await max("DELETE", "/users/admin")).toMatchObject(refused);
  const named = { role: "administrator", description: "the boss" };
  expect(await admin("PUT", "/users/admin", named)).toMatchObject({ status: 200, body: named });
});

test.each(["POST", "PUT"] as const)(
  "%s change_pwd ends every token of the user",
  async (method) => {
    await admin("POST", "/users", VERA);
    const [one, other] = [
      await logIn(api.app, "vera", VERA.password),
      await logIn(api.app, "vera", VERA.password),
    ];
    const change = (old_pwd: string, new_pwd: string) =>
      one(method, "/users/vera/change_pwd", { old_pwd, new_pwd });
    expect(await change("no", "new-pass-12")).toMatchObject({
      status: 400,
      body: { code: "ERROR_PWD_NOT_MATCH" },
    });
    for (const weak of ["weak", VERA.password]) {
      expect(await change(VERA.password, weak)).toMatchObject({
        status: 400,
        body: { code: "BAD_REQUEST" },
      });
    }
    expect(await change(VERA.password, "new-pass-12")).toEqual({ status: 204, body: null });
    for (const session of [one, other]) {
      expect(await session("GET", "/users")).toMatchObject({ body: { code: "BAD_TOKEN" } });
    }
    await logIn(api.app, "vera", "new-pass-12");
  },
);

test("the administrator's password is one for every dialect, and applies at once", async () => {
  const body = { old_pwd: "public", new_pwd: "brand-new-1" };
  expect(await admin("POST", "/users/admin/change_pwd", body)).toMatchObject({ status: 204 });
  expect(await admin("GET", "/users")).toMatchObject({ status: 401 });
  const v4 = (password: string) =>
    api.app.inject({
      url: "/api/v4/brokers",
      headers: { authorization: `Basic ${btoa(`admin:${password}`)}` },
    });
  expect((await v4("public")).statusCode).toBe(401);
  expect((await v4("brand-new-1")).statusCode).toBe(200);
  await logIn(api.app, "admin", "brand-new-1");
});

test("a changed role and a removed user end the tokens", async () => {
  await admin("POST", "/users", VERA);
  const before = await logIn(api.app, "vera", VERA.password);
  await admin("PUT", "/users/vera", { role: "administrator", description: "d" });
  expect(await before("GET", "/users")).toMatchObject({ status: 401 });
  const after = await logIn(api.app, "vera", VERA.password);
  await admin("PUT", "/users/vera", { role: "administrator", description: "other" });
  expect(await after("GET", "/users")).toMatchObject({ status: 200 });
  await admin("DELETE", "/users/vera");
  expect(await after("GET", "/users")).toMatchObject({ status: 401, body: { code: "BAD_TOKEN" } });
});

test.each([
  ["PUT", "/users/nobody", { role: "viewer", description: "" }],
  ["DELETE", "/users/nobody", undefined],
  ["POST", "/users/nobody/change_pwd", { old_pwd: "a", new_pwd: "b" }],
  ["DELETE", "/users/__proto__", undefined],
] as const)("%s %s is 404 USER_NOT_FOUND", async (method, path, body) => {
  expect(await admin(method, path, body)).toMatchObject({
    status: 404,
    body: { code: "USER_NOT_FOUND" },
  });
});
