import { describe, expect, it } from "vitest";
import { eventually, forward, subscription, TestBridge } from "./bridge.testing.ts";
import {
  CONNACK_OK,
  CONNACK_SESSION,
  CONNECT,
  frame,
  PUBACK,
  PUBLISH,
  PUBREL,
  publishFrame,
  readPublish,
  type Script,
  ScriptedServer,
} from "./scripted-server.testing.ts";

const PUBREC = 5;
const PUBCOMP = 7;
const DISCONNECT = 14;

/** Protocol level as it stands in CONNECT, behind the protocol name. */
function levelOf(body: Buffer): number {
  return body.readUInt8(2 + body.readUInt16BE(0));
}

function levels(server: ScriptedServer): number[] {
  return server.connections.flatMap(({ packets }) =>
    packets.filter((packet) => packet.type === CONNECT).map((packet) => levelOf(packet.body)),
  );
}

const accept: Script = {
  onPacket: (connection, { type }) => {
    if (type === CONNECT) connection.send(CONNACK_OK);
  },
};

describe("bridge bit", () => {
  it.each([
    [3, 0x83],
    [4, 0x84],
    [5, 5],
  ] as const)("level %i connects as %i", async (version, level) => {
    const connack = version === 5 ? frame(0x20, 0, 0, 0) : CONNACK_OK;
    await using server = await ScriptedServer.start({
      onPacket: (connection, { type }) => {
        if (type === CONNECT) connection.send(connack);
      },
    });
    await using test = await TestBridge.start({ server: server.url, proto_ver: version });
    await test.connected();
    expect(levels(server)).toEqual([level]);
  });

  it("a server that refuses level 0x84 is dialled without it at once, and from then on", async () => {
    await using server = await ScriptedServer.start({
      onPacket: (connection, { type, body }) => {
        if (type !== CONNECT) return;
        if (levelOf(body) === 4) connection.send(CONNACK_OK);
        else connection.socket.end(Buffer.of(0x20, 2, 0, 1));
      },
    });
    await using test = await TestBridge.start({ server: server.url, backoff_min_s: 1 });
    const startedMs = performance.now();
    await test.connected();
    expect(performance.now() - startedMs).toBeLessThan(450);
    expect(levels(server)).toEqual([0x84, 4]);
    test.bridge.setEnabled(false);
    test.bridge.setEnabled(true);
    await test.connected();
    expect(levels(server)).toEqual([0x84, 4, 4]);
  });

  it("a server that closes on it without a word is dialled without it, but asked again later", async () => {
    await using server = await ScriptedServer.start({
      onPacket: (connection, { type, body }) => {
        if (type !== CONNECT) return;
        if (levelOf(body) === 4) connection.send(CONNACK_OK);
        else connection.socket.destroy();
      },
    });
    await using test = await TestBridge.start({ server: server.url });
    await test.connected();
    test.bridge.setEnabled(false);
    test.bridge.setEnabled(true);
    await eventually(() => expect(levels(server)).toEqual([0x84, 4, 0x84, 4]));
    await test.connected();
  });
});

