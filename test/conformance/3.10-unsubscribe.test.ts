import assert from "node:assert/strict";
import { ackPacket, unsubscribePacket } from "./packets.ts";
import { suite } from "./suite.ts";
import { type Bytes, bytes, frame, text, u16 } from "./wire.ts";

const rule = suite();

rule(
  "an UNSUBSCRIBE with flags other than 0010 closes the connection {3.1.1 [MQTT-3.10.1-1]} {5.0 [MQTT-3.10.1-1]}",
  async (s) => {
    const packet = unsubscribePacket(s.version, 1, [s.topic()]);
    for (const flags of [0, 1, 3, 4, 6, 8, 10, 15]) {
      const client = await s.connect();
      client.send([0xa0 | flags], packet.subarray(1));
      await client.refused(0x81);
    }
  },
);

rule(
  "a filter in UNSUBSCRIBE that is not valid text closes the connection {3.1.1 [MQTT-3.10.3-1]} {5.0 [MQTT-3.10.3-1]}",
  async (s) => {
    for (const bad of [[0xff], [0x61, 0], [0xed, 0xa0, 0x80]] satisfies Bytes[]) {
      const client = await s.connect();
      client.send(unsubscribePacket(s.version, 1, [s.topic(), bad]));
      await client.refused(0x81);
    }
  },
);

rule(
  "an UNSUBSCRIBE without a filter, or with half of one, closes the connection {3.1.1 [MQTT-3.10.3-2]} {5.0 [MQTT-3.10.3-2]}",
  async (s) => {
    const none = await s.connect();
    none.send(unsubscribePacket(s.version, 1, []));
    await none.refused(0x81, 0x82);
    const head = bytes(u16(1), s.isV5 ? [0] : []);
    for (const tail of [[0], [0, 9, 0x61], bytes(text("a"), [0, 5])]) {
      const client = await s.connect();
      client.send(frame(0xa2, head, tail));
      await client.refused(0x81);
    }
  },
);

rule(
  "a filter is deleted when it is the same character by character, and no other is {3.1.1 [MQTT-3.10.4-1]} {5.0 [MQTT-3.10.4-1]}",
  async (s) => {
    const client = await s.connect();
    const publisher = await s.connect();
    const filters = [`${s.topic()}/#`, `${s.topic()}/+`, `${s.topic()}/a`, `${s.topic()}/é`];
    await client.subscribe(filters.map((filter) => ({ filter, qos: 1 })));
    for (const other of ["A", "a/", "/a", "e\u0301", "+/#", "a ", "b"]) {
      const { codes } = await client.unsubscribe(`${s.topic()}/${other}`);
      if (s.isV5) assert.deepEqual(codes, [0x11]);
    }
    for (const filter of filters) {
      await publisher.publish({ topic: `${s.topic()}/a`, payload: "a", qos: 1 });
      if (filter !== filters[3]) await client.messages("a");
      const { codes } = await client.unsubscribe(filter);
      if (s.isV5) assert.deepEqual(codes, [0]);
    }
    await publisher.publish({ topic: `${s.topic()}/a`, payload: "a", qos: 1 });
    await publisher.publish({ topic: `${s.topic()}/é`, payload: "a", qos: 1 });
    await client.quiet();
  },
);

rule(
  "after UNSUBACK nothing more is taken for the client, not even while it is away {3.1.1 [MQTT-3.10.4-2]} {5.0 [MQTT-3.10.4-2]}",
  async (s) => {
    const first = await s.connect({ clientId: s.id("x"), keep: true });
    await first.subscribe(s.topic());
    const publisher = await s.connect();
    await publisher.publish({ topic: s.topic(), payload: "before", qos: 1 });
    await first.messages("before");
    await first.unsubscribe(s.topic());
    for (const qos of [0, 1, 2])
      await publisher.publish({ topic: s.topic(), payload: "after", qos });
    await first.quiet();
    await first.disconnect();
    await publisher.publish({ topic: s.topic(), payload: "after", qos: 1 });
    const second = await s.connect({ clientId: s.id("x"), keep: true });
    await second.quiet();
  },
);

rule(
  "QoS 1 and 2 messages on their way are brought to their end {3.1.1 [MQTT-3.10.4-3]} {5.0 [MQTT-3.10.4-3]}",
  async (s) => {
    const first = await s.connect({ clientId: s.id("x"), keep: true });
    await first.subscribe(s.topic());
    const publisher = await s.connect();
    for (const [payload, qos] of [
      ["1", 1],
      ["2", 2],
      ["3", 2],
    ] as const) {
      await publisher.publish({ topic: s.topic(), payload, qos });
    }
    const sent = [];
    for (let i = 0; i < 3; i++) sent.push(await first.expect("publish"));
    await first.unsubscribe(s.topic());
    const [, two] = sent;
    assert(two !== undefined);
    first.send(ackPacket("pubrec", two.packetId));
    await first.acked("pubrel", two.packetId);
    await first.drop();
    const second = await s.connect({ clientId: s.id("x"), keep: true });
    const again = await second.expect("publish");
    assert.deepEqual([again.text, again.packetId, again.dup], ["1", sent[0]?.packetId, true]);
    await second.acked("pubrel", two.packetId);
    const third = await second.expect("publish");
    assert.deepEqual([third.text, third.packetId, third.dup], ["3", sent[2]?.packetId, true]);
    second.send(ackPacket("puback", again.packetId), ackPacket("pubcomp", two.packetId));
    second.send(ackPacket("pubrec", third.packetId));
    await second.acked("pubrel", third.packetId);
    second.send(ackPacket("pubcomp", third.packetId));
    await second.quiet();
  },
);

rule(
  "an UNSUBSCRIBE is answered with an UNSUBACK of its identifier, even if nothing was deleted {3.1.1 [MQTT-3.10.4-4] [MQTT-3.10.4-5]} {5.0 [MQTT-3.10.4-4] [MQTT-3.10.4-5]}",
  async (s) => {
    const client = await s.connect();
    await client.subscribe(s.topic());
    for (const [packetId, code] of [
      [1, 0],
      [77, 0x11],
      [65_535, 0x11],
    ] as const) {
      client.send(unsubscribePacket(s.version, packetId, [s.topic()]));
      const unsuback = await client.expect("unsuback");
      assert.equal(unsuback.packetId, packetId);
      assert.deepEqual(unsuback.codes, s.isV5 ? [code] : []);
    }
  },
);

rule(
  "several filters are taken as several UNSUBSCRIBEs, with one UNSUBACK and a code for each in their order {3.1.1 [MQTT-3.10.4-6]} {5.0 [MQTT-3.10.4-6] [MQTT-3.11.3-1] [MQTT-3.11.3-2]}",
  async (s) => {
    const client = await s.connect();
    await client.subscribe([
      { filter: s.topic("a"), qos: 1 },
      { filter: s.topic("b"), qos: 1 },
    ]);
    const names = ["none", "a", "none", "b", "a"].map((name) => s.topic(name));
    const { codes } = await client.unsubscribe(...names);
    assert.deepEqual(codes, s.isV5 ? [0x11, 0, 0x11, 0, 0x11] : []);
    for (const topic of names) await client.publish({ topic, qos: 1 });
    await client.quiet();
  },
);
