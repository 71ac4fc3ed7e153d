import { describe, expect, it } from "vitest";
import { eventually, forward, subscription, TestBridge } from "./bridge.testing.ts";
import {
  CONNACK_OK,
  CONNACK_OK_V5,
  CONNECT,
  frame,
  PUBACK,
  publishFrame,
  type Script,
  ScriptedServer,
  SUBSCRIBE,
} from "./scripted-server.testing.ts";

const CONNACK_V5 = (...properties: number[]) =>
  frame(0x20, 0, 0, properties.length, Buffer.from(properties));

/** A seeded generator (mulberry32), so that a failure can be repeated. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

function afterConnect(...bytes: readonly Buffer[]): Script {
  return {
    onPacket: (connection, { type }) => {
      if (type === CONNECT) connection.send(...bytes);
    },
  };
}

describe("hostile server", () => {
  it.each<[string, 4 | 5, Script, RegExp]>([
    ["garbage", 4, afterConnect(Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n")), /packet before/],
    [
      "half a packet and then nothing",
      4,
      afterConnect(Buffer.of(0x20, 2, 0)),
      /no answer .* within/,
    ],
    ["nothing at all", 4, {}, /no answer from .* within 0.3 s/],
    ["a malformed length", 4, afterConnect(Buffer.of(0x20, 255, 255, 255, 255)), /malformed/],
    [
      "a huge CONNACK",
      4,
      afterConnect(Buffer.of(0x20, 255, 255, 255, 127)),
      /a packet of 268435460 bytes, at most 1048576/,
    ],
    ["an empty CONNACK", 4, afterConnect(Buffer.of(0x20, 0)), /too short/],
    ["an unknown return code", 4, afterConnect(Buffer.of(0x20, 2, 0, 77)), /CONNACK 77/],
    ["a PUBLISH first", 4, afterConnect(publishFrame("a", "b")), /before the CONNACK/],
    ["two CONNACKs", 4, afterConnect(CONNACK_OK, CONNACK_OK), /second CONNACK/],
    ["QoS 3", 4, afterConnect(CONNACK_OK, frame(0x36, 0, 1, "a", 0, 1)), /QoS 3/],
    ["a CONNECT", 4, afterConnect(CONNACK_OK, frame(0x10, 0)), /type 1/],
    ["reserved type 0", 4, afterConnect(CONNACK_OK, frame(0x00, 0)), /type 0/],
    [
      "a topic longer than its packet",
      4,
      afterConnect(CONNACK_OK, frame(0x30, 0, 9, "a")),
      /shorter/,
    ],
    ["wrong flags", 4, afterConnect(CONNACK_OK, Buffer.of(0x41, 2, 0, 1)), /broke the protocol/],
    ["a bad SUBACK code", 4, afterConnect(CONNACK_OK, frame(0x90, 0, 1, 7)), /broke the protocol/],
    ["AUTH", 5, afterConnect(CONNACK_OK_V5, frame(0xf0, 0x18, 0)), /type 15/],
    ["a truncated property", 5, afterConnect(Buffer.of(0x20, 4, 0, 0, 2, 0x13)), /property/],
    [
      "a topic alias nobody offered",
      5,
      afterConnect(CONNACK_OK_V5, frame(0x30, 0, 1, "a", 3, 0x23, 0, 1, "x")),
      /Topic Alias/,
    ],
    [
      "a packet over the limit it was told",
      5,
      afterConnect(CONNACK_OK_V5, Buffer.of(0x30, 255, 255, 127)),
      /a packet of \d+ bytes, at most/,
    ],
    [
      "a DISCONNECT",
      5,
      afterConnect(CONNACK_OK_V5, frame(0xe0, 0x8e, 0)),
      /session taken over \(0x8e\)/,
    ],
  ])("%s: the link says so and backs off", async (_, version, script, words) => {
    await using server = await ScriptedServer.start(script);
    await using test = await TestBridge.start({
      server: server.url,
      proto_ver: version,
      connect_timeout_s: 0.3,
    });
    const seen = new Set<string>();
    await eventually(() => {
      seen.add(test.status().lastError ?? "");
      expect([...seen].some((reason) => words.test(reason))).toBe(true);
    });
    await eventually(() => expect(server.connections.length).toBeGreaterThan(2));
  });

  it("doubled and absurd limits in a CONNACK are passed over", async () => {
    const connack = CONNACK_V5(0x13, 0, 30, 0x13, 0, 40, 0x21, 0, 0, 0x22, 255, 255, 0x24, 1);
    await using server = await ScriptedServer.start(afterConnect(connack));
    await using test = await TestBridge.start({ server: server.url, proto_ver: 5 });
    await test.connected();
  });

  it.each([0, 1, 2, 3, 5, 40])(
    "a server that closes after %i bytes is dialled ever more slowly",
    async (bytes) => {
      const answer = Buffer.concat([CONNACK_OK, publishFrame("a", "x".repeat(100))]);
      await using server = await ScriptedServer.start({
        onPacket: (connection, { type }) => {
          if (type !== CONNECT) return;
          connection.socket.end(answer.subarray(0, bytes));
        },
      });
      await using test = await TestBridge.start({ server: server.url, backoff_max_s: 30 });
      const startedMs = performance.now();
      await eventually(() => expect(server.connections.length).toBeGreaterThanOrEqual(6));
      // 0.02 + 0.04 + … s, half of it by jitter, and twice as many dials while the bridge bit may be
      // what the server dislikes.
      expect(performance.now() - startedMs).toBeGreaterThan(bytes === 0 ? 25 : 150);
      // The newest connection may be up at this very moment.
      await eventually(() =>
        expect(test.status().lastError).toMatch(/^connection (closed|reset) by 127\.0\.0\.1:\d+$/),
      );
    },
  );

  it("a message with a topic that is not UTF-8 is acknowledged, dropped and counted", async () => {
    const acks: number[] = [];
    await using server = await ScriptedServer.start({
      onPacket: (connection, { type, body }) => {
        if (type === PUBACK) acks.push(body.readUInt16BE(0));
        if (type !== CONNECT) return;
        connection.send(CONNACK_OK, publishFrame("a", "1", 1, 1));
        connection.send(publishFrame(Buffer.of(0x61, 0xff), "2", 1, 2));
        connection.send(publishFrame("a\0", "3", 1, 3), publishFrame("a/+", "4", 1, 4));
        connection.send(publishFrame("", "5", 1, 5), publishFrame("a", "6", 1, 6));
      },
    });
    await using test = await TestBridge.start({
      server: server.url,
      subscription: [subscription("#")],
    });
    await eventually(() => expect(acks).toEqual([1, 2, 3, 4, 5, 6]));
    expect(test.bus.fromBridge()).toEqual(["a 1", "a 6"]);
    expect(test.status().dropped).toMatchObject({ invalid_topic: 4 });
  });

  it("a message over max_packet_size_bytes is skipped, acknowledged and counted before MQTT 5.0", async () => {
    const acks: number[] = [];
    const huge = publishFrame("a", Buffer.alloc(5_000_000), 1, 2);
    await using server = await ScriptedServer.start({
      onPacket: (connection, { type, body }) => {
        if (type === PUBACK) acks.push(body.readUInt16BE(0));
        if (type !== CONNECT) return;
        connection.send(CONNACK_OK, publishFrame("a", "1", 1, 1), huge);
        connection.send(publishFrame("a", "3", 1, 3));
      },
    });
    await using test = await TestBridge.start({
      server: server.url,
      max_packet_size_bytes: 100_000,
      subscription: [subscription("#")],
    });
    await eventually(() => expect(acks).toEqual([1, 2, 3]));
    expect(test.bus.fromBridge()).toEqual(["a 1", "a 3"]);
    expect(test.status().dropped).toMatchObject({ too_large: 1 });
  });

  it("a flood of small packets in pieces of every size is taken in order", async () => {
    const random = seeded(7);
    const texts = Array.from({ length: 3000 }, (_, index) => String(index));
    const bytes = Buffer.concat([CONNACK_OK, ...texts.map((text) => publishFrame("a", text))]);
    await using server = await ScriptedServer.start({
      onPacket: (connection, { type }) => {
        if (type !== CONNECT) return;
        for (let at = 0; at < bytes.length; ) {
          const end = at + 1 + Math.floor(random() * 300);
          connection.send(bytes.subarray(at, end));
          at = end;
        }
      },
    });
    await using test = await TestBridge.start({
      server: server.url,
      subscription: [subscription("#")],
    });
    await eventually(() => expect(test.bus.fromBridge()).toEqual(texts.map((text) => `a ${text}`)));
  });

  it("SUBACK without codes, with too many, for nothing, or refusing leaves the bridge at work", async () => {
    const answers: Record<number, (id: Buffer) => Buffer> = {
      1: (id) => frame(0x90, id),
      2: (id) => frame(0x90, id, 0, 0, 0, 0),
      3: () => frame(0x90, 0xff, 0xff, 0),
      4: (id) => frame(0x90, id, 0x80, 1),
    };
    await using server = await ScriptedServer.start({
      onPacket: (connection, { type, body }) => {
        if (type === CONNECT) connection.send(CONNACK_OK);
        const answer = answers[connection.number];
        if (type === SUBSCRIBE && answer !== undefined) {
          connection.send(answer(body.subarray(0, 2)));
          if (connection.number === 3) connection.socket.end();
        }
      },
    });
    await using test = await TestBridge.start({
      server: server.url,
      subscription: [subscription("secret/a"), subscription("open/a")],
    });
    await eventually(() => {
      expect(test.status()).toMatchObject({
        state: "connected",
        lastError: "subscription to secret/a refused by the cloud: unspecified error (0x80)",
      });
    });
    expect(server.connections).toHaveLength(4);
  });

  it.each([4, 5] as const)(
    "2,500 seeded mutations of valid packets end no process, level %i",
    async (version) => {
      const random = seeded(version);
      const properties = version === 5 ? [0] : [];
      const packets = [
        version === 5 ? CONNACK_V5(0x21, 0, 9, 0x13, 0, 30, 0x27, 0, 1, 0, 0, 0x25, 1) : CONNACK_OK,
        frame(0x32, 0, 3, "a/b", 0, 7, ...properties, "payload"),
        frame(0x34, 0, 3, "a/b", 0, 8, ...properties, "payload"),
        version === 5
          ? frame(0x30, 0, 1, "a", 15, 0x26, 0, 1, "k", 0, 1, "v", 0x0b, 3, 2, 0, 0, 0, 9, "x")
          : publishFrame("a", "x"),
        frame(0x40, 0, 1),
        frame(0x50, 0, 1),
        frame(0x62, 0, 8),
        frame(0x70, 0, 1),
        frame(0x90, 0xfd, 0xe9, ...properties, 1),
        frame(0xb0, 0xfd, 0xe9, ...properties),
        frame(0xd0),
        ...(version === 5 ? [frame(0xe0, 0, 0)] : []),
      ];
      const good = packets[0] ?? CONNACK_OK;
      const mutated = (): Buffer => {
        const bytes = Buffer.from(packets[Math.floor(random() * packets.length)] ?? good);
        const edits = 1 + Math.floor(random() * 3);
        for (let i = 0; i < edits; i++) {
          bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
        }
        return random() < 0.2 ? bytes.subarray(0, Math.floor(random() * bytes.length)) : bytes;
      };
      await using server = await ScriptedServer.start({
        onPacket: (connection, { type }) => {
          if (type !== CONNECT) return;
          if (random() < 0.7) connection.send(good);
          for (let i = 0; i < 20; i++) connection.send(mutated());
          connection.socket.end();
        },
      });
      await using test = await TestBridge.start({
        server: server.url,
        proto_ver: version,
        backoff_min_s: 0.001,
        backoff_max_s: 0.005,
        forwards: [forward("t")],
        subscription: [subscription("#", "", { qos: 2, prefix: "x/" })],
        connect_timeout_s: 0.2,
      });
      for (let i = 0; i < 20; i++) await test.bus.send("t", "x", { qos: 1 });
      await eventually(() => expect(server.connections.length).toBeGreaterThan(125), 15_000);
      expect(["connecting", "connected", "waiting"]).toContain(test.status().state);
    },
  );
});
