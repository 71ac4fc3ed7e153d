import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createTestApi, type TestApi } from "../test-api.testing.ts";
import { logIn, type Session } from "./session.testing.ts";

let api: TestApi;
let call: Session;

beforeEach(async () => {
  api = await createTestApi();
  call = await logIn(api.app, "admin", "public");
});

afterEach(() => api.close());

const DATABASE = { mechanism: "password_based", backend: "built_in_database" };
const ID = "password_based:built_in_database";
const CHAIN = `/authentication/${ID}`;
const SHA256 = { name: "sha256", salt_position: "suffix" };

async function login(username: string, password: string, clientId = "c1") {
  const [a, b] = [Math.floor(Math.random() * 255), Math.floor(Math.random() * 255)];
  return api.auth.authenticate({
    clientId,
    username,
    password: Buffer.from(password),
    peer: { listener: "tcp", address: `10.1.${a}.${b}`, tcpPort: 1, certificate: null },
  });
}

async function upload(name: string, text: string, query = "") {
  const boundary = "----b0undary";
  const payload = [
    `--${boundary}`,
    `content-disposition: form-data; name="filename"; filename="${name}"`,
    "content-type: text/plain",
    "",
    text,
    `--${boundary}--`,
    "",
  ].join("\r\n");
  const token = (await call("GET", "/nodes")).status === 200 ? await bearer() : "";
  const reply = await api.app.inject({
    method: "POST",
    url: `/api/v5${CHAIN}/import_users${query}`,
    headers: {
      authorization: `Bearer ${token}`,
      "content-type": `multipart/form-data; boundary=${boundary}`,
    },
    payload,
  });
  return { status: reply.statusCode, body: reply.body === "" ? null : JSON.parse(reply.body) };
}

async function bearer(): Promise<string> {
  const payload = { username: "admin", password: "public" };
  const reply = await api.app.inject({ method: "POST", url: "/api/v5/login", payload });
  return reply.json().token;
}

