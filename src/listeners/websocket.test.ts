import { once } from "node:events";
import { request } from "node:http";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { type ClientOptions, WebSocket } from "ws";
import { createPki, dial, eventually, harness } from "./listeners.testing.ts";

const pki = createPki();
let files: { key: string; cert: string };
beforeAll(() => {
  files = pki.authority("localhost");
});
afterAll(() => pki.remove());

async function start(part: Parameters<typeof harness>[0] = {}) {
  const gateway = harness({
    ...part,
    listeners: { ws: { enable: true }, wss: { enable: true }, ...part.listeners },
    tls: { key_file: files.key, cert_file: files.cert },
  });
  onTestFinished(() => gateway[Symbol.asyncDispose]());
  await gateway.listeners.start();
  return gateway;
}

/** A WebSocket client that notes its fate: open, refused with an HTTP status, closed with a code. */
async function browse(url: string, subprotocols: string | string[], options: ClientOptions = {}) {
  const socket = new WebSocket(url, subprotocols, { rejectUnauthorized: false, ...options });
  onTestFinished(() => socket.terminate());
  let status: number | undefined;
  let code: number | undefined;
  const frames: Buffer[] = [];
  const opened = new Promise<void>((resolve) => {
    socket.once("open", () => resolve());
    socket.once("error", () => resolve());
  });
  socket.on("error", () => {});
  socket.on("unexpected-response", (_, response) => {
    status = response.statusCode;
    socket.terminate();
  });
  socket.on("message", (data) => Buffer.isBuffer(data) && frames.push(data));
  const closed = new Promise<void>((resolve) =>
    socket.once("close", (closeCode) => {
      code = closeCode;
      resolve();
    }),
  );
  await opened;
  return { socket, frames, closed, status: () => status, code: () => code };
}

const UPGRADE = [
  "Host: gateway",
  "Upgrade: websocket",
  "Connection: Upgrade",
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
  "Sec-WebSocket-Version: 13",
];

/** Sends a request head by hand and returns the answer once the gateway has closed. */
async function ask(tcpPort: number, head: readonly string[], options = { isFinished: true }) {
  const { socket, closed, text } = await dial(tcpPort);
  onTestFinished(() => void socket.destroy());
  socket.write(`${head.join("\r\n")}\r\n${options.isFinished ? "\r\n" : ""}`);
  await closed;
  return text();
}

/** A masked client frame (RFC 6455 §5.2) with mask 0. */
function frame(opcode: number, payload: Buffer, isFinal = true): Buffer {
  const length =
    payload.length < 126
      ? [0x80 | payload.length]
      : [0x80 | 126, payload.length >> 8, payload.length & 0xff];
  return Buffer.concat([
    Buffer.from([(isFinal ? 0x80 : 0) | opcode, ...length, 0, 0, 0, 0]),
    payload,
  ]);
}

/** A close frame with a status of 1000 to 1023. */
const CLOSE_FRAME = new RegExp(`${String.fromCharCode(0x88)}.${String.fromCharCode(0x03)}`, "s");

describe.each(["ws", "wss"] as const)("%s", (name) => {
  const url = (tcpPort: number, path = "/mqtt") => `${name}://127.0.0.1:${tcpPort}${path}`;

  test("bytes pass both ways, and the peer is named", async () => {
    const gateway = await start();
    const { socket, frames } = await browse(url(gateway.portOf(name)), "mqtt");
    expect(socket.protocol).toBe("mqtt"); // [MQTT-6.0.0-4]
    const { stream, peer, bytes } = await gateway.arrival();
    expect(peer).toMatchObject({ listener: name, address: "127.0.0.1", certificate: null });
    expect(peer.tcpPort).toBeGreaterThan(0);
    socket.send(Buffer.from("up"));
    await eventually(() => expect(bytes().toString()).toBe("up"));
    stream.write("down");
    await eventually(() => expect(Buffer.concat(frames).toString()).toBe("down"));
  });

  test("an end from either side ends the other, with a close frame", async () => {
    const gateway = await start();
    const first = await browse(url(gateway.portOf(name)), "mqtt");
    const { stream } = await gateway.arrival(0);
    stream.end("last words");
    await first.closed;
    expect(first.code()).toBe(1000);
    expect(Buffer.concat(first.frames).toString()).toBe("last words");
    await eventually(() => expect(stream.closed).toBe(true));
    const second = await browse(url(gateway.portOf(name)), "mqtt");
    const other = await gateway.arrival(1);
    second.socket.send(Buffer.from("bye"));
    second.socket.close();
    await once(other.stream, "close");
    expect(other.bytes().toString()).toBe("bye");
    await eventually(() => expect(gateway.statusOf(name)?.connections).toBe(0));
  });

  test("destroying the stream cuts the connection", async () => {
    const gateway = await start();
    const client = await browse(url(gateway.portOf(name)), "mqtt");
    (await gateway.arrival()).stream.destroy();
    await client.closed;
    expect(client.code()).toBe(1006);
    await eventually(() => expect(gateway.statusOf(name)?.connections).toBe(0));
  });

  test("a client that vanishes ends the stream", async () => {
    const gateway = await start();
    const client = await browse(url(gateway.portOf(name)), "mqtt");
    const { stream } = await gateway.arrival();
    client.socket.terminate();
    await once(stream, "close");
    await eventually(() => expect(gateway.statusOf(name)?.connections).toBe(0));
  });

  test("a wrong path is 404, and the path is taken without its query", async () => {
    const gateway = await start();
    const lost = await browse(url(gateway.portOf(name), "/other"), "mqtt");
    expect(lost.status()).toBe(404);
    await browse(url(gateway.portOf(name), "/mqtt?token=x"), "mqtt");
    await gateway.arrival();
    expect(gateway.statusOf(name)?.refused).toEqual({ http_request: 1 });
  });
});