describe("link", () => {
  it.each([
    [2, "client identifier rejected (CONNACK 2)"],
    [3, "server unavailable (CONNACK 3)"],
    [4, "bad user name or password (CONNACK 4)"],
    [5, "not authorised (CONNACK 5)"],
  ])("CONNACK %i reads %s, and the dials get rarer", async (code, words) => {
    await using server = await ScriptedServer.start({
      onPacket: (connection, { type }) => {
        if (type === CONNECT) connection.send(Buffer.of(0x20, 2, 0, code));
      },
    });
    await using test = await TestBridge.start({ server: server.url, backoff_max_s: 60 });
    expect(await test.trouble()).toBe(words);
    const startedMs = performance.now();
    await eventually(() => expect(server.connections).toHaveLength(5));
    expect(performance.now() - startedMs).toBeGreaterThan(100);
  });

  it("the server's own words of MQTT 5.0 are shown, made fit for one line", async () => {
    const reason = "go\naway";
    await using server = await ScriptedServer.start({
      onPacket: (connection, { type }) => {
        if (type === CONNECT) connection.send(frame(0x20, 0, 0x8a, 10, 0x1f, 0, 7, reason));
      },
    });
    await using test = await TestBridge.start({ server: server.url, proto_ver: 5 });
    expect(await test.trouble()).toBe('banned (CONNACK 0x8a): "go away"');
  });

  it("a connection that accepts and breaks at once does not reset the back-off", async () => {
    await using server = await ScriptedServer.start({
      onPacket: (connection, { type }) => {
        if (type === CONNECT) connection.socket.end(CONNACK_OK);
      },
    });
    await using test = await TestBridge.start({ server: server.url, backoff_max_s: 60 });
    const startedMs = performance.now();
    await eventually(() => expect(server.connections).toHaveLength(6));
    expect(performance.now() - startedMs).toBeGreaterThan(250);
    // The newest connection may be up at this very moment.
    await eventually(() =>
      expect(test.status().lastError).toMatch(/^connection closed by 127\.0\.0\.1:/),
    );
  });

  it("what ended the last connection is told until the next one has proved itself", async () => {
    await using server = await ScriptedServer.start({
      onPacket: (connection, { type }) => {
        if (type !== CONNECT) return;
        if (connection.number === 1) connection.socket.end(CONNACK_OK);
        else connection.send(CONNACK_OK);
      },
    });
    await using test = await TestBridge.start({ server: server.url, backoff_max_s: 1 });
    await eventually(() => expect(server.connections).toHaveLength(2));
    await test.connected();
    expect(test.status().lastError).toMatch(/^connection closed by 127/);
    await eventually(() =>
      expect(test.status()).toMatchObject({ state: "connected", lastError: null }),
    );
  });

  it("a half-open connection is found by the keep alive, also under QoS 0 traffic", async () => {
    await using server = await ScriptedServer.start(accept);
    await using test = await TestBridge.start({
      server: server.url,
      keepalive_s: 1,
      forwards: [forward("#")],
    });
    await test.connected();
    const traffic = setInterval(() => void test.bus.send("t", "x", { qos: 0 }), 100);
    try {
      await eventually(() => {
        expect(test.status().lastError).toMatch(/^no answer from 127\.0\.0\.1:\d+ within the keep/);
      }, 4000);
    } finally {
      clearInterval(traffic);
    }
  });

  it("a stop says DISCONNECT, after what was forwarded has been acknowledged", async () => {
    await using server = await ScriptedServer.start({
      onPacket: (connection, { type, body }) => {
        if (type === CONNECT) connection.send(CONNACK_OK);
        if (type !== PUBLISH) return;
        const id = body.subarray(3, 5);
        setImmediate(() => connection.send(frame(0x40, id)));
      },
    });
    const test = await TestBridge.start({ server: server.url, forwards: [forward("#")] });
    await test.connected();
    for (let i = 0; i < 100; i++) await test.bus.send("t", String(i));
    await test.bridge.stop();
    await test.bridge.stop();
    await eventually(() => {
      const types = server.connections[0]?.packets.map((packet) => packet.type) ?? [];
      expect(types.filter((type) => type === PUBLISH)).toHaveLength(100);
      expect(types.at(-1)).toBe(DISCONNECT);
    });
    expect(test.status()).toMatchObject({ state: "disabled", depthMessages: 0, forwarded: 100 });
  });

  it("stopping while it dials, waits or was never started leaves nothing behind", async () => {
    await using server = await ScriptedServer.start({});
    const dialling = await TestBridge.start({ server: server.url });
    await eventually(() => expect(server.connections).toHaveLength(1));
    await dialling.bridge.stop();
    const [connection] = server.connections;
    await eventually(() => expect(connection?.socket.destroyed).toBe(true));
    await using idle = await TestBridge.start({ server: null });
    expect(idle.status()).toMatchObject({
      state: "disabled",
      lastError: "no server is configured",
    });
    await idle.bridge.stop();
  });
});

describe("messages from the cloud", () => {
  it("are acknowledged in the order they came, each when it is stored, without holding up others", async () => {
    const acks: number[] = [];
    await using server = await ScriptedServer.start({
      onPacket: (connection, { type, body }) => {
        if (type === PUBACK || type === PUBREC) acks.push(body.readUInt16BE(0));
        if (type !== CONNECT) return;
        connection.send(CONNACK_OK);
        for (const id of [1, 2, 3]) connection.send(publishFrame("a", String(id), 1, id));
        connection.send(publishFrame("a", "4", 2, 4));
      },
    });
    await using test = await TestBridge.start({ server: server.url });
    test.bridge.setEnabled(false);
    await using other = await TestBridge.start({
      server: server.url,
      subscription: [subscription("#", "", { qos: 2 })],
    });
    const stored = new Map<string, () => void>();
    other.bus.store = ({ payload, origin }) =>
      origin.kind === "bridge"
        ? new Promise((resolve) => stored.set(payload.toString(), resolve))
        : Promise.resolve();
    await eventually(() => expect(other.bus.fromBridge()).toEqual(["a 1", "a 2", "a 3", "a 4"]));
    const store = (text: string) => stored.get(text)?.();
    store("2");
    store("4");
    expect(acks).toEqual([]);
    store("1");
    await eventually(() => expect(acks).toEqual([1, 2]));
    store("3");
    await eventually(() => expect(acks).toEqual([1, 2, 3, 4]));
  });

  it("a QoS 2 message that comes again before PUBREL is published here once [MQTT-4.3.3-2]", async () => {
    const complete: number[] = [];
    const again = Buffer.from(publishFrame("a", "once", 2, 9));
    again[0] = 0x3c; // DUP
    await using server = await ScriptedServer.start({
      onPacket: (connection, { type, body }) => {
        if (type === PUBCOMP) complete.push(body.readUInt16BE(0));
        if (type === CONNECT) {
          connection.send(connection.number === 1 ? CONNACK_OK : CONNACK_SESSION);
          connection.send(connection.number === 1 ? publishFrame("a", "once", 2, 9) : again);
        }
        if (type === PUBREC) {
          if (connection.number === 1) connection.socket.destroy();
          else connection.send(frame(0x62, body.subarray(0, 2)));
        }
      },
    });
    await using test = await TestBridge.start({
      server: server.url,
      subscription: [subscription("#", "", { qos: 2 })],
    });
    await eventually(() => expect(complete).toEqual([9]));
    expect(test.bus.fromBridge()).toEqual(["a once"]);
    const [, second] = server.connections;
    second?.send(publishFrame("a", "new", 2, 9));
    await eventually(() => expect(test.bus.fromBridge()).toEqual(["a once", "a new"]));
  });

  it("a full window stops reading: a flood is not taken into memory", async () => {
    await using server = await ScriptedServer.start(accept);
    await using test = await TestBridge.start({
      server: server.url,
      subscription: [subscription("#")],
    });
    test.bus.store = ({ origin }) =>
      origin.kind === "bridge" ? new Promise(() => {}) : Promise.resolve();
    await test.connected();
    const [connection] = server.connections;
    const message = publishFrame("a", Buffer.alloc(50_000), 0);
    for (let i = 0; i < 2000; i++) connection?.send(message);
    await eventually(() => expect(test.bus.fromBridge().length).toBeGreaterThan(80));
    await eventually(() => expect(connection?.socket.writableNeedDrain).toBe(true));
    expect(test.bus.fromBridge().length).toBeLessThan(100);
  });
});