describe("the chain", () => {
  test("is empty at first, holds the database once, and is changed live", async () => {
    expect(await call("GET", "/authentication")).toEqual({ status: 200, body: [] });
    const shown = {
      ...DATABASE,
      id: ID,
      enable: true,
      user_id_type: "username",
      password_hash_algorithm: SHA256,
    };
    expect(await call("POST", "/authentication", DATABASE)).toEqual({ status: 200, body: shown });
    expect(await call("GET", "/authentication")).toEqual({ status: 200, body: [shown] });
    expect(await call("GET", CHAIN)).toEqual({ status: 200, body: shown });
    expect(await call("POST", "/authentication", DATABASE)).toMatchObject({
      status: 409,
      body: { code: "ALREADY_EXISTS" },
    });
    await call("POST", `${CHAIN}/users`, { user_id: "dev", password: "p" });
    expect(await login("dev", "p")).toBe("accepted");
    const off = { ...DATABASE, enable: false };
    expect(await call("PUT", CHAIN, off)).toEqual({ status: 204, body: null });
    expect(await login("dev", "p")).toBe("bad_credentials");
    await call("PUT", CHAIN, { ...DATABASE, user_id_type: "clientid" });
    expect(await login("x", "p", "dev")).toBe("accepted");
    expect(await call("DELETE", CHAIN)).toEqual({ status: 204, body: null });
    expect(await call("GET", CHAIN)).toMatchObject({ status: 404, body: { code: "NOT_FOUND" } });
    await call("POST", "/authentication", DATABASE);
    expect((await call("GET", `${CHAIN}/users`)).body).toMatchObject({ data: [] });
  });

  test("a colon in the path is taken raw and encoded", async () => {
    await call("POST", "/authentication", DATABASE);
    for (const id of [ID, "password_based%3Abuilt_in_database"]) {
      expect((await call("GET", `/authentication/${id}`)).status).toBe(200);
    }
  });

  test.each<[string, object]>([
    ["another mechanism", { mechanism: "jwt", from: "password", use_jwks: false }],
    ["another backend", { ...DATABASE, backend: "http", url: "http://127.0.0.1" }],
    ["no mechanism", { backend: "built_in_database" }],
    ["an unknown member", { ...DATABASE, bootstrap_file: "/etc/passwd" }],
    ["an unknown algorithm", { ...DATABASE, password_hash_algorithm: { name: "rot13" } }],
    [
      "a member of another",
      { ...DATABASE, password_hash_algorithm: { name: "bcrypt", mac_fun: "md5" } },
    ],
    ["an unknown id type", { ...DATABASE, user_id_type: "address" }],
  ])("%s is refused", async (_, body) => {
    expect(await call("POST", "/authentication", body)).toMatchObject({
      status: 400,
      body: { code: "BAD_REQUEST" },
    });
    expect(await call("GET", "/authentication")).toEqual({ status: 200, body: [] });
  });

  test.each([
    [{ name: "bcrypt" }, { name: "bcrypt", salt_rounds: 10 }],
    [{ name: "md5" }, { name: "md5", salt_position: "prefix" }],
    [
      { name: "pbkdf2", mac_fun: "sha512", iterations: 20, dk_length: 16 },
      { name: "pbkdf2", mac_fun: "sha512", iterations: 20, dk_length: 16 },
    ],
  ])("algorithm %j is shown as %j and used", async (password_hash_algorithm, shown) => {
    await call("POST", "/authentication", { ...DATABASE, password_hash_algorithm });
    expect((await call("GET", CHAIN)).body).toMatchObject({ password_hash_algorithm: shown });
    await call("POST", `${CHAIN}/users`, { user_id: "dev", password: "p" });
    expect(await login("dev", "p")).toBe("accepted");
    expect(await login("dev", "q")).toBe("bad_credentials");
  });

  test("a form that sends back what it was shown chooses no algorithm", async () => {
    const { body } = await call("POST", "/authentication", DATABASE);
    await call("PUT", CHAIN, body as object);
    expect(api.store.stored().auth.built_in_database?.password_hash_algorithm).toBeNull();
    await call("PUT", CHAIN, { ...DATABASE, password_hash_algorithm: { name: "sha512" } });
    await call("PUT", CHAIN, body as object);
    expect(api.store.stored().auth.built_in_database?.password_hash_algorithm).toMatchObject(
      SHA256,
    );
  });

  test("its order is what it is", async () => {
    await call("POST", "/authentication", DATABASE);
    for (const position of ["front", "rear"]) {
      expect((await call("PUT", `${CHAIN}/position/${position}`)).status).toBe(204);
    }
    expect((await call("PUT", `${CHAIN}/position/before:jwt`)).status).toBe(404);
    expect((await call("PUT", `${CHAIN}/position/middle`)).status).toBe(400);
    expect((await call("POST", `${CHAIN}/move`, { position: "front" })).status).toBe(204);
    expect((await call("PUT", "/authentication/order", [{ id: ID }])).status).toBe(204);
    expect((await call("PUT", "/authentication/order", [])).status).toBe(400);
    expect((await call("PUT", "/authentication/jwt/position/front")).status).toBe(404);
  });

  test("its status counts logins", async () => {
    await call("POST", "/authentication", DATABASE);
    await call("POST", `${CHAIN}/users`, { user_id: "dev", password: "p" });
    await login("dev", "p");
    await login("dev", "q");
    await login("nobody", "q");
    const metrics = {
      total: 3,
      success: 1,
      failed: 1,
      nomatch: 1,
      rate: 0,
      rate_last5m: 0,
      rate_max: 0,
    };
    const node = api.deps.services.node.name;
    expect(await call("GET", `${CHAIN}/status`)).toEqual({
      status: 200,
      body: {
        status: "connected",
        metrics,
        node_metrics: [{ node, metrics }],
        node_status: [{ node, status: "connected" }],
        resource_metrics: {},
        node_resource_metrics: [],
        node_error: [],
      },
    });
    expect((await call("GET", "/authentication/jwt/status")).status).toBe(404);
  });

  test("there is no other cache to switch on", async () => {
    const off = { node_cache: { enable: false } };
    expect(await call("GET", "/authentication/settings")).toEqual({ status: 200, body: off });
    expect((await call("PUT", "/authentication/settings", off)).status).toBe(204);
    const on = { node_cache: { enable: true } };
    expect((await call("PUT", "/authentication/settings", on)).status).toBe(400);
  });
});

