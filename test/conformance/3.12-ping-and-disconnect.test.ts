import assert from "node:assert/strict";
import { authPacket, connectPacket, disconnectPacket, PINGREQ, publishPacket } from "./packets.ts";
import { suite } from "./suite.ts";
import { bytes, frame, text } from "./wire.ts";

const rule = suite();

rule(
  "a PINGREQ is answered with PINGRESP {3.1.1 [MQTT-3.12.4-1]} {5.0 [MQTT-3.12.4-1]}",
  async (s) => {
    const client = await s.connect();
    client.send(PINGREQ);
    assert.deepEqual((await client.expect("pingresp")).bytes, bytes([0xd0, 0]));
    client.send(PINGREQ, PINGREQ, PINGREQ);
    for (let i = 0; i < 3; i++) await client.expect("pingresp");
    await client.quiet();
  },
);

rule(
  "a DISCONNECT with flags other than 0000 closes the connection with an error {3.1.1 [MQTT-3.14.1-1]} {5.0 [MQTT-3.14.1-1]}",
  async (s) => {
    const watcher = await s.connect();
    await watcher.subscribe(s.topic());
    for (const flags of [1, 2, 4, 8, 15]) {
      const will = { topic: s.topic(), payload: "gone" };
      const client = await s.connect({ will });
      client.send(frame(0xe0 | flags));
      await client.refused(0x81);
      await watcher.messages("gone");
    }
  },
);

const verdict = Promise.withResolvers<"accepted">();
rule(
  "before CONNACK no DISCONNECT is sent, whatever is wrong {5.0 [MQTT-3.14.0-1]}",
  { authenticate: () => verdict.promise },
  async (s) => {
    const openings = [
      PINGREQ,
      frame(0x10, text("MQTT"), [5, 0x03, 0, 0, 0], text("a")),
      frame(0x10, text("MQTT"), [5, 0x02, 0, 0, 0x80]),
      disconnectPacket(s.version),
      bytes([0xff, 0xff, 0xff, 0xff, 0xff]),
      bytes([0x10, 0x80, 0x80, 0x80, 0x80, 0x01]),
      bytes(connectPacket(s.version, { clientId: s.id("y"), level: 9 })),
    ];
    for (const opening of openings) {
      const client = await s.open("3.1.1");
      client.send(opening);
      const packets = await client.ended().catch(() => []);
      assert(packets.every(({ type }) => type !== "disconnect"));
    }
    const waiting = await s.open();
    const again = connectPacket(s.version, { clientId: s.id("x") });
    waiting.send(again, again, frame(0xc1));
    verdict.resolve("accepted");
    assert.equal((await waiting.expect("connack")).code, 0);
    await waiting.refused(0x82);
  },
);

rule(
  "a DISCONNECT with a Reason Code no client may send closes the connection with an error {5.0 [MQTT-3.14.2-1]}",
  async (s) => {
    for (const code of [0x01, 0x05, 0x8b, 0x8d, 0x8e, 0xff]) {
      const client = await s.connect();
      client.send(disconnectPacket(s.version, code));
      await client.refused(0x81, 0x82);
    }
  },
);

rule(
  "a DISCONNECT with one of the client's Reason Codes just ends the connection {5.0 [MQTT-3.14.2-1]}",
  async (s) => {
    for (const code of [0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x95, 0x97, 0x98, 0x99]) {
      const client = await s.connect();
      const reasonString = "enough";
      await client.disconnect(code, code % 2 === 0 ? { reasonString } : undefined);
    }
  },
);

rule(
  "the server's DISCONNECT has a defined Reason Code and no Session Expiry Interval {5.0 [MQTT-3.14.2-1] [MQTT-3.14.2-2]}",
  async (s) => {
    const properties = { sessionExpiryInterval: 100 };
    const client = await s.connect({ clientId: s.id("x"), properties });
    await s.connect({ clientId: s.id("x"), properties });
    const { code, properties: told } = await client.expect("disconnect");
    assert.equal(code, 0x8e);
    assert.equal(told.sessionExpiryInterval, undefined);
    await client.closed();
  },
);

rule(
  "DISCONNECT leaves out what would make it larger than the client takes {5.0 [MQTT-3.14.2-3] [MQTT-3.14.2-4]}",
  async (s) => {
    for (const maximumPacketSize of [16, 17, 20, 25, 30]) {
      const client = await s.connect({ properties: { maximumPacketSize } });
      client.send(authPacket(0x19, { authenticationMethod: "x" }));
      const { bytes: packet } = await client.expect("disconnect");
      assert(packet.length <= maximumPacketSize);
      await client.closed();
    }
  },
);

rule(
  "nothing follows the server's DISCONNECT but the end of the connection {5.0 [MQTT-3.14.4-1] [MQTT-3.14.4-2]}",
  async (s) => {
    const client = await s.connect();
    await client.subscribe(s.topic());
    client.send(
      publishPacket(s.version, { topic: s.topic(), payload: "1" }),
      publishPacket(s.version, { topic: s.topic("#") }),
      publishPacket(s.version, { topic: s.topic(), payload: "2", qos: 1, packetId: 1 }),
      PINGREQ,
    );
    const types = (await client.ended()).map(({ type }) => type);
    assert.equal(types.at(-1), "disconnect");
    assert.equal(types.filter((type) => type === "disconnect").length, 1);
    assert(!types.includes("pingresp") && !types.includes("puback"));
  },
);

rule(
  "behind a client's DISCONNECT nothing is read, and the connection ends {3.1.1 [MQTT-3.14.4-1] [MQTT-3.14.4-2]} {5.0 [MQTT-3.14.4-1] [MQTT-3.14.4-2]}",
  async (s) => {
    const watcher = await s.connect();
    await watcher.subscribe(s.topic());
    const client = await s.connect();
    client.send(
      publishPacket(s.version, { topic: s.topic(), payload: "before" }),
      disconnectPacket(s.version),
      publishPacket(s.version, { topic: s.topic(), payload: "behind" }),
      PINGREQ,
    );
    await client.closed();
    await watcher.messages("before");
    await watcher.quiet();
  },
);

rule(
  "DISCONNECT with a reason other than 0 does not discard the will, DISCONNECT 0 does {5.0 [MQTT-3.14.4-3]}",
  async (s) => {
    const watcher = await s.connect();
    await watcher.subscribe(s.topic());
    for (const [code, isPublished] of [
      [0x00, false],
      [0x04, true],
      [0x80, true],
    ] as const) {
      const client = await s.connect({ will: { topic: s.topic(), payload: `${code}` } });
      await client.disconnect(code);
      if (isPublished) await watcher.messages(`${code}`);
      await watcher.quiet();
    }
  },
);

rule(
  "a DISCONNECT may shorten the session, or keep it where it was to be kept at all {5.0 [MQTT-3.1.2-23] [MQTT-4.1.0-2]}",
  async (s) => {
    const clientId = s.id("x");
    const first = await s.connect({ clientId, keep: true });
    await first.disconnect(0, { sessionExpiryInterval: 0 });
    const second = await s.connected({ clientId, keep: true });
    assert.equal(second.connack.sessionPresent, false);
    await second.client.disconnect(0, { sessionExpiryInterval: 60 });
    const third = await s.connected({ clientId, cleanStart: false });
    assert.equal(third.connack.sessionPresent, true);
    third.client.send(disconnectPacket(s.version, 0, { sessionExpiryInterval: 60 }));
    await third.client.refused(0x82);
  },
);
