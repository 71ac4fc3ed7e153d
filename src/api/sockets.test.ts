import { once } from "node:events";
import type { RequestListener } from "node:http";
import { connect, type Socket } from "node:net";
import { afterEach, expect, test } from "vitest";
import { isLoopback } from "./loopback.ts";
import { createSockets, type SocketLimits, type Sockets } from "./sockets.ts";

const QUICK: SocketLimits = { headersMs: 100, requestMs: 300, idleMs: 400, maxConnections: 3 };

let sockets: Sockets;

afterEach(() => sockets.close());

async function open(
  handler: RequestListener = (_, response) => response.end("ok"),
  limits: SocketLimits = QUICK,
) {
  sockets = createSockets(handler, limits);
  return sockets.open("http", "127.0.0.1", 0);
}

/** All a connection receives until it is closed. */
async function untilClosed(socket: Socket): Promise<string> {
  let text = "";
  socket.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk;
  });
  socket.on("error", () => undefined);
  await once(socket, "close");
  return text;
}

test("headers that trickle in end with 400 and a closed connection", async () => {
  const socket = connect(await open(), "127.0.0.1");
  socket.write("POST /api/v1 HTTP/1.1\r\nHost: x\r\nX: ");
  const trickle = setInterval(() => socket.write("x"), 20);
  const text = await untilClosed(socket);
  clearInterval(trickle);
  expect(text).toMatch(/^HTTP\/1\.1 400 Bad Request\r\nContent-Type: application\/json/);
});

test("a body that trickles in ends with a closed connection", async () => {
  const tcpPort = await open((request, response) => {
    request.resume().on("end", () => response.end("ok"));
  });
  const socket = connect(tcpPort, "127.0.0.1");
  socket.write("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n");
  const trickle = setInterval(() => socket.write("x"), 20);
  const text = await untilClosed(socket);
  clearInterval(trickle);
  expect(text).toMatch(/^HTTP\/1\.1 400 /);
});

test("a connection that says nothing is closed", async () => {
  const socket = connect(await open(), "127.0.0.1");
  await untilClosed(socket);
  await expect.poll(() => sockets.connections()).toBe(0);
});

test("an answer nobody takes does not hold its connection for ever", async () => {
  const tcpPort = await open((_, response) => response.end(Buffer.alloc(64 * 1024 * 1024)));
  const socket = connect(tcpPort, "127.0.0.1");
  await once(socket, "connect");
  socket.pause();
  socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  socket.on("error", () => undefined);
  await expect.poll(() => sockets.connections(), { timeout: 10_000 }).toBe(0);
  socket.destroy();
});

test("connections over the limit are closed at once, the others go on", async () => {
  const unhurried = { ...QUICK, headersMs: 20_000, requestMs: 20_000, idleMs: 20_000 };
  const tcpPort = await open((_, response) => response.end("ok"), unhurried);
  const held = Array.from({ length: 3 }, () => connect(tcpPort, "127.0.0.1"));
  await Promise.all(held.map((socket) => once(socket, "connect")));
  await expect.poll(() => sockets.connections()).toBe(3);
  expect(await untilClosed(connect(tcpPort, "127.0.0.1"))).toBe("");
  held[0]?.write("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  expect(await untilClosed(held[0] as Socket)).toMatch(/^HTTP\/1\.1 200 /);
  for (const socket of held) socket.destroy();
});

test.each([
  ["127.0.0.1", true],
  ["127.8.0.1", true],
  ["::1", true],
  ["::ffff:127.0.0.1", true],
  ["::ffff:192.0.2.1", false],
  ["192.0.2.127", false],
  ["::", false],
])("%s is this machine: %s", (address, expected) => {
  expect(isLoopback(address)).toBe(expected);
});
