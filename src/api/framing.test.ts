import { execFile } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ADMIN, createTestApi, type TestApi } from "./test-api.testing.ts";

const run = promisify(execFile);

let api: TestApi;
let port: number;

beforeEach(async () => {
  api = await createTestApi();
  await api.api.start();
  port = api.api.status().ports[0]?.tcpPort ?? 0;
});

afterEach(() => api.close());

const GOOD = '{"req":2,"seq":7}';

/** Sends raw bytes and resolves with all that comes until the gateway closes or `until` appears. */
async function raw(bytes: string | Buffer, until?: RegExp): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  let answer = "";
  const done = Promise.withResolvers<string>();
  socket.setEncoding("utf8");
  socket.on("data", (chunk: string) => {
    answer += chunk;
    if (until?.test(answer)) done.resolve(answer);
  });
  socket.on("close", () => done.resolve(answer));
  socket.on("error", (err) => (answer === "" ? done.reject(err) : done.resolve(answer)));
  socket.write(bytes);
  try {
    return await done.promise;
  } finally {
    socket.destroy();
  }
}

function post(headers: readonly string[], body: string, path = "/api/v1"): string {
  const lines = [`POST ${path} HTTP/1.1`, "Host: x", `Authorization: ${ADMIN}`, ...headers];
  return `${lines.join("\r\n")}\r\n\r\n${body}`;
}

describe("the example commands of the specification work as they stand", () => {
  const url = () => `http://localhost:${port}/api/v1`;

  test.each([2, 4, 5])("curl with Basic credentials and -d: req %d", async (req) => {
    const args = ["-i", "--basic", "-u", "admin:public", "-X", "POST", url(), "-d"];
    const { stdout } = await run("curl", [...args, `{"req": ${req},"seq": 1111111}`]);
    expect(stdout).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(stdout).toContain(`{"code":0,"seq":1111111,"rep":${req},"data":`);
  });

  test("curl with GET and a body: req 11", async () => {
    const headers = [
      "--header",
      `Authorization: ${ADMIN}`,
      "--header",
      "Content-Type: application/json",
    ];
    const body = '{\n"req": 11,\n"seq": 9999\n}';
    const args = ["-s", "--location", "--request", "GET", url(), ...headers, "--data-raw", body];
    const answer = JSON.parse((await run("curl", args)).stdout);
    expect(answer).toMatchObject({ code: 0, seq: 9999, rep: 11 });
    expect(answer.data.http_server).toMatchObject({ username: "admin", password: "******" });
  });

  test("curl with the whole configuration: req 12", async () => {
    for (const taken of [1883, 8883, 8083, 8084, 8081]) api.held.add(taken);
    const data = {
      url: "nmq-tcp://0.0.0.0:1883",
      num_taskq_thread: 10,
      max_taskq_thread: 10,
      parallel: 10,
      property_size: 32,
      msq_len: 64,
      allow_anonymous: true,
      daemon: false,
      tls: {
        enable: false,
        url: "tls+nmq-tcp://0.0.0.0:8883",
        key_password: null,
        key: null,
        cert: null,
        cacert: null,
        verify_peer: false,
        fail_if_no_peer_cert: false,
      },
      websocket: {
        enable: true,
        url: "nmq-ws://0.0.0.0:8083/mqtt",
        tls_url: "nmq-wss://0.0.0.0:8084/mqtt",
      },
      http_server: { enable: true, port: 8081, username: "admin", password: "public" },
      bridge: {
        bridge_mode: true,
        address: "mqtt-tcp://broker.emqx.io:1883",
        proto_ver: 4,
        clientid: "bridge_client",
        clean_start: true,
        username: "username",
        password: "passwd",
        keepalive: 60,
        parallel: 2,
        forwards: ["topic1/#", "topic2/#"],
        subscription: [
          { topic: "cmd/topic1", qos: 1 },
          { topic: "cmd/topic2", qos: 2 },
        ],
      },
    };
    const headers = [
      "--header",
      `Authorization: ${ADMIN}`,
      "--header",
      "Content-Type: application/json",
    ];
    const body = JSON.stringify({ req: 12, seq: 111, data }, null, 2);
    const args = ["-s", "--location", "--request", "POST", url(), ...headers, "--data-raw", body];
    expect((await run("curl", args)).stdout).toBe('{"code":0,"seq":111,"rep":12}');
    expect(await api.exited).toBe("restart");
    const stored = api.store.stored();
    expect(stored.listeners.tcp).toMatchObject({ bind: "0.0.0.0", port: 1883 });
    expect(stored.bridges["default"]).toMatchObject({ enable: true, max_inflight: 2 });
    expect(stored.bridges["default"]?.subscription).toHaveLength(2);
  });
});

