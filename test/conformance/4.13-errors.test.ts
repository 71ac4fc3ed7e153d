import assert from "node:assert/strict";
import { connectPacket, publishPacket } from "./packets.ts";
import { suite } from "./suite.ts";
import { type Bytes, frame, text, u16 } from "./wire.ts";

const rule = suite();

rule(
  "a packet that only a server sends, or that nobody sends, closes the connection {3.1.1 [MQTT-4.8.0-1]} {5.0 [MQTT-4.13.1-1]}",
  async (s) => {
    const none = s.isV5 ? [0] : [];
    const packets = [
      frame(0x00),
      frame(0x20, [0, 0], none),
      frame(0x90, u16(1), none, [0]),
      frame(0xb0, u16(1), none),
      frame(0xd0),
      ...(s.isV5 ? [] : [frame(0xf0), frame(0xf0, [0x18, 0])]),
    ];
    for (const packet of packets) {
      const client = await s.connect();
      client.send(packet);
      await client.refused(0x81, 0x82);
    }
  },
);

rule(
  "a packet with a body it may not have closes the connection {3.1.1 [MQTT-4.8.0-1]} {5.0 [MQTT-4.13.1-1]}",
  async (s) => {
    const packets = [frame(0xc0, [0]), s.isV5 ? frame(0xe0, [0, 0, 0]) : frame(0xe0, [0])];
    for (const packet of packets) {
      const client = await s.connect();
      client.send(packet);
      await client.refused(0x81, 0x82);
    }
  },
);

rule(
  "an error closes the connection it came on with its reason, and no other {3.1.1 [MQTT-4.8.0-1]} {5.0 [MQTT-4.13.1-1] [MQTT-4.13.2-1]}",
  async (s) => {
    const other = await s.connect();
    await other.subscribe(s.topic());
    const none: Bytes = s.isV5 ? [0] : [];
    const errors: readonly [Bytes, number][] = [
      [frame(0x82, u16(1)), s.isV5 ? 0x81 : 0],
      [frame(0x82, u16(1), none), 0x82],
      [frame(0x82, [0]), 0x81],
      [frame(0xa2, u16(1), none), 0x82],
      [frame(0x30), 0x81],
      [frame(0x32, text(s.topic())), 0x81],
      [connectPacket(s.version, { clientId: s.id("x") }), 0x82],
      [publishPacket(s.version, { topic: s.topic(), qos: 3, packetId: 1 }), 0x81],
    ];
    for (const [packet, code] of errors) {
      const client = await s.connect({ will: { topic: s.topic(), payload: "gone" } });
      client.send(packet);
      await client.refused(code);
      await other.messages("gone");
      await other.quiet();
    }
  },
);

rule("a CONNACK that refuses is followed by a close {5.0 [MQTT-4.13.2-1]}", async (s) => {
  const client = await s.open();
  const properties = { authenticationMethod: "none such" };
  const { code } = await client.connect({ clientId: s.id("x"), properties });
  assert(code >= 0x80);
  await client.closed();
});

rule(
  "a message that cannot be stored now is not acknowledged; the connection is closed {3.1.1 [MQTT-4.8.0-2]}",
  { isStoreFull: true },
  async (s) => {
    const keeper = await s.connect({ clientId: s.id("k"), keep: true });
    await keeper.subscribe(s.topic());
    for (const qos of [1, 2]) {
      const publisher = await s.connect();
      publisher.send(publishPacket(s.version, { topic: s.topic(), qos, packetId: 1 }));
      await publisher.closed();
    }
    await keeper.quiet();
  },
);

rule(
  "a message that cannot be stored now is refused with 0x97, and the connection goes on {5.0 [MQTT-3.4.2-1] [MQTT-3.5.2-1]}",
  { isStoreFull: true },
  async (s) => {
    const keeper = await s.connect({ clientId: s.id("k"), keep: true });
    await keeper.subscribe(s.topic());
    const publisher = await s.connect();
    for (const qos of [1, 2, 1]) {
      assert.equal(await publisher.publish({ topic: s.topic(), qos, packetId: 1 }), 0x97);
    }
    await keeper.quiet();
  },
);

rule(
  "a property that a packet may not have, or has twice, closes the connection {5.0 [MQTT-4.13.1-1]}",
  async (s) => {
    const filter = text(s.topic());
    const reason = [0x1f, 0, 1, 0x61];
    const packets: readonly [Bytes, number][] = [
      [frame(0x82, u16(1), [3, 0x21, 0, 1], filter, [0]), 0x81],
      [frame(0x82, u16(1), [4, ...reason], filter, [0]), 0x81],
      [frame(0xa2, u16(1), [2, 0x0b, 1], filter), 0x81],
      [frame(0x40, u16(1), [0, 3, 0x21, 0, 1]), 0x81],
      [frame(0x40, u16(1), [0, 8, ...reason, ...reason]), 0x82],
      [frame(0xe0, [0, 3, 0x21, 0, 1]), 0x81],
      [frame(0xe0, [0, 8, ...reason, ...reason]), 0x82],
      [frame(0xe0, [0, 2, 0x7e, 0]), 0x81],
      [frame(0x82, u16(1), [9, 0x26, 0, 0], filter, [0]), 0x81],
    ];
    for (const [packet, code] of packets) {
      const client = await s.connect();
      client.send(packet);
      await client.refused(code);
    }
  },
);