describe("upgrade", () => {
  const url = (tcpPort: number) => `ws://127.0.0.1:${tcpPort}/mqtt`;

  test.each([[[]], [["chat"]], [["MQTT"]], [["mqttv5", "x-mqtt"]]])(
    "without the subprotocol mqtt it is refused: %j [MQTT-6.0.0-3]",
    async (subprotocols) => {
      const gateway = await start();
      const client = await browse(url(gateway.portOf("ws")), subprotocols);
      expect(client.status()).toBe(400);
      expect(gateway.arrived).toEqual([]);
    },
  );

  test("of several subprotocols mqtt is chosen; MQTT 3.1's own name is known", async () => {
    const gateway = await start();
    const both = await browse(url(gateway.portOf("ws")), ["chat", "mqttv3.1", "mqtt"]);
    expect(both.socket.protocol).toBe("mqtt");
    const old = await browse(url(gateway.portOf("ws")), ["mqttv3.1"]);
    expect(old.socket.protocol).toBe("mqttv3.1");
  });

  test("compression is never negotiated", async () => {
    const gateway = await start();
    const client = await browse(url(gateway.portOf("ws")), "mqtt", { perMessageDeflate: true });
    expect(client.socket.extensions).toBe("");
  });

  test.each([
    ["no key", ["GET /mqtt HTTP/1.1", ...UPGRADE.toSpliced(3, 1), "Sec-WebSocket-Protocol: mqtt"]],
    [
      "an old version",
      [
        "GET /mqtt HTTP/1.1",
        ...UPGRADE.toSpliced(4, 1, "Sec-WebSocket-Version: 7"),
        "Sec-WebSocket-Protocol: mqtt",
      ],
    ],
    [
      "a broken subprotocol list",
      ["GET /mqtt HTTP/1.1", ...UPGRADE, "Sec-WebSocket-Protocol: mqtt,,mqtt"],
    ],
    [
      "another protocol",
      [
        "GET /mqtt HTTP/1.1",
        ...UPGRADE.toSpliced(1, 1, "Upgrade: h2c"),
        "Sec-WebSocket-Protocol: mqtt",
      ],
    ],
    ["another method", ["POST /mqtt HTTP/1.1", ...UPGRADE, "Sec-WebSocket-Protocol: mqtt"]],
    ["MQTT instead of HTTP", ["\x10\x0c\0\x04MQTT\x04\x02\0\x3c\0\0"]],
    ["TLS instead of HTTP", ["\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"]],
    [
      "two lengths",
      ["POST / HTTP/1.1", "Host: a", "Content-Length: 1", "Transfer-Encoding: chunked"],
    ],
  ])("a request with %s is answered 4xx and closed", async (_, head) => {
    const gateway = await start();
    expect(await ask(gateway.portOf("ws"), head)).toMatch(/^HTTP\/1\.1 4\d\d /);
    expect(gateway.statusOf("ws")?.refused).toEqual({ http_request: 1 });
    await eventually(() => expect(gateway.statusOf("ws")?.connections).toBe(0));
  });

  test("headers over 8 KiB are answered 431", async () => {
    const gateway = await start();
    const head = ["GET /mqtt HTTP/1.1", `X-Long: ${"x".repeat(9000)}`];
    expect(await ask(gateway.portOf("ws"), head, { isFinished: false })).toMatch(
      /^HTTP\/1\.1 431 /,
    );
  });

  test.each([
    ["/mqtt", 426],
    ["/", 404],
    ["/mqtt/../etc/passwd", 404],
    ["//mqtt", 404],
    ["/mqttx", 404],
  ])("a plain GET of %s is answered %i and closed", async (path, expected) => {
    const gateway = await start();
    const got = request({ host: "127.0.0.1", port: gateway.portOf("ws"), path });
    got.end();
    const [response] = await once(got, "response");
    response.resume();
    expect(response.statusCode).toBe(expected);
    expect(response.headers.connection).toBe("close");
    await eventually(() => expect(gateway.statusOf("ws")?.connections).toBe(0));
  });
});

