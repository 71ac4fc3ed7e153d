import { once } from "node:events";
import { copyFileSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { type AddressInfo, connect, createServer } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { type ConnectionOptions, connect as connectTls, type SecureContextOptions } from "node:tls";
import { afterEach, beforeEach, expect, it } from "vitest";
import { type Certificates, makeCertificates, readPem } from "../../test/helpers/certificates.ts";
import { tempDir } from "../../test/helpers/temp-dir.ts";
import { createSecurePort } from "./secure-port.ts";
import { createSockets, type Sockets } from "./sockets.ts";
import { ADMIN, createTestApi, type TestApi } from "./test-api.testing.ts";

let certificates: Certificates;
/** What the configuration names: copies that a test may spoil. */
let tls: { readonly key_file: string; readonly cert_file: string };
let test: TestApi | null = null;

beforeEach(() => {
  certificates = makeCertificates();
  const dir = tempDir();
  tls = { key_file: join(dir, "key.pem"), cert_file: join(dir, "cert.pem") };
  install(certificates);
});

afterEach(async () => {
  await test?.close();
  test = null;
});

function install({ server }: Certificates): void {
  copyFileSync(server.keyFile, tls.key_file);
  copyFileSync(server.certFile, tls.cert_file);
}

async function started(patch: Record<string, Record<string, unknown>> = {}): Promise<TestApi> {
  test = await createTestApi({
    tls,
    https: { enable: true, bind: "127.0.0.1", port: 0 },
    ...patch,
  });
  await test.api.start();
  return test;
}

function portOf(name: string): number {
  const port = test?.api.status().ports.find((it) => it.name === name)?.tcpPort;
  if (port === undefined) throw new Error(`${name} is not open`);
  return port;
}

async function get(path: string, options: ConnectionOptions = {}, ca = certificates) {
  const port = portOf("https");
  const headers = { authorization: ADMIN };
  const asked = request({
    ...{ host: "127.0.0.1", port, path, headers, ca: readPem(ca.caFile), agent: false },
    ...options,
  }).end();
  const [response] = await once(asked, "response");
  return { status: response.statusCode, body: await text(response) };
}

it("the application answers over TLS as it does without, and asks nobody for a certificate", async () => {
  const ca_file = certificates.caFile;
  const { api } = await started({
    tls: { ...tls, ca_file, verify_peer: true, fail_if_no_peer_cert: true },
  });
  expect(api.status().ports.map(({ name }) => name)).toEqual(["http", "https"]);
  const plain = await fetch(`http://127.0.0.1:${portOf("http")}/api/v5/status?format=json`);
  const secure = await get("/api/v5/status?format=json");
  expect(secure).toEqual({ status: plain.status, body: await plain.text() });
  expect(await get("/api/v5/nothing")).toMatchObject({ status: 404 });
  const old = {
    minVersion: "TLSv1",
    maxVersion: "TLSv1.1",
    ciphers: "DEFAULT@SECLEVEL=0",
  } as const;
  await expect(get("/status", old)).rejects.toThrow(/protocol version/);
});

it("serves over TLS alone where HTTP is off", async () => {
  const { api } = await started({ http: { enable: false } });
  expect(api.status().ports.map(({ name }) => name)).toEqual(["https"]);
  expect(await get("/status")).toMatchObject({ status: 200 });
});

it("files that cannot be used close nothing else, are told, and count once they are put right", async () => {
  writeFileSync(tls.cert_file, "no certificate");
  const { api, lines, deps } = await started();
  expect(api.status().ports.map(({ name }) => name)).toEqual(["http"]);
  const active = () => deps.services.alarms.active().map(({ name }) => name);
  expect(active()).toContain("listener_tls/https");
  expect(lines.join("")).toContain(tls.cert_file);
  await expect(api.reloadTls()).rejects.toMatchObject({
    code: "CONFIG_CHECK_FAILED",
    details: { key: "tls.cert_file" },
  });
  install(certificates);
  await api.reloadTls();
  expect(await get("/status")).toMatchObject({ status: 200 });
  expect(active()).not.toContain("listener_tls/https");
});

it("a new pair counts for new connections, a bad one leaves the old", async () => {
  const { api } = await started();
  const kept = connectTls({ host: "127.0.0.1", port: portOf("https"), rejectUnauthorized: false });
  await once(kept, "secureConnect");
  const next = makeCertificates();
  install(next);
  await api.reloadTls();
  expect(await get("/status", {}, next)).toMatchObject({ status: 200 });
  await expect(get("/status")).rejects.toThrow(/certificate/);
  copyFileSync(certificates.server.keyFile, tls.key_file);
  await expect(api.reloadTls()).rejects.toMatchObject({ details: { key: "tls.key_file" } });
  expect(await get("/status", {}, next)).toMatchObject({ status: 200 });
  kept.write("GET /status HTTP/1.1\r\nConnection: close\r\n\r\n");
  expect(await text(kept)).toMatch(/^HTTP\/1\.1 200 /);
});

it("files that are being read when it stops open nothing any more", async () => {
  const { deps } = await started();
  const sockets = createSockets(() => undefined);
  const opened: string[] = [];
  const doors: Sockets = {
    ...sockets,
    open(listener, ...rest) {
      opened.push(listener);
      return sockets.open(listener, ...rest);
    },
  };
  const reading = Promise.withResolvers<SecureContextOptions>();
  let isReadable = false;
  const loadTls = () => (isReadable ? reading.promise : Promise.reject(new Error("not yet")));
  const cfg = { enable: true, bind: "127.0.0.1", port: 0 };
  const port = createSecurePort({ ...deps, loadTls }, doors, cfg);
  await port.start();
  isReadable = true;
  const renewed = port.renew();
  const stopped = port.stop();
  reading.resolve({ key: readPem(tls.key_file), cert: readPem(tls.cert_file) });
  await Promise.all([renewed, stopped]);
  expect(opened).toEqual([]);
  expect(port.tcpPort()).toBeNull();
  await sockets.close();
});

it("a port that is taken fails the start by its name, and nothing stays open", async () => {
  const taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  const { port } = taken.address() as AddressInfo;
  test = await createTestApi({ tls, https: { enable: true, bind: "127.0.0.1", port } });
  await expect(test.api.start()).rejects.toMatchObject({
    code: "LISTENER_BIND_FAILED",
    details: { listener: "https", tcpPort: port },
  });
  expect(test.api.status().ports).toEqual([]);
  taken.close();
});

it("what is no TLS is closed without a word, and costs nobody else anything", async () => {
  const { api } = await started();
  for (const garbage of [
    "GET / HTTP/1.1\r\n\r\n",
    "\u0016\u0003\u0001\u00ff\u00ff",
    "\0".repeat(20_000),
  ]) {
    const socket = connect(portOf("https"), "127.0.0.1");
    socket.on("error", () => undefined);
    const said: Buffer[] = [];
    socket.on("data", (chunk) => said.push(chunk));
    socket.end(garbage, "latin1");
    await once(socket, "close");
    // An alert of TLS at most, never HTTP.
    expect(Buffer.concat(said).toString("latin1")).not.toContain("HTTP");
  }
  expect(await get("/status")).toMatchObject({ status: 200 });
  await expect.poll(() => api.status().connections).toBe(0);
});

it("a handshake has as long as headers have, and its connection counts like any other", async () => {
  const limits = { headersMs: 200, requestMs: 300, idleMs: 5000, maxConnections: 1 };
  const sockets = createSockets((_, response) => response.end("ok"), limits);
  const { key_file: key, cert_file: cert } = tls;
  const port = await sockets.open("https", "127.0.0.1", 0, {
    key: readPem(key),
    cert: readPem(cert),
  });
  const startMs = performance.now();
  const silent = connect(port, "127.0.0.1");
  await once(silent, "connect");
  await expect.poll(() => sockets.connections()).toBe(1);
  const refused = connect(port, "127.0.0.1");
  refused.on("error", () => undefined);
  await once(refused.resume(), "close");
  await once(silent.resume(), "close");
  expect(performance.now() - startMs).toBeLessThan(2000);
  const secured = connectTls({ host: "127.0.0.1", port, rejectUnauthorized: false });
  await once(secured, "secureConnect");
  await sockets.close();
  await expect.poll(() => sockets.connections()).toBe(0);
  secured.destroy();
});