describe("users", () => {
  beforeEach(async () => {
    await call("POST", "/authentication", { ...DATABASE, password_hash_algorithm: SHA256 });
  });

  test("are made, shown, changed and removed", async () => {
    const made = { user_id: "dev/1", is_superuser: false };
    const user = { user_id: "dev/1", password: "p" };
    expect(await call("POST", `${CHAIN}/users`, user)).toEqual({ status: 201, body: made });
    expect(await call("POST", `${CHAIN}/users`, user)).toMatchObject({
      status: 409,
      body: { code: "ALREADY_EXISTS" },
    });
    const path = `${CHAIN}/users/dev%2F1`;
    expect(await call("GET", path)).toEqual({ status: 200, body: made });
    expect(await call("PUT", path, { password: "q", is_superuser: true })).toEqual({
      status: 200,
      body: { ...made, is_superuser: true },
    });
    expect(await login("dev/1", "q")).toBe("accepted_superuser");
    expect((await call("PUT", path, { password: "r" })).body).toEqual(made);
    expect(await login("dev/1", "r")).toBe("accepted");
    expect((await call("PUT", path, {})).status).toBe(400);
    expect((await call("PUT", path, { user_id: "other", password: "r" })).status).toBe(400);
    expect(await call("DELETE", path)).toEqual({ status: 204, body: null });
    expect(await login("dev/1", "r")).toBe("bad_credentials");
    for (const method of ["GET", "DELETE"] as const) {
      expect(await call(method, path)).toMatchObject({ status: 404, body: { code: "NOT_FOUND" } });
    }
    expect((await call("PUT", path, { password: "r" })).status).toBe(404);
    expect((await call("POST", `${CHAIN}/users`, { user_id: "x" })).status).toBe(400);
    expect((await call("POST", "/authentication/jwt/users", user)).status).toBe(404);
  });

  test("are listed in pages, by part of the name and by rights", async () => {
    for (let i = 1; i <= 5; i++) {
      const user = { user_id: `dev-${i}`, password: "p", is_superuser: i === 5 };
      await call("POST", `${CHAIN}/users`, user);
    }
    const list = async (query: string) => (await call("GET", `${CHAIN}/users?${query}`)).body;
    expect(await list("limit=2&page=2")).toEqual({
      data: [
        { user_id: "dev-3", is_superuser: false },
        { user_id: "dev-4", is_superuser: false },
      ],
      meta: { page: 2, limit: 2, count: 5, hasnext: true },
    });
    expect(await list("like_user_id=v-5")).toEqual({
      data: [{ user_id: "dev-5", is_superuser: true }],
      meta: { page: 1, limit: 100, hasnext: false },
    });
    expect(await list("is_superuser=false")).toMatchObject({ meta: { count: 4 } });
    expect(await list("like_user_id=dev&is_superuser=true")).toMatchObject({
      data: [{ user_id: "dev-5" }],
    });
  });

  test("hashes are imported from CSV, quoted fields and any order of columns included", async () => {
    const hash = "44edc2d57cde8d79c98145003e105b90a14f1460b79186ea9cfe83942fc5abb5";
    const csv = [
      "is_superuser,user_id,salt,password_hash",
      `false,plain,slat_foo123,${hash}`,
      "",
      `true,"a, ""b""",slat_foo123,${hash}`,
    ].join("\r\n");
    expect(await upload("users.csv", csv)).toEqual({
      status: 200,
      body: { total: 2, success: 2, override: 0, skipped: 0, failed: 0 },
    });
    expect(await login("plain", "public")).toBe("accepted");
    expect(await login('a, "b"', "public")).toBe("accepted_superuser");
  });

  test("passwords are imported from CSV and JSON, and as a JSON body", async () => {
    const plain = "?type=plain";
    expect(await upload("u.csv", "user_id,password,is_superuser\nu1,p1,\n", plain)).toMatchObject({
      status: 200,
    });
    const json = JSON.stringify(
      [{ user_id: "u2", password: 'p{"}2', is_superuser: true }],
      null,
      2,
    );
    expect(await upload("u.json", json, plain)).toMatchObject({ status: 200 });
    const body = [
      { user_id: "u1", password: "new" },
      { user_id: "u3", password: "p3" },
    ];
    expect(await call("POST", `${CHAIN}/import_users${plain}`, body)).toEqual({
      status: 200,
      body: { total: 2, success: 1, override: 1, skipped: 0, failed: 0 },
    });
    expect(await login("u1", "new")).toBe("accepted");
    expect(await login("u2", 'p{"}2')).toBe("accepted_superuser");
    expect(await login("u3", "p3")).toBe("accepted");
  });

  test.each([
    ["u.csv", ""],
    ["u.csv", "name,password\na,b"],
    ["u.csv", "user_id,password\nok,p\n,p"],
    ["u.csv", "user_id,password\na,b,c"],
    ["u.csv", 'user_id,password\n"a,b'],
    ["u.csv", "user_id,password,is_superuser\na,b,perhaps"],
    ["u.json", "{}"],
    ["u.json", '[{"user_id":"ok","password":"p"}'],
    ["u.json", '[{"user_id":"ok","password":"p"}] x'],
    ["u.json", '[{"user_id":1,"password":"p"}]'],
    ["u.json", "[[1]]"],
    ["u.json", `[{"user_id":"${"a".repeat(30_000)}","password":"p"}]`],
  ])("%s with %s imports nobody", async (name, text) => {
    expect(await upload(name, text, "?type=plain")).toMatchObject({
      status: 400,
      body: { code: "BAD_REQUEST" },
    });
    expect((await call("GET", `${CHAIN}/users`)).body).toMatchObject({ data: [] });
  });

  test("20,000 users come in one file and are found page by page", async () => {
    const hash = "0".repeat(64);
    const rows = Array.from({ length: 20_000 }, (_, i) => `device-${i},${hash},s${i},false`);
    const csv = `user_id,password_hash,salt,is_superuser\n${rows.join("\n")}\n`;
    expect(await upload("users.csv", csv)).toMatchObject({ body: { success: 20_000 } });
    const page = await call("GET", `${CHAIN}/users?page=200&limit=100`);
    expect(page.body).toMatchObject({ meta: { count: 20_000, hasnext: false } });
  });
});

test("a viewer reads and changes nothing", async () => {
  await call("POST", "/users", {
    username: "eve",
    password: "Long-enough-1",
    role: "viewer",
    description: "",
  });
  const viewer = await logIn(api.app, "eve", "Long-enough-1");
  expect((await viewer("GET", "/authentication")).status).toBe(200);
  expect((await viewer("POST", "/authentication", DATABASE)).status).toBe(403);
});