describe("framing (reference §1.1)", () => {
  test("a chunked body is understood", async () => {
    const body = `5\r\n{"req\r\nc\r\n":2,"seq":7}\r\n0\r\n\r\n`;
    const answer = await raw(post(["Transfer-Encoding: chunked", "Connection: close"], body));
    expect(answer).toMatch(/^HTTP\/1\.1 200 /);
    expect(answer).toContain('"seq":7');
  });

  test("Expect: 100-continue is answered before the body", async () => {
    const socket = connect(port, "127.0.0.1");
    socket.setEncoding("utf8");
    socket.write(post([`Content-Length: ${GOOD.length}`, "Expect: 100-continue"], ""));
    const [interim] = await once(socket, "data");
    expect(interim).toMatch(/^HTTP\/1\.1 100 /);
    socket.write(GOOD);
    const [answer] = await once(socket, "data");
    expect(answer).toMatch(/^HTTP\/1\.1 200 /);
    socket.destroy();
  });

  test("an Expect nobody knows is no reason to refuse", async () => {
    const headers = [`Content-Length: ${GOOD.length}`, "Expect: miracles", "Connection: close"];
    expect(await raw(post(headers, GOOD))).toMatch(/^HTTP\/1\.1 200 /);
  });

  test("a connection serves many requests, also several sent at once", async () => {
    const one = post([`Content-Length: ${GOOD.length}`], GOOD);
    const last = post([`Content-Length: ${GOOD.length}`, "Connection: close"], GOOD);
    const answer = await raw(one + one + last);
    expect(answer.match(/HTTP\/1\.1 200 OK/g)).toHaveLength(3);
    expect(answer).toMatch(/Connection: keep-alive/i);
    expect(answer).toMatch(/Content-Length: \d+/i);
  });

  test("GET with a body is read", async () => {
    const bytes = post([`Content-Length: ${GOOD.length}`, "Connection: close"], GOOD);
    expect(await raw(bytes.replace("POST", "GET"))).toMatch(/^HTTP\/1\.1 200 /);
  });

  test("GET without a body is 400 with code 109", async () => {
    const bytes = post(["Connection: close"], "").replace("POST", "GET");
    expect(await raw(bytes)).toMatch(/^HTTP\/1\.1 400 [\s\S]*\{"code":109,"seq":0\}$/);
  });

  test("HTTP/1.0 without a Host is served", async () => {
    const bytes = `POST /api/v1 HTTP/1.0\r\nAuthorization: ${ADMIN}\r\nContent-Length: ${GOOD.length}\r\n\r\n${GOOD}`;
    expect(await raw(bytes)).toMatch(/^HTTP\/1\.1 200 /);
  });

  test.each([
    ["announced", `Content-Length: ${300_000}`, "x".repeat(300_000)],
    ["chunked", "Transfer-Encoding: chunked", `493e0\r\n${"x".repeat(300_000)}\r\n0\r\n\r\n`],
  ])("a body over the limit is answered in JSON: %s", async (_, header, body) => {
    const answer = await raw(post([header], body));
    expect(answer).toMatch(/^HTTP\/1\.1 400 [\s\S]*\{"code":108,"seq":0\}$/);
  });

  test("a huge body is refused before it is sent where the client waits", async () => {
    const answer = await raw(post(["Content-Length: 9000000", "Expect: 100-continue"], ""));
    expect(answer).toMatch(/^HTTP\/1\.1 400 [\s\S]*\{"code":108,"seq":0\}$/);
  });

  test.each([
    ["no HTTP", "hello\r\n\r\n"],
    ["an unknown method", "FETCH /api/v1 HTTP/1.1\r\nHost: x\r\n\r\n"],
    ["headers over the limit", `GET / HTTP/1.1\r\nX: ${"x".repeat(20_000)}\r\n\r\n`],
    ["a NUL in a header", "GET / HTTP/1.1\r\nX: a\0b\r\n\r\n"],
    [
      "two ways to frame a body",
      post(["Content-Length: 5", "Transfer-Encoding: chunked"], "0\r\n\r\n"),
    ],
    ["two lengths", post(["Content-Length: 5", "Content-Length: 6"], "hello!")],
    ["a broken chunk", post(["Transfer-Encoding: chunked"], "zz\r\n")],
    ["a TLS hello", Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 13, 10, 13, 10])],
  ])("what is not HTTP is 400 with JSON: %s", async (_, bytes) => {
    const answer = await raw(bytes);
    expect(answer).toMatch(/^HTTP\/1\.1 400 Bad Request\r\nContent-Type: application\/json\r\n/);
    expect(answer).toMatch(/\{"code":109,"seq":0\}$/);
  });

  test("a client that leaves in the middle of its body is nothing to speak of", async () => {
    const socket = connect(port, "127.0.0.1");
    socket.write(post(["Content-Length: 100"], '{"req":'));
    await once(socket, "connect");
    socket.resetAndDestroy();
    await once(socket, "close");
    expect(await raw(post([`Content-Length: ${GOOD.length}`, "Connection: close"], GOOD))).toMatch(
      /^HTTP\/1\.1 200 /,
    );
  });

  test("a restart asked for over a socket comes after the answer", async () => {
    const body = '{"req":10,"seq":1,"action":"restart"}';
    const bytes = post([`Content-Length: ${body.length}`, "Connection: close"], body);
    const order: string[] = [];
    await Promise.all([raw(bytes).then((answer) => order.push(answer.slice(-27))), api.exited]);
    expect(order).toEqual(['{"code":0,"seq":1,"rep":10}']);
  });
});

