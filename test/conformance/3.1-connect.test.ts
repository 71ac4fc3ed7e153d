import assert from "node:assert/strict";
import {
  authPacket,
  connectPacket,
  disconnectPacket,
  PINGREQ,
  publishPacket,
  subscribePacket,
} from "./packets.ts";
import { suite } from "./suite.ts";
import { bytes, frame, text } from "./wire.ts";

const rule = suite();

rule(
  "a first packet that is not CONNECT closes the connection {3.1.1 [MQTT-3.1.0-1]} {5.0 [MQTT-3.1.0-1]}",
  async (s) => {
    const packets = [
      PINGREQ,
      publishPacket(s.version, { topic: s.topic() }),
      publishPacket(s.version, { topic: s.topic(), qos: 1, packetId: 1 }),
      subscribePacket(s.version, 1, [{ filter: s.topic() }]),
      disconnectPacket(s.version),
      authPacket(0x18, { authenticationMethod: "x" }),
    ];
    for (const packet of packets) {
      const client = await s.open();
      client.send(packet);
      await client.closed();
    }
  },
);

rule(
  "a second CONNECT closes the connection {3.1.1 [MQTT-3.1.0-2]} {5.0 [MQTT-3.1.0-2]}",
  async (s) => {
    const client = await s.connect({ clientId: s.id("a") });
    client.send(connectPacket(s.version, { clientId: s.id("a") }));
    await client.refused(0x82);
    const other = await s.connect({ clientId: s.id("b") });
    other.send(connectPacket(s.version, { clientId: s.id("c") }));
    await other.refused(0x82);
  },
);

rule(
  "a CONNECT with another protocol name is not served {3.1.1 [MQTT-3.1.2-1]} {5.0 [MQTT-3.1.2-1]}",
  async (s) => {
    for (const protocolName of ["mqtt", "MQTTX", "MQT", "", "HTTP"]) {
      const client = await s.open("3.1.1");
      client.send(connectPacket(s.version, { protocolName, clientId: s.id("x") }));
      for (const packet of await client.ended()) {
        assert(packet.type === "connack" && packet.code !== 0, "nothing but a refusal is sent");
      }
    }
  },
);

rule(
  "a protocol level nobody serves gets return code 1, which every version reads, and is closed {3.1.1 [MQTT-3.1.2-2]} {5.0 [MQTT-3.1.2-2]}",
  async (s) => {
    for (const level of [0, 1, 2, 3, 6, 7, 0x7f, 0xff]) {
      const client = await s.open("3.1.1");
      client.send(connectPacket(s.version, { level, clientId: s.id("x") }));
      const { code, bytes: packet } = await client.expect("connack");
      assert.equal(code, 1);
      assert.equal(packet.length, 4);
      await client.closed();
    }
  },
);

rule(
  "a CONNECT with its reserved flag set is closed {3.1.1 [MQTT-3.1.2-3]} {5.0 [MQTT-3.1.2-3]}",
  async (s) => {
    const client = await s.open();
    client.begin({ clientId: s.id("x"), flags: 0x03 });
    await client.turnedAway(0x81);
  },
);

rule(
  "Will Flag 1 without all will fields is closed {3.1.1 [MQTT-3.1.2-9]} {5.0 [MQTT-3.1.2-9]}",
  async (s) => {
    const head = bytes(text("MQTT"), [s.isV5 ? 5 : 4, 0x06, 0, 0], s.isV5 ? [0] : []);
    const id = text(s.id("x"));
    const willProperties = s.isV5 ? [0] : [];
    const tails = [bytes(), bytes(willProperties, text("t")), bytes(willProperties, [0, 9, 0x61])];
    for (const tail of tails) {
      const client = await s.open();
      client.send(frame(0x10, head, id, tail));
      await client.turnedAway(0x81);
    }
  },
);

rule(
  "Will Flag 0 with a Will QoS, Will Retain or will fields is closed {3.1.1 [MQTT-3.1.2-11] [MQTT-3.1.2-13] [MQTT-3.1.2-15]} {5.0 [MQTT-3.1.2-11] [MQTT-3.1.2-13]}",
  async (s) => {
    for (const flags of [0x0a, 0x12, 0x1a, 0x22]) {
      const client = await s.open();
      client.begin({ clientId: s.id("x"), flags });
      await client.turnedAway(0x81);
    }
    const client = await s.open();
    client.begin({ clientId: s.id("x"), flags: 0x02, will: { topic: s.topic() } });
    await client.turnedAway(0x81);
  },
);

rule(
  "a Will QoS of 0, 1 and 2 is accepted, one of 3 closed {3.1.1 [MQTT-3.1.2-14]} {5.0 [MQTT-3.1.2-12]}",
  async (s) => {
    for (const qos of [0, 1, 2]) {
      const client = await s.connect({ will: { topic: s.topic(), qos } });
      await client.disconnect();
    }
    for (const retain of [false, true]) {
      const client = await s.open();
      client.begin({ clientId: s.id("x"), will: { topic: s.topic(), qos: 3, retain } });
      await client.turnedAway(0x81);
    }
  },
);

rule(
  "User Name and Password that their flags do not announce, or that are missing, are closed {3.1.1 [MQTT-3.1.2-18] [MQTT-3.1.2-19] [MQTT-3.1.2-20] [MQTT-3.1.2-21]} {5.0 [MQTT-3.1.2-16] [MQTT-3.1.2-17] [MQTT-3.1.2-18] [MQTT-3.1.2-19]}",
  async (s) => {
    const wrong = [
      { flags: 0x02, username: "u" },
      { flags: 0x82, username: "u", password: "p" },
      { flags: 0x82 },
      { flags: 0xc2, username: "u" },
      { flags: 0xc2 },
    ];
    for (const fields of wrong) {
      const client = await s.open();
      client.begin({ clientId: s.id("x"), ...fields });
      await client.turnedAway(0x81);
    }
    for (const fields of [{ username: "u" }, { username: "u", password: "p" }, { username: "" }]) {
      await (await s.connect(fields)).disconnect();
    }
    if (s.isV5) await (await s.connect({ password: "p" })).disconnect();
  },
);

rule("a Password without a User Name is closed {3.1.1 [MQTT-3.1.2-22]}", async (s) => {
  const client = await s.open();
  client.begin({ clientId: s.id("x"), password: "p" });
  await client.closed();
});

interface Seen {
  readonly clientId: string;
  readonly username: string | null;
  readonly password: Buffer | null;
}

const seen: Seen[] = [];
rule(
  "the fields of the payload are read in their order {3.1.1 [MQTT-3.1.3-1]} {5.0 [MQTT-3.1.3-1]}",
  {
    authenticate: async (request) => {
      seen.push(request);
      return "accepted";
    },
  },
  async (s) => {
    const watcher = await s.connect();
    await watcher.subscribe(s.topic());
    const client = await s.connect({
      clientId: s.id("x"),
      will: { topic: s.topic(), payload: "gone" },
      username: "name",
      password: [0, 0xff],
    });
    const found = seen.find(({ clientId }) => clientId === s.id("x"));
    assert.equal(found?.username, "name");
    assert.deepEqual(found?.password, Buffer.from([0, 0xff]));
    await client.drop();
    assert.equal((await watcher.message()).text, "gone");
  },
);
