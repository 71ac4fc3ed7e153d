import { afterEach, beforeEach, expect, test } from "vitest";
import { createTestApi, type TestApi } from "../test-api.testing.ts";
import { logIn, type Session, sessionWith } from "./session.testing.ts";

let api: TestApi;
let admin: Session;

beforeEach(async () => {
  api = await createTestApi();
  admin = await logIn(api.app, "admin", "public");
});

afterEach(() => api.close());

interface Made {
  readonly api_key: string;
  readonly api_secret: string;
}

async function make(body: object): Promise<{ made: Made; use: Session }> {
  const reply = await admin("POST", "/api_key", body);
  expect(reply.status).toBe(200);
  const made = reply.body as Made;
  return { made, use: sessionWith(api.app, `Basic ${btoa(`${made.api_key}:${made.api_secret}`)}`) };
}

test("a key is made with its secret, which is never told again", async () => {
  const { made, use } = await make({ name: "exporter", role: "viewer" });
  const key = {
    name: "exporter",
    api_key: expect.stringMatching(/^[a-z0-9]{16}$/),
    enable: true,
    expired: false,
    expired_at: "infinity",
    created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d$/),
    desc: "",
    role: "viewer",
  };
  expect(made).toEqual({ ...key, api_secret: expect.stringMatching(/^.{43}$/) });
  expect(await admin("GET", "/api_key")).toEqual({ status: 200, body: [key] });
  expect(await admin("GET", "/api_key/exporter")).toEqual({ status: 200, body: key });
  expect(await use("GET", "/nodes")).toMatchObject({ status: 200 });
  expect(await use("PUT", "/telemetry/status", { enable: false })).toMatchObject({ status: 403 });
});

test("a disabled, expired or removed key is refused at once", async () => {
  const { use } = await make({ name: "k" });
  expect(await use("GET", "/nodes")).toMatchObject({ status: 200 });
  const refused = { status: 401, body: { code: "BAD_API_KEY_OR_SECRET" } };
  await admin("PUT", "/api_key/k", { enable: false });
  expect(await use("GET", "/nodes")).toMatchObject(refused);
  await admin("PUT", "/api_key/k", { enable: true, expired_at: 1_600_000_000 });
  expect((await admin("GET", "/api_key/k")).body).toMatchObject({ expired: true });
  expect(await use("GET", "/nodes")).toMatchObject(refused);
  await admin("PUT", "/api_key/k", {});
  expect(await use("GET", "/nodes")).toMatchObject({ status: 200 });
  expect(await admin("DELETE", "/api_key/k")).toEqual({ status: 204, body: null });
  expect(await use("GET", "/nodes")).toMatchObject(refused);
});

test("what is left out of a change stays, but for the expiry", async () => {
  const wanted = { desc: "d", enable: false, expired_at: "2030-01-02T03:04:05Z", role: "viewer" };
  await make({ name: "k", ...wanted });
  const { body } = await admin("GET", "/api_key/k");
  expect(new Date((body as { expired_at: string }).expired_at).toISOString()).toBe(
    "2030-01-02T03:04:05.000Z",
  );
  // The 2022 dashboard sends back everything it got.
  const reply = await admin("PUT", "/api_key/k", {
    name: "other",
    api_key: "other",
    created_at: "x",
    expired: true,
    desc: "new",
  });
  expect(reply).toMatchObject({
    status: 200,
    body: { name: "k", desc: "new", enable: false, role: "viewer", expired_at: "infinity" },
  });
});

test.each([
  ["a name in use", { name: "taken" }, /name_already_exists/],
  ["a bad name", { name: "1a" }, /name/],
  ["a long name", { name: "a".repeat(257) }, /name/],
  ["an unknown role", { name: "a", role: "root" }, /role/],
  ["a bad time", { name: "a", expired_at: "soon" }, /soon/],
  ["no name", {}, /name/],
])("%s is 400 BAD_REQUEST", async (_, body, message) => {
  await make({ name: "taken" });
  expect(await admin("POST", "/api_key", body)).toMatchObject({
    status: 400,
    body: { code: "BAD_REQUEST", message: expect.stringMatching(message) },
  });
});

test("there are at most 100 keys", async () => {
  for (let i = 0; i < 100; i++) await make({ name: `k${i}` });
  expect(await admin("POST", "/api_key", { name: "more" })).toMatchObject({ status: 400 });
});

test.each(["GET", "PUT", "DELETE"] as const)("%s of an unknown key is 404", async (method) => {
  for (const name of ["nope", "__proto__", "a%2Fb"]) {
    const reply = await admin(method, `/api_key/${name}`, method === "PUT" ? {} : undefined);
    expect(reply).toMatchObject({ status: 404, body: { code: "NOT_FOUND" } });
  }
});

test("secrets stand nowhere but in the answer that tells them", async () => {
  const { made } = await make({ name: "k" });
  expect(api.lines.join("\n")).not.toContain(made.api_secret);
});