describe("the ports", () => {
  test("one application answers on two ports", async () => {
    const two = await createTestApi({ http: { emqx_port: 0 } });
    await two.api.start();
    try {
      const { ports } = two.api.status();
      expect(ports.map(({ name }) => name)).toEqual(["http", "emqx"]);
      for (const { tcpPort } of ports) {
        const reply = await fetch(`http://127.0.0.1:${tcpPort}/status`);
        expect(await reply.json()).toMatchObject({ status: "running" });
      }
    } finally {
      await two.close();
    }
    expect(two.api.status()).toEqual({ ports: [], connections: 0 });
  });

  test("a port that is taken fails the start by its name, and the other is closed again", async () => {
    const taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    const { port: emqx_port } = taken.address() as AddressInfo;
    const two = await createTestApi({ http: { emqx_port } });
    await expect(two.api.start()).rejects.toMatchObject({
      code: "LISTENER_BIND_FAILED",
      details: { listener: "http.emqx", tcpPort: emqx_port },
    });
    expect(two.api.status().ports).toEqual([]);
    taken.close();
    await two.close();
  });

  test("a disabled API opens nothing", async () => {
    const off = await createTestApi({ http: { enable: false } });
    await off.api.start();
    expect(off.api.status().ports).toEqual([]);
    await off.close();
  });

  test("an aborted start leaves nothing open", async () => {
    const aborted = await createTestApi();
    await expect(aborted.api.start(AbortSignal.abort())).rejects.toThrow();
    expect(aborted.api.status().ports).toEqual([]);
    await aborted.close();
  });

  test("stopping twice is safe, and open connections do not hold it up", async () => {
    const idle = connect(port, "127.0.0.1");
    await once(idle, "connect");
    const busy = connect(port, "127.0.0.1");
    await once(busy, "connect");
    busy.write(post(["Content-Length: 100"], "{"));
    const closed = Promise.all([once(idle, "close"), once(busy, "close")]);
    await Promise.all([api.api.stop(), api.api.stop()]);
    await closed;
    await expect(raw("GET / HTTP/1.1\r\n\r\n")).rejects.toThrow(/ECONNREFUSED/);
  });
});

describe("GET /status", () => {
  test("answers without login", async () => {
    const reply = await fetch(`http://127.0.0.1:${port}/status`);
    expect(reply.status).toBe(200);
    expect(await reply.json()).toEqual({
      status: "running",
      ready: true,
      version: "9.8.7",
      uptime_s: expect.any(Number),
      restart_pending: false,
      on_trial: false,
      rolled_back: false,
      node_name: "tidegate@127.0.0.1",
      cluster: "emqxcl",
      broker_status: "started",
      app_status: "running",
      message: "Node tidegate@127.0.0.1 is started\nemqx is running",
    });
  });

  test("is 503 until the gateway is ready", async () => {
    api.state.isReady = false;
    const reply = await fetch(`http://127.0.0.1:${port}/status`);
    expect(reply.status).toBe(503);
    expect(await reply.json()).toMatchObject({ status: "starting", ready: false });
  });
});