describe("messages", () => {
  async function connected(part: Parameters<typeof harness>[0] = {}) {
    const gateway = await start(part);
    const client = await browse(`ws://127.0.0.1:${gateway.portOf("ws")}/mqtt`, "mqtt");
    return { gateway, client, arrived: await gateway.arrival() };
  }

  test("a text message closes the connection [MQTT-6.0.0-1]", async () => {
    const { client, arrived, gateway } = await connected();
    client.socket.send("text");
    client.socket.send(Buffer.from("binary after text"));
    await client.closed;
    expect(client.code()).toBe(1003);
    await eventually(() => expect(arrived.stream.closed).toBe(true));
    expect(arrived.bytes()).toHaveLength(0);
    await eventually(() => expect(gateway.statusOf("ws")?.connections).toBe(0));
  });

  test("packets may be split over messages and share one [MQTT-6.0.0-2]", async () => {
    const { client, arrived } = await connected();
    const bytes = Buffer.from(
      "10 0c 00 04 4d 51 54 54 04 02 00 3c 00 00 c0 00 c0 00".replaceAll(" ", ""),
      "hex",
    );
    for (const byte of bytes) client.socket.send(Buffer.from([byte]));
    client.socket.send(Buffer.alloc(0));
    client.socket.send(bytes);
    await eventually(() => expect(arrived.bytes()).toEqual(Buffer.concat([bytes, bytes])));
  });

  test("a fragmented message with a ping in the middle arrives whole", async () => {
    const gateway = await start();
    const { socket, text } = await dial(gateway.portOf("ws"));
    onTestFinished(() => void socket.destroy());
    const head = ["GET /mqtt HTTP/1.1", ...UPGRADE, "Sec-WebSocket-Protocol: mqtt"];
    // The first frames may come in the same segment as the request.
    socket.write(
      Buffer.concat([
        Buffer.from(`${head.join("\r\n")}\r\n\r\n`),
        frame(2, Buffer.from("one "), false),
        frame(9, Buffer.from("ping")),
        frame(0, Buffer.from("message"), true),
      ]),
    );
    const { bytes } = await gateway.arrival();
    await eventually(() => expect(bytes().toString()).toBe("one message"));
    await eventually(() => expect(text()).toContain("\x8a\x04ping"));
  });

  test.each([
    ["an unmasked frame", Buffer.from([0x82, 0x01, 0x61])],
    ["a reserved opcode", frame(3, Buffer.from("x"))],
    ["a reserved bit", Buffer.from([0xc2, 0x80, 0, 0, 0, 0])],
    ["a length beyond 2^53", Buffer.from([0x82, 0xff, ...Array<number>(8).fill(0xff), 0, 0, 0, 0])],
    ["a continuation of nothing", frame(0, Buffer.from("x"))],
    ["a fragmented ping", frame(9, Buffer.from("x"), false)],
    ["a text frame in pieces", frame(1, Buffer.from("x"), false)],
  ])("%s ends the stream and is answered with a close frame", async (_, bytes) => {
    const gateway = await start();
    const { socket, text, closed } = await dial(gateway.portOf("ws"));
    const head = ["GET /mqtt HTTP/1.1", ...UPGRADE, "Sec-WebSocket-Protocol: mqtt"];
    socket.write(`${head.join("\r\n")}\r\n\r\n`);
    const { stream } = await gateway.arrival();
    socket.write(bytes);
    if (bytes[0] === 0x01) socket.write(frame(0, Buffer.from("y")));
    await eventually(() => expect(stream.closed).toBe(true));
    await eventually(() => expect(text()).toMatch(CLOSE_FRAME));
    socket.end();
    await closed;
    await eventually(() => expect(gateway.statusOf("ws")?.connections).toBe(0));
  });

  test("a message over the largest packet and its margin closes with 1009", async () => {
    const { client, arrived } = await connected({ mqtt: { max_packet_size_bytes: 100_000 } });
    client.socket.send(Buffer.alloc(100_000));
    await eventually(() => expect(arrived.bytes()).toHaveLength(100_000));
    client.socket.send(Buffer.alloc(200_000));
    await client.closed;
    expect(client.code()).toBe(1009);
    await eventually(() => expect(arrived.stream.closed).toBe(true));
  });

  test("a new largest packet holds for connections from then on", async () => {
    const { gateway } = await connected({ mqtt: { max_packet_size_bytes: 1024 } });
    gateway.listeners.setMaxPacketSize(1_000_000);
    const client = await browse(`ws://127.0.0.1:${gateway.portOf("ws")}/mqtt`, "mqtt");
    const { bytes } = await gateway.arrival(1);
    client.socket.send(Buffer.alloc(500_000));
    await eventually(() => expect(bytes()).toHaveLength(500_000));
  });

  test("a message sent in very many pieces is cut before it fills the memory", async () => {
    const { client, arrived } = await connected({ mqtt: { max_packet_size_bytes: 1024 } });
    for (let i = 0; i < 1000; i++) client.socket.send(Buffer.from([0]), { fin: false });
    await client.closed;
    expect(client.code()).toBe(1008);
    await eventually(() => expect(arrived.stream.closed).toBe(true));
  });
});

