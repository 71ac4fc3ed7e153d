import assert from "node:assert/strict";
import { once } from "node:events";
import { createWebSocketStream, WebSocket } from "ws";
import { createListeners, type Listeners } from "../../src/listeners/index.ts";
import { createLog } from "../../src/log/index.ts";
import { systemClock } from "../../src/time/index.ts";
import { connectPacket, PINGREQ, publishPacket, subscribePacket } from "./packets.ts";
import { RawClient } from "./raw-client.ts";
import { type Scene, suite } from "./suite.ts";
import { bytes } from "./wire.ts";

const rule = suite();

const DOOR = {
  enable: false,
  bind: "127.0.0.1",
  port: 0,
  max_connections: 100,
  max_connects_per_s: null,
};

/** Opens a WebSocket listener in front of the scene's broker. */
async function withListener(s: Scene, body: (url: string) => Promise<void>): Promise<void> {
  const listeners: Listeners = createListeners(
    {
      log: createLog({ level: "fatal" }),
      clock: systemClock,
      onConnection: (stream, peer) => s.broker.handle(stream, peer),
    },
    {
      listeners: {
        tcp: DOOR,
        tls: DOOR,
        ws: { ...DOOR, enable: true, path: "/mqtt" },
        wss: { ...DOOR, path: "/mqtt" },
      },
      extra_listeners: {},
      tls: {
        key_file: null,
        cert_file: null,
        ca_file: null,
        key_password: null,
        verify_peer: false,
        fail_if_no_peer_cert: false,
      },
      limits: {
        max_connections: 1000,
        max_connections_per_address: 500,
        max_connects_per_address_per_s: 1000,
      },
      mqtt: { connect_timeout_s: 10, max_packet_size_bytes: 1_048_576 },
    },
  );
  await listeners.start();
  try {
    const [status] = listeners.status();
    await body(`ws://127.0.0.1:${status?.tcpPort}/mqtt`);
  } finally {
    await listeners.stop();
  }
}

async function dial(url: string, protocols: string | string[] = "mqtt"): Promise<WebSocket> {
  const socket = new WebSocket(url, protocols);
  socket.on("error", () => undefined);
  await once(socket, "open");
  return socket;
}

/** Takes the server's packets off a WebSocket whose frames the test sends itself. */
function listen(s: Scene, socket: WebSocket): RawClient {
  return new RawClient(createWebSocketStream(socket), s.version);
}

rule(
  "packets travel in binary frames, in both directions {3.1.1 [MQTT-6.0.0-1]} {5.0 [MQTT-6.0.0-1]}",
  {},
  async (s) => {
    await withListener(s, async (url) => {
      const socket = await dial(url);
      const kinds: boolean[] = [];
      socket.on("message", (_data, isBinary) => kinds.push(isBinary));
      const client = listen(s, socket);
      socket.send(connectPacket(s.version, { clientId: s.id("x") }));
      assert.equal((await client.expect("connack")).code, 0);
      await client.subscribe(s.topic());
      await client.publish({ topic: s.topic(), payload: "x" });
      await client.messages("x");
      await client.quiet();
      assert(kinds.length > 0 && kinds.every((isBinary) => isBinary));
      await client.disconnect();
    });
  },
);

rule(
  "a text frame closes the connection {3.1.1 [MQTT-6.0.0-1]} {5.0 [MQTT-6.0.0-1]}",
  {},
  async (s) => {
    await withListener(s, async (url) => {
      for (const isConnected of [false, true]) {
        const socket = await dial(url);
        const client = listen(s, socket);
        if (isConnected) {
          socket.send(connectPacket(s.version, { clientId: s.id("x") }));
          await client.expect("connack");
        }
        socket.send(PINGREQ.toString("latin1"), { binary: false });
        for (const packet of await client.ended()) assert.equal(packet.type, "disconnect");
      }
    });
  },
);

rule(
  "packets need not begin or end with a frame {3.1.1 [MQTT-6.0.0-2]} {5.0 [MQTT-6.0.0-2]}",
  {},
  async (s) => {
    await withListener(s, async (url) => {
      const whole = bytes(
        connectPacket(s.version, { clientId: s.id("x") }),
        subscribePacket(s.version, 1, [{ filter: s.topic() }]),
        publishPacket(s.version, { topic: s.topic(), payload: "x".repeat(300) }),
        PINGREQ,
      );
      for (const size of [1, 2, 7, 100, whole.length]) {
        const socket = await dial(url);
        const client = listen(s, socket);
        for (let at = 0; at < whole.length; at += size) socket.send(whole.subarray(at, at + size));
        await client.expect("connack");
        const types: string[] = [];
        for (let i = 0; i < 3; i++) types.push((await client.next()).type);
        assert.deepEqual(types.toSorted(), ["pingresp", "publish", "suback"]);
        await client.disconnect();
      }
    });
  },
);

rule(
  "a client that does not offer the subprotocol mqtt is not served {3.1.1 [MQTT-6.0.0-3]} {5.0 [MQTT-6.0.0-3]}",
  {},
  async (s) => {
    await withListener(s, async (url) => {
      for (const protocols of [[], ["amqp"], ["chat", "superchat"]]) {
        const socket = new WebSocket(url, protocols);
        const { promise, resolve } = Promise.withResolvers<void>();
        socket.on("error", () => resolve());
        socket.on("close", () => resolve());
        socket.on("open", () => socket.send(connectPacket(s.version, { clientId: s.id("x") })));
        socket.on("message", () => assert.fail("it is served"));
        await promise;
      }
    });
  },
);

rule(
  "the server selects the subprotocol mqtt {3.1.1 [MQTT-6.0.0-4]} {5.0 [MQTT-6.0.0-4]}",
  {},
  async (s) => {
    await withListener(s, async (url) => {
      for (const protocols of ["mqtt", ["chat", "mqtt"], ["mqtt", "mqttv3.1"]]) {
        const socket = await dial(url, protocols);
        assert.equal(socket.protocol, "mqtt");
        const client = listen(s, socket);
        socket.send(connectPacket(s.version, { clientId: s.id("x") }));
        assert.equal((await client.expect("connack")).code, 0);
        await client.disconnect();
      }
    });
  },
);
