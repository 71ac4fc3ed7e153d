import assert from "node:assert/strict";
import { publishPacket, subscribePacket, unsubscribePacket } from "./packets.ts";
import { suite } from "./suite.ts";
import { type Bytes, bytes, frame, text, u16, varint } from "./wire.ts";

const rule = suite();

const ILL_FORMED: readonly Bytes[] = [
  [0xed, 0xa0, 0x80], // U+D800
  [0xed, 0xbf, 0xbf], // U+DFFF
  [0xc0, 0xaf], // overlong
  [0xe2, 0x82], // cut off
  [0xff],
  [0xf4, 0x90, 0x80, 0x80], // behind U+10FFFF
];

rule(
  "ill-formed UTF-8 in a topic or filter closes the connection {3.1.1 [MQTT-1.5.3-1]} {5.0 [MQTT-1.5.4-1]}",
  async (s) => {
    for (const ill of ILL_FORMED) {
      const name = bytes(Buffer.from(s.topic()), ill);
      const packets = [
        publishPacket(s.version, { topic: name }),
        subscribePacket(s.version, 1, [{ filter: name }]),
        unsubscribePacket(s.version, 1, [name]),
      ];
      for (const packet of packets) {
        const client = await s.connect();
        client.send(packet);
        await client.refused(0x81);
      }
    }
  },
);

rule(
  "ill-formed UTF-8 in a CONNECT closes the connection {3.1.1 [MQTT-1.5.3-1]} {5.0 [MQTT-1.5.4-1]}",
  async (s) => {
    for (const ill of ILL_FORMED) {
      for (const fields of [{ clientId: ill }, { username: ill }, { will: { topic: ill } }]) {
        const client = await s.open();
        client.begin({ clientId: s.id("x"), ...fields });
        await client.turnedAway(0x81);
      }
    }
  },
);

rule(
  "U+0000 in text closes the connection {3.1.1 [MQTT-1.5.3-2]} {5.0 [MQTT-1.5.4-2]}",
  async (s) => {
    const name = `${s.topic()}\0x`;
    const packets = [
      publishPacket(s.version, { topic: name }),
      subscribePacket(s.version, 1, [{ filter: name }]),
      unsubscribePacket(s.version, 1, [name]),
    ];
    for (const packet of packets) {
      const client = await s.connect();
      client.send(packet);
      await client.refused(0x81);
    }
    for (const fields of [{ clientId: name }, { username: name }, { will: { topic: name } }]) {
      const client = await s.open();
      client.begin({ clientId: s.id("x"), ...fields });
      await client.turnedAway(0x81);
    }
  },
);

rule(
  "text of characters from one to four bytes arrives byte for byte {3.1.1 [MQTT-1.5.3-1]} {5.0 [MQTT-1.5.4-1]}",
  async (s) => {
    const client = await s.connect();
    const name = `${s.topic()}/~é\u0800\ud7ff\ue000\ufffd\u{10000}\u{10fffd}𪛔`;
    await client.subscribe(name);
    await client.publish({ topic: name, payload: "x" });
    assert.equal((await client.message()).topic, name);
  },
);

rule(
  "the bytes EF BB BF are U+FEFF and stay where they are {3.1.1 [MQTT-1.5.3-3]} {5.0 [MQTT-1.5.4-3]}",
  async (s) => {
    for (const name of [`\ufeff${s.topic()}`, `${s.topic()}/\ufeffx`, `${s.topic()}/x\ufeff`]) {
      const marked = await s.connect();
      const bare = await s.connect();
      await marked.subscribe(name);
      await bare.subscribe(name.replace("\ufeff", ""));
      await bare.publish({ topic: name, payload: "x", qos: 1 });
      const { bytes: packet } = await marked.message();
      assert(packet.includes(text(name)), "the topic has its three bytes");
      await bare.quiet();
    }
  },
);

rule(
  "a Variable Byte Integer is sent in its shortest form, whatever the size {5.0 [MQTT-1.5.5-1]}",
  async (s) => {
    const client = await s.connect();
    await client.subscribe(s.topic());
    const fixed = text(s.topic()).length + 1;
    for (const remaining of [127, 128, 16_383, 16_384]) {
      const payload = "x".repeat(remaining - fixed);
      await client.publish({ topic: s.topic(), payload });
      const { bytes: packet } = await client.message();
      assert.deepEqual(packet.subarray(1, -remaining), varint(remaining));
    }
    for (const length of [120, 121, 122, 123, 124]) {
      const properties = { contentType: "x".repeat(length) };
      await client.publish({ topic: s.topic(), properties });
      assert.equal((await client.message()).properties.contentType?.length, length);
    }
  },
);

rule(
  "a Variable Byte Integer longer than it need be is malformed {5.0 [MQTT-1.5.5-1]}",
  async (s) => {
    for (const list of [varint(0, 2), varint(0, 4), bytes(varint(2, 2), [0x01, 0])]) {
      const client = await s.connect();
      client.send(publishPacket(s.version, { topic: s.topic(), rawProperties: list }));
      await client.refused(0x81);
    }
    const id = bytes([0x0b], varint(1, 3));
    const inside = await s.connect();
    inside.send([0x82, 2 + 1 + id.length + 4], [0, 1, id.length], id, [0, 1, 0x61, 0]);
    await inside.refused(0x81);
    const remaining = await s.connect();
    remaining.send([0xc0], varint(0, 2));
    await remaining.refused(0x81);
  },
);

rule("a Variable Byte Integer of five bytes is malformed {5.0 [MQTT-1.5.5-1]}", async (s) => {
  const client = await s.connect();
  client.send([0x30, 0x80, 0x80, 0x80, 0x80, 0x01]);
  await client.refused(0x81);
  const inside = await s.connect();
  const rawProperties = [0x80, 0x80, 0x80, 0x80, 0x01];
  inside.send(publishPacket(s.version, { topic: s.topic(), rawProperties }));
  await inside.refused(0x81);
});

rule("both halves of a string pair are valid text {5.0 [MQTT-1.5.7-1]}", async (s) => {
  for (const ill of [...ILL_FORMED, [0]]) {
    for (const pair of [bytes(text(ill), text("v")), bytes(text("k"), text(ill))]) {
      const client = await s.connect();
      const rawProperties = bytes(varint(pair.length + 1), [0x26], pair);
      client.send(publishPacket(s.version, { topic: s.topic(), rawProperties }));
      await client.refused(0x81);
    }
  }
});

rule(
  "ill-formed UTF-8 in a property of any packet is malformed {5.0 [MQTT-1.5.4-1] [MQTT-1.5.4-2]}",
  async (s) => {
    for (const ill of [...ILL_FORMED, [0x61, 0]]) {
      const reason = bytes([0x1f], text(ill));
      const pair = bytes([0x26], text("k"), text(ill));
      const connecting = await s.open();
      connecting.begin({ clientId: s.id("x"), rawProperties: bytes([pair.length], pair) });
      await connecting.turnedAway(0x81);
      const packets = [
        frame(0xe0, [0x04, reason.length], reason),
        frame(0x40, u16(1), [0x00, reason.length], reason),
        frame(0x82, u16(1), [pair.length], pair, text("a"), [0]),
        frame(0xa2, u16(1), [pair.length], pair, text("a")),
      ];
      for (const packet of packets) {
        const client = await s.connect();
        client.send(packet);
        await client.refused(0x81);
      }
    }
  },
);
