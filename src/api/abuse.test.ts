import { once } from "node:events";
import { connect } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { clientInfo } from "../services/fake-broker.testing.ts";
import { ADMIN, createTestApi, type TestApi } from "./test-api.testing.ts";

const SEED = 20_260_101;

let api: TestApi;
let port: number;

beforeAll(async () => {
  api = await createTestApi();
  api.broker.add(clientInfo("c"));
  await api.api.start();
  port = api.api.status().ports[0]?.tcpPort ?? 0;
});

afterAll(() => api.close());

/** Mulberry32: the same numbers for the same seed on every machine. */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const next = randomNumbers(SEED);
const below = (limit: number) => Math.floor(next() * limit);
function pick<T>(items: readonly T[]): T {
  return items[below(items.length)] as T;
}

const NAMES = [
  "req",
  "seq",
  "data",
  "action",
  "force",
  "topic",
  "topics",
  "payload",
  "qos",
  "retain",
  "clientid",
  "encoding",
  "decoding",
  "properties",
  "user_properties",
  "url",
  "tls",
  "websocket",
  "http_server",
  "bridge",
  "forwards",
  "subscription",
  "enable",
  "key",
  "cert",
  "password",
  "keypass",
  "port",
  "parallel",
  "msq_len",
  "max_packet_size",
  "__proto__",
  "constructor",
  "toString",
  "hasOwnProperty",
  "",
];

const LEAVES: readonly unknown[] = [
  null,
  true,
  false,
  0,
  -1,
  1,
  2,
  3,
  2.5,
  1e308,
  65_536,
  2 ** 53,
  "",
  "a/b",
  "a/#",
  "#",
  "$SYS/x",
  "../../etc/passwd",
  "\u0000",
  "\ud800",
  "\u202egpj.exe",
  "a\r\nb: c",
  "******",
  "scrypt$1$1$1$a$b",
  "nmq-tcp://0.0.0.0:99999",
  "nmq-tcp://[::1]:0",
  "base64",
  "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
  "x".repeat(70_000),
];

function value(depth: number): unknown {
  const kind = next();
  if (depth === 0 || kind < 0.6) return pick(LEAVES);
  if (kind < 0.75) return Array.from({ length: below(4) }, () => value(depth - 1));
  return members(depth - 1);
}

function members(depth: number): Record<string, unknown> {
  return Object.fromEntries(Array.from({ length: below(6) }, () => [pick(NAMES), value(depth)]));
}

function mutated(text: string): string {
  const bytes = Buffer.from(text);
  for (let i = below(4); i > 0 && bytes.length > 0; i--) bytes[below(bytes.length)] = below(256);
  return bytes
    .subarray(0, next() < 0.2 ? below(bytes.length + 1) : bytes.length)
    .toString("latin1");
}

const REQUESTS = [1, 2, 4, 5, 11, 12, 12, 12, 13, 20, 21, 22, 23, 99];

function v1Body(): string {
  const request = { ...members(3), req: next() < 0.9 ? pick(REQUESTS) : value(1), seq: below(9) };
  const text = JSON.stringify(next() < 0.95 ? request : value(2)) ?? "";
  return next() < 0.3 ? mutated(text) : text;
}

const PATHS = [
  "/brokers",
  "/nodes",
  "/clients",
  "/clients/c",
  "/clients/username/x",
  "/subscriptions",
  "/subscriptions/c",
  "/reload",
  "/mqtt/publish",
  "/mqtt/publish_batch",
  "/configuration",
  "/..%2f..%2fetc",
  "/%00",
  "/clients/%ff",
  "/__proto__",
  "?__proto__[x]=1&constructor=2",
  "/clients?conn_state[]=connected&proto_ver=%00",
];

function v4Body(): string {
  const body = next() < 0.3 ? [members(2), value(2)] : { ...members(3), data: members(2) };
  const text = JSON.stringify(body);
  return next() < 0.3 ? mutated(text) : text;
}

const TYPES = ["application/json", "text/plain", ";;", "application/json;charset=utf-7", "a\tb"];

