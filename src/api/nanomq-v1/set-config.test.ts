import { readdir, readFile, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { storeDeps, testGateway } from "../../config/config.testing.ts";
import { loadConfig, openConfigStore } from "../../config/index.ts";
import { makeCertificate } from "../../services/configuration/test-certificates.testing.ts";
import { createTestApi, type TestApi } from "../test-api.testing.ts";
import { showConfig } from "./config/index.ts";

let api: TestApi | undefined;

afterEach(() => api?.close());

async function start(patch?: Parameters<typeof createTestApi>[0]): Promise<TestApi> {
  api = await createTestApi(patch);
  return api;
}

test("a change is stored, answered, and only then applied by a restart", async () => {
  const { v1, store, exited } = await start();
  const reply = await v1({ req: 12, seq: 3, data: { msq_len: 64 } });
  expect(reply.status).toBe(200);
  expect(reply.body).toEqual({ code: 0, seq: 3, rep: 12 });
  expect(store.stored().msq_len).toBe(64);
  expect(await exited).toBe("restart");
});

test("11 shows the running configuration, whatever 12 has stored", async () => {
  const { v1 } = await start();
  await v1({ req: 12, seq: 1, data: { msq_len: 64 } });
  expect((await v1({ req: 11, seq: 2 })).body.data.msq_len).toBe(2048);
});

test("what 11 gave is a success on 12 that writes nothing and restarts nothing", async () => {
  const { v1, store, exits } = await start();
  const { data } = (await v1({ req: 11, seq: 1 })).body;
  const reply = await v1({ req: 12, seq: 2, data });
  expect(reply.body).toEqual({ code: 0, seq: 2, rep: 12 });
  expect(store.writes).toBe(0);
  expect(exits).toEqual([]);
});

test("the password in use sent in clear is no change", async () => {
  const { v1, store, exits } = await start();
  await v1({ req: 12, seq: 1, data: { http_server: { password: "public" } } });
  expect(store.writes).toBe(0);
  expect(exits).toEqual([]);
});

test("a refusal names field and value in NanoMQ's words, and nothing is written", async () => {
  const { v1, store, exits } = await start();
  const reply = await v1({ req: 12, seq: 4, data: { msq_len: 5, tls: { enable: true } } });
  expect(reply.status).toBe(400);
  expect(reply.body).toEqual({
    code: 108,
    seq: 4,
    rep: 12,
    message: "tls.cert: null cannot be used: TLS is enabled and cannot do without it",
  });
  expect(store.writes).toBe(0);
  expect(exits).toEqual([]);
});

test("TLS goes on with the texts of key and certificate, and secure WebSocket with it", async () => {
  const { v1, store, directory } = await start();
  const { key, cert } = await makeCertificate(directory, "gateway", "sesame");
  const tls = { enable: true, key, cert, keypass: "sesame" };
  expect((await v1({ req: 12, seq: 1, data: { tls } })).body.code).toBe(0);
  const stored = store.stored();
  expect(stored.listeners.tls.enable).toBe(true);
  expect(stored.listeners.wss.enable).toBe(true);
  expect(stored.tls).toMatchObject({ key_file: store.pemPaths[0], cert_file: store.pemPaths[1] });
  const { tls: shown } = showConfig(stored, { cert, ca: null });
  expect(shown).toMatchObject({ key: "******", cert, key_password: "******", cacert: null });
});

test("a key that does not fit its certificate leaves nothing behind", async () => {
  const { v1, store, directory } = await start();
  const { cert } = await makeCertificate(directory, "one");
  const { key } = await makeCertificate(directory, "two");
  const before = await readdir(directory);
  const reply = await v1({ req: 12, seq: 1, data: { tls: { enable: true, key, cert } } });
  expect(reply.body).toMatchObject({ code: 108, message: expect.stringMatching(/^tls\.cert: /) });
  expect(reply.body.message).not.toContain("BEGIN");
  expect(await readdir(directory)).toEqual(before);
  expect(store.writes).toBe(0);
});

test.each([
  ["http_server.enable", { http_server: { enable: false } }],
  ["http_server.password", { http_server: { password: "" } }],
  ["http.jwt_public_key_file", { http_server: { auth_type: "jwt" } }],
])("locking oneself out needs force: %s", async (field, data) => {
  const { v1, store, exited } = await start();
  const reply = await v1({ req: 12, seq: 1, data });
  expect(reply.body).toMatchObject({ code: 108, message: expect.stringContaining(field) });
  expect(store.writes).toBe(0);
  expect((await v1({ req: 12, seq: 2, data, force: true })).body.code).toBe(0);
  expect(store.writes).toBe(1);
  expect(await exited).toBe("restart");
});

test("a confirmation without a change on trial is refused, and says why", async () => {
  const { v1, store } = await start();
  const none = await v1({ req: 12, seq: 1, confirm: true });
  expect(none).toMatchObject({ status: 400, body: { code: 108, rep: 12 } });
  store.statusNow = {
    ...store.statusNow,
    rolledBack: { atMs: 0, reason: "nobody confirmed it", rejectedFile: "/x" },
  };
  const late = await v1({ req: 12, seq: 2, confirm: true });
  expect(late.body.message).toContain("nobody confirmed it");
  store.statusNow = { ...store.statusNow, onTrial: true, confirmS: 30, rolledBack: null };
  expect((await v1({ req: 12, seq: 3, confirm: true })).body.code).toBe(0);
  expect(store.status().onTrial).toBe(false);
});

test.each([9, 86_401, 10.5, "60"])("confirm_s %s is refused by its name", async (confirm_s) => {
  const { v1, store } = await start();
  const reply = await v1({ req: 12, seq: 1, data: { msq_len: 5 }, confirm_s });
  expect(reply.body).toMatchObject({ code: 108, message: expect.stringContaining("confirm_s") });
  expect(store.writes).toBe(0);
});

test("a change and its confirmation in one request are refused", async () => {
  const { v1, store } = await start();
  const reply = await v1({ req: 12, seq: 1, data: { msq_len: 5 }, confirm: true });
  expect(reply.body).toMatchObject({ code: 108, message: expect.stringMatching(/^data: /) });
  expect(store.writes).toBe(0);
});

test("bridge rules that loop are refused by their names", async () => {
  const { v1 } = await start();
  const bridge = {
    bridge_mode: true,
    address: "mqtt-tcp://broker.example:1883",
    forwards: ["a/#"],
    subscription: [{ topic: "a/b", qos: 1 }],
  };
  const reply = await v1({ req: 12, seq: 1, data: { bridge } });
  expect(reply.body).toMatchObject({
    code: 108,
    message: expect.stringMatching(/^bridge\.forwards: a\/# .*a\/b/),
  });
});

test("two listeners on one port are refused by their names", async () => {
  const { v1 } = await start();
  const data = { url: "nmq-tcp://127.0.0.1:18830", websocket: { url: "nmq-ws://*:18830/mqtt" } };
  const reply = await v1({ req: 12, seq: 1, data });
  expect(reply.body).toMatchObject({ code: 108, message: expect.stringMatching(/^url: 18830 /) });
});

test("two changes at once are both stored", async () => {
  const { v1, store } = await start();
  await Promise.all([
    v1({ req: 12, seq: 1, data: { msq_len: 7 } }),
    v1({ req: 12, seq: 2, data: { parallel: 8 } }),
  ]);
  expect(store.stored().msq_len).toBe(7);
  expect(store.stored().nanomq.parallel).toBe(8);
});

test("a configuration that cannot be written is an internal fault the operator hears the reason of", async () => {
  const { v1, store, exits } = await start();
  const { GatewayError } = await import("../../errors/index.ts");
  store.change = async () => {
    throw new GatewayError("CONFIG_WRITE_FAILED", { path: "/data/config", reason: "ENOSPC" });
  };
  const reply = await v1({ req: 12, seq: 1, data: { msq_len: 7 } });
  expect(reply.status).toBe(500);
  const message = "the configuration could not be written to /data/config: ENOSPC";
  expect(reply.body).toEqual({ code: 101, seq: 1, rep: 12, message });
  expect(exits).toEqual([]);
});

describe("with the real configuration store", () => {
  /** A gateway whose password is set in the operator's file. */
  async function startReal(password: string) {
    const { input } = testGateway(
      `http: { port: 0, emqx_port: null, password: "${password}" }\nlisteners: { tcp: { port: 0 }, ws: { port: 0 } }\n`,
    );
    const store = openConfigStore(loadConfig(input), storeDeps);
    const started = await createTestApi({}, store);
    api = started;
    return { ...started, store };
  }

  test("what 11 gave changes nothing on 12", async () => {
    const { v1, store, exits } = await startReal("public");
    const before = store.stored();
    const { data } = (await v1({ req: 11, seq: 1 })).body;
    expect((await v1({ req: 12, seq: 2, data })).body).toEqual({ code: 0, seq: 2, rep: 12 });
    expect(store.stored()).toBe(before);
    expect(exits).toEqual([]);
  });

  test("the password in use sent in clear changes nothing", async () => {
    const { v1, store, exits } = await startReal("public");
    const before = store.stored();
    await v1({ req: 12, seq: 1, data: { http_server: { password: "public" } } });
    expect(store.stored()).toBe(before);
    expect(exits).toEqual([]);
  });

  test("a new password is stored as a hash and counts at once, the rest of 11 stays until the restart", async () => {
    const { v1, store, exited } = await startReal("public");
    const data = { http_server: { password: "better" }, msq_len: 5 };
    expect((await v1({ req: 12, seq: 1, data })).body.code).toBe(0);
    expect(store.stored().http.password).toBe("hash:better");
    expect((await v1({ req: 11, seq: 2 })).status).toBe(401);
    // The login of these tests takes what is stored for the password.
    const headers = { authorization: `Basic ${btoa("admin:hash:better")}` };
    expect((await v1({ req: 11, seq: 3 }, headers)).body.data.msq_len).toBe(2048);
    expect(await exited).toBe("restart");
  });

  test("certificates are kept in files of mode 0600, and a refusal keeps none", async () => {
    const { v1, store, directory } = await startReal("public");
    const { key, cert } = await makeCertificate(directory, "gateway");
    const other = await makeCertificate(directory, "other");
    const tls = { enable: true, url: "tls+nmq-tcp://127.0.0.1:0", key, cert };
    const websocket = { tls_url: "nmq-wss://127.0.0.1:0/mqtt" };
    const wrong = { tls: { ...tls, key: other.key }, websocket };
    expect((await v1({ req: 12, seq: 1, data: wrong })).status).toBe(400);
    expect(store.stored().tls.key_file).toBeNull();
    expect((await v1({ req: 12, seq: 2, data: { tls, websocket } })).body.code).toBe(0);
    const { key_file: keyFile, cert_file: certFile } = store.stored().tls;
    expect(await readFile(certFile ?? "", "utf8")).toBe(cert);
    expect((await stat(keyFile ?? "")).mode & 0o777).toBe(0o600);
    expect(await readdir(dirname(keyFile ?? ""))).toHaveLength(2);
  });
});