describe("backpressure", () => {
  test("a peer that does not read is felt by the writer, and gets every byte in order later", async () => {
    const gateway = await start();
    const client = await browse(`ws://127.0.0.1:${gateway.portOf("ws")}/mqtt`, "mqtt");
    const { stream } = await gateway.arrival();
    client.socket.pause();
    const chunk = Buffer.alloc(100_000);
    let written = 0;
    let isFull = false;
    while (!isFull || stream.writableLength < 5_000_000) {
      chunk.fill(written % 251);
      isFull = !stream.write(Buffer.from(chunk)) || isFull;
      written++;
      if (written > 2000) throw new Error("the writer never felt the peer");
      await new Promise(setImmediate);
    }
    expect(isFull).toBe(true);
    client.socket.resume();
    const total = written * chunk.length;
    await eventually(() => {
      const received = client.frames.reduce((sum, part) => sum + part.length, 0);
      expect(received).toBe(total);
    });
    const all = Buffer.concat(client.frames);
    const isInOrder = Array.from({ length: written }, (_, i) =>
      all.subarray(i * chunk.length, (i + 1) * chunk.length).every((byte) => byte === i % 251),
    ).every(Boolean);
    expect(isInOrder).toBe(true);
    expect(stream.writableLength).toBe(0);
  });

  test("a reader that pauses stops the peer, and gets every byte later", async () => {
    const gateway = await start({ mqtt: { max_packet_size_bytes: 1_000_000 } });
    const client = await browse(`ws://127.0.0.1:${gateway.portOf("ws")}/mqtt`, "mqtt");
    const { stream, bytes } = await gateway.arrival();
    stream.pause();
    let sent = 0;
    for (let i = 0; i < 200; i++) {
      client.socket.send(Buffer.alloc(100_000, i));
      sent += 100_000;
    }
    await eventually(() => expect(stream.readableLength).toBeGreaterThan(0));
    // Whatever the kernel holds, our side keeps about one message beyond its mark.
    expect(stream.readableLength).toBeLessThan(1_000_000);
    expect(client.socket.bufferedAmount).toBeGreaterThan(0);
    stream.resume();
    await eventually(() => expect(bytes().length).toBe(sent));
  });

  test("small writes of one turn leave as one frame", async () => {
    const gateway = await start();
    const client = await browse(`ws://127.0.0.1:${gateway.portOf("ws")}/mqtt`, "mqtt");
    const { stream } = await gateway.arrival();
    stream.cork();
    for (let i = 0; i < 1000; i++) stream.write("abc");
    stream.uncork();
    await eventually(() => expect(Buffer.concat(client.frames)).toHaveLength(3000));
    expect(client.frames).toHaveLength(1);
  });

  test("writing to a connection that has gone is an event of the stream", async () => {
    const gateway = await start();
    const client = await browse(`ws://127.0.0.1:${gateway.portOf("ws")}/mqtt`, "mqtt");
    const { stream } = await gateway.arrival();
    client.socket.terminate();
    while (!stream.destroyed) {
      stream.write(Buffer.alloc(10_000));
      await new Promise(setImmediate);
    }
    stream.write("after the end");
    await eventually(() => expect(stream.closed).toBe(true));
  });
});