test("thousands of random requests never cause a 5xx (seeded)", { timeout: 120_000 }, async () => {
  const seen = new Map<number, number>();
  for (let i = 0; i < 4_000; i++) {
    const isV1 = next() < 0.6;
    const payload = isV1 ? v1Body() : v4Body();
    const url = isV1 ? pick(["/api/v1", "/api/v1/", "/api/v4"]) : `/api/v4${pick(PATHS)}`;
    const method = pick(isV1 ? ["POST", "POST", "GET"] : ["GET", "POST", "PUT", "DELETE", "PATCH"]);
    const reply = await api.app.inject({
      method: method as "GET",
      url,
      payload,
      headers: { authorization: ADMIN, "content-type": pick(TYPES) },
    });
    const described = `request ${i}: ${method} ${url} ${payload.slice(0, 300)} → ${reply.body}`;
    expect(reply.statusCode, described).toBeLessThan(500);
    if (method !== "HEAD") expect(() => JSON.parse(reply.body), described).not.toThrow();
    seen.set(reply.statusCode, (seen.get(reply.statusCode) ?? 0) + 1);
  }
  expect([...seen.keys()].sort()).toEqual(expect.arrayContaining([200, 400, 404]));
});

test.each([
  ["lists", "[", "]"],
  ["objects", '{"data":', "}"],
])("%s nested as deep as the body allows are refused, not fatal", async (_, open, close) => {
  const depth = Math.floor(130_000 / (open.length + close.length)) - 10;
  const nested = `${open.repeat(depth)}1${close.repeat(depth)}`;
  for (const body of [
    nested,
    `{"req":12,"seq":1,"data":{"url":${nested}}}`,
    `{"req":12,"seq":1,"data":{"bridge":{"forwards":[${nested}]}}}`,
    `{"req":20,"seq":1,"topic":"a","payload":"x","qos":${nested}}`,
    `{"req":20,"seq":1,"topic":"a","payload":"x","properties":{"user_properties":${nested}}}`,
    `{"req":${nested},"seq":1}`,
    `{"req":2,"seq":${nested}}`,
  ]) {
    const { status } = await api.v1(body);
    expect(status).toBe(400);
  }
  const headers = { authorization: ADMIN };
  for (const url of ["/api/v4/mqtt/publish", "/api/v4/reload", "/api/v4/mqtt/publish_batch"]) {
    const payload = `{"topic":"a","payload":"x","qos":${nested},"data":${nested}}`;
    const reply = await api.app.inject({ method: "POST", url, headers, payload });
    expect(reply.statusCode).toBeLessThan(500);
  }
});

test("hundreds of connections with random bytes leave the API serving", async () => {
  const good = `POST /api/v1 HTTP/1.1\r\nHost: x\r\nAuthorization: ${ADMIN}\r\nContent-Length: 17\r\n\r\n{"req":2,"seq":7}`;
  const attack = async () => {
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => undefined);
    const bytes = Buffer.from(good);
    for (let i = below(8); i >= 0; i--) bytes[below(bytes.length)] = below(256);
    socket.end(next() < 0.2 ? Buffer.from(bytes.map(() => below(256))) : bytes);
    socket.resume();
    if (next() < 0.1) socket.destroy();
    await once(socket, "close");
  };
  for (let i = 0; i < 10; i++) await Promise.all(Array.from({ length: 50 }, attack));
  const { status } = await api.v1({ req: 2, seq: 1 });
  expect(status).toBe(200);
  const reply = await fetch(`http://127.0.0.1:${port}/status`);
  expect(reply.status).toBe(200);
});

test("the name of a header, a query or a path from the object prototype is nothing special", async () => {
  for (const name of ["__proto__", "constructor", "toString", "hasOwnProperty"]) {
    const headers = { authorization: ADMIN, [name]: "x" };
    const url = `/api/v4/clients/${name}?${name}=1`;
    const reply = await api.app.inject({ method: "GET", url, headers });
    expect(reply.statusCode).toBe(200);
    expect(reply.json()).toEqual({ code: 0, data: [] });
  }
});