describe("messages to the cloud", () => {
  it("QoS 2 is resumed where it was: PUBREL alone after a PUBREC, DUP before it", async () => {
    const seen: string[] = [];
    await using server = await ScriptedServer.start({
      onPacket: (connection, packet) => {
        if (packet.type === CONNECT) {
          connection.send(connection.number === 1 ? CONNACK_OK : CONNACK_SESSION);
        }
        if (packet.type === PUBLISH) {
          const { payload, packetId, dup } = readPublish(packet);
          seen.push(`${connection.number} ${payload}${dup ? " dup" : ""}`);
          if (payload === "1" || connection.number > 1) {
            connection.send(frame(0x50, packetId >> 8, packetId & 0xff));
          }
        }
        if (packet.type === PUBREL) {
          seen.push(`${connection.number} release`);
          if (connection.number === 1) connection.socket.destroy();
          else connection.send(frame(0x70, packet.body.subarray(0, 2)));
        }
      },
    });
    await using test = await TestBridge.start({ server: server.url, forwards: [forward("#")] });
    await test.connected();
    await test.bus.send("t", "1", { qos: 2 });
    await test.bus.send("t", "2", { qos: 2 });
    await eventually(() => expect(test.status()).toMatchObject({ depthMessages: 0, forwarded: 2 }));
    expect(seen.filter((it) => it.startsWith("1 ") && it !== "1 2")).toEqual(["1 1", "1 release"]);
    const second = seen.filter((it) => it.startsWith("2 "));
    expect(second).toHaveLength(3);
    expect(second.filter((it) => it === "2 release")).toHaveLength(2);
    expect(second).toContain(seen.includes("1 2") ? "2 2 dup" : "2 2");
  });

  it("a network that takes nothing more costs QoS 0 messages, not memory", async () => {
    await using server = await ScriptedServer.start({
      onPacket: (connection, { type }) => {
        if (type !== CONNECT) return;
        connection.send(CONNACK_OK);
        connection.socket.pause();
      },
    });
    await using test = await TestBridge.start({ server: server.url, forwards: [forward("#")] });
    await test.connected();
    const text = "x".repeat(10_000);
    for (let i = 0; i < 3000; i++) {
      await test.bus.send("t", text, { qos: 0 });
      if (i % 100 === 0) await new Promise(setImmediate);
    }
    const { dropped, forwarded, state } = test.status();
    expect(dropped["link_slow"]).toBeGreaterThan(500);
    expect(Number(dropped["link_slow"]) + forwarded).toBe(3000);
    expect(state).toBe("connected");
  });

  it("10,000 queued messages leave in seconds, in order, and others are not held up", async () => {
    const got: string[] = [];
    await using server = await ScriptedServer.start({
      onPacket: (connection, packet) => {
        if (packet.type === CONNECT) connection.send(CONNACK_OK);
        if (packet.type !== PUBLISH) return;
        const { payload, packetId } = readPublish(packet);
        got.push(payload);
        connection.send(frame(0x40, packetId >> 8, packetId & 0xff));
      },
    });
    await using test = await TestBridge.start({
      server: server.url,
      enable: false,
      forwards: [forward("#")],
    });
    test.bridge.setEnabled(true);
    const texts = Array.from({ length: 10_000 }, (_, index) => String(index));
    for (const text of texts) void test.bus.send("t", text);
    let worstMs = 0;
    let lastMs = performance.now();
    const beat = setInterval(() => {
      const nowMs = performance.now();
      worstMs = Math.max(worstMs, nowMs - lastMs);
      lastMs = nowMs;
    }, 5);
    await eventually(() => expect(got).toHaveLength(10_000), 15_000);
    clearInterval(beat);
    expect(got).toEqual(texts);
    expect(worstMs).toBeLessThan(500);
  });
});
