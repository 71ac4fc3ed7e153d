import assert from "node:assert/strict";
import { ackPacket, PINGREQ, publishPacket } from "./packets.ts";
import { suite } from "./suite.ts";
import { type Bytes, frame, text, u16 } from "./wire.ts";

const rule = suite();

rule(
  "a message that is delivered again has DUP 1 and its identifier {3.1.1 [MQTT-3.3.1-1]} {5.0 [MQTT-3.3.1-1]}",
  async (s) => {
    const first = await s.connect({ clientId: s.id("x"), keep: true });
    await first.subscribe(s.topic());
    const publisher = await s.connect();
    await publisher.publish({ topic: s.topic(), payload: "1", qos: 1 });
    await publisher.publish({ topic: s.topic(), payload: "2", qos: 2 });
    const sent = [await first.expect("publish"), await first.expect("publish")];
    assert.deepEqual(
      sent.map(({ dup }) => dup),
      [false, false],
    );
    await first.drop();
    const second = await s.connect({ clientId: s.id("x"), keep: true });
    const again = await second.messages("1", "2");
    assert.deepEqual(
      again.map(({ dup }) => dup),
      [true, true],
    );
    assert.deepEqual(
      again.map(({ packetId }) => packetId),
      sent.map(({ packetId }) => packetId),
    );
  },
);

rule(
  "a message that waited for its client without being sent has DUP 0 {3.1.1 [MQTT-3.3.1-3]} {5.0 [MQTT-3.3.1-3]}",
  async (s) => {
    const first = await s.connect({ clientId: s.id("x"), keep: true });
    await first.subscribe(s.topic());
    await first.disconnect();
    const publisher = await s.connect();
    await publisher.publish({ topic: s.topic(), payload: "1", qos: 1 });
    await publisher.publish({ topic: s.topic(), payload: "2", qos: 2 });
    const second = await s.connect({ clientId: s.id("x"), keep: true });
    const sent = await second.messages("1", "2");
    assert.deepEqual(
      sent.map(({ dup }) => dup),
      [false, false],
    );
  },
);

rule(
  "DUP on a QoS 0 PUBLISH closes the connection, and is never sent {3.1.1 [MQTT-3.3.1-2]} {5.0 [MQTT-3.3.1-2]}",
  async (s) => {
    const watcher = await s.connect();
    await watcher.subscribe({ filter: s.topic(), qos: 0 });
    const publisher = await s.connect();
    publisher.send(publishPacket(s.version, { topic: s.topic(), qos: 1, dup: true, packetId: 1 }));
    await publisher.acked("puback", 1);
    const message = await watcher.message();
    assert.deepEqual([message.qos, message.dup], [0, false]);
    publisher.send(publishPacket(s.version, { topic: s.topic(), dup: true }));
    await publisher.refused(0x81, 0x82);
    await watcher.quiet();
  },
);

rule(
  "the publisher's DUP is not passed on {3.1.1 [MQTT-3.3.1-3]} {5.0 [MQTT-3.3.1-3]}",
  async (s) => {
    const receiver = await s.connect();
    await receiver.subscribe(s.topic());
    const publisher = await s.connect();
    for (const qos of [1, 2]) {
      await publisher.publish({ topic: s.topic(), payload: "x", qos, dup: true });
      assert.equal((await receiver.message()).dup, false);
    }
  },
);

rule(
  "a PUBLISH with both QoS bits set closes the connection {3.1.1 [MQTT-3.3.1-4]} {5.0 [MQTT-3.3.1-4]}",
  async (s) => {
    for (const retain of [false, true]) {
      for (const dup of [false, true]) {
        const client = await s.connect();
        client.send(
          publishPacket(s.version, { topic: s.topic(), qos: 3, retain, dup, packetId: 1 }),
        );
        await client.refused(0x81);
      }
    }
  },
);

rule(
  "the topic comes first in a PUBLISH and is valid text {3.1.1 [MQTT-3.3.2-1]} {5.0 [MQTT-3.3.2-1]}",
  async (s) => {
    const tail = s.isV5 ? [0] : [];
    const bodies: readonly Bytes[] = [
      [],
      [0],
      [0, 5, 0x61],
      [0xff, 0xff, ...Buffer.from(s.topic()), ...tail],
      [...text([0x61, 0xff]), ...tail],
      [...text("a\0b"), ...tail],
    ];
    for (const body of bodies) {
      const client = await s.connect();
      client.send(frame(0x30, body));
      await client.refused(0x81);
    }
    const client = await s.connect();
    client.send(frame(0x32, text(s.topic()), [0]));
    await client.refused(0x81);
  },
);

rule(
  "a PUBLISH to a topic with a wildcard closes the connection {3.1.1 [MQTT-3.3.2-2] [MQTT-4.7.1-1]} {5.0 [MQTT-3.3.2-2] [MQTT-4.7.0-1]}",
  async (s) => {
    for (const topic of ["#", "+", `${s.topic()}/#`, `${s.topic()}/+/x`, `${s.topic()}#`, "a+b"]) {
      for (const qos of [0, 1, 2]) {
        const client = await s.connect();
        client.send(publishPacket(s.version, { topic, qos, packetId: 1 }));
        await client.refused(0x81, 0x82, 0x90);
      }
    }
  },
);

rule(
  "each message a subscription brings has a topic its filter matches {3.1.1 [MQTT-3.3.2-3]} {5.0 [MQTT-3.3.2-3]}",
  async (s) => {
    const topics = ["a", "a/b", "a/b/c", "b", "b/c", "/a", "a/", "a//c", "A/b"];
    const matching: readonly [string, readonly string[]][] = [
      ["a", ["a"]],
      ["a/b", ["a/b"]],
      ["a/+", ["a/b", "a/"]],
      ["+/b", ["a/b", "A/b"]],
      ["a/#", ["a", "a/b", "a/b/c", "a/", "a//c"]],
      ["+/+/c", ["a/b/c", "a//c"]],
      ["+", ["a", "b"]],
      ["/+", ["/a"]],
      ["#", topics],
    ];
    const publisher = await s.connect();
    for (const [filter, expected] of matching) {
      const receiver = await s.connect();
      await receiver.subscribe(`${s.topic()}/${filter}`);
      for (const topic of topics) {
        await publisher.publish({ topic: `${s.topic()}/${topic}`, payload: topic, qos: 1 });
      }
      for (const topic of expected) {
        const message = await receiver.message();
        assert.equal(message.topic, `${s.topic()}/${topic}`);
        assert.equal(message.text, topic);
      }
      await receiver.quiet();
    }
  },
);

rule(
  "a PUBLISH is answered as its QoS says {3.1.1 [MQTT-3.3.4-1]} {5.0 [MQTT-3.3.4-1]}",
  async (s) => {
    const client = await s.connect();
    client.send(publishPacket(s.version, { topic: s.topic(), qos: 0 }), PINGREQ);
    await client.expect("pingresp");
    client.send(publishPacket(s.version, { topic: s.topic(), qos: 1, packetId: 3 }), PINGREQ);
    await client.acked("puback", 3);
    await client.expect("pingresp");
    client.send(publishPacket(s.version, { topic: s.topic(), qos: 2, packetId: 3 }), PINGREQ);
    await client.acked("pubrec", 3);
    await client.expect("pingresp");
    client.send(ackPacket("pubrel", 3), PINGREQ);
    await client.acked("pubcomp", 3);
    await client.expect("pingresp");
  },
);

rule(
  "overlapping subscriptions deliver with the highest of their QoS {3.1.1 [MQTT-3.3.5-1]} {5.0 [MQTT-3.3.4-2]}",
  async (s) => {
    for (const order of [
      [0, 1, 2],
      [2, 1, 0],
    ]) {
      const receiver = await s.connect();
      const topic = s.topic(order.join(""));
      const filters = [`${topic}/#`, `${topic}/+`, `${topic}/x`];
      for (const [i, qos] of order.entries()) {
        await receiver.subscribe({ filter: filters[i] ?? "", qos });
      }
      const publisher = await s.connect();
      for (const qos of [0, 1, 2]) {
        await publisher.publish({ topic: `${topic}/x`, payload: `${qos}`, qos });
        await publisher.publish({ topic: `${topic}/y`, payload: `${qos}`, qos });
        await publisher.publish({ topic, payload: `${qos}`, qos });
      }
      const highest = Math.max(order[0] ?? 0, order[1] ?? 0);
      for (const qos of [0, 1, 2]) {
        for (const granted of [2, highest, order[0] ?? 0]) {
          const message = await receiver.message();
          assert.equal(message.text, `${qos}`);
          assert.equal(message.qos, Math.min(qos, granted));
        }
      }
      await receiver.quiet();
    }
  },
);

const noForbidden = ({ topic }: { topic: string }) => !topic.includes("forbidden");

rule(
  "a PUBLISH that is not allowed is acknowledged and goes nowhere {3.1.1 [MQTT-3.3.5-2]} {5.0 [MQTT-3.4.2-1] [MQTT-3.5.2-1]}",
  { isAllowed: ({ topic, action }) => action === "subscribe" || noForbidden({ topic }) },
  async (s) => {
    const watcher = await s.connect();
    await watcher.subscribe(`${s.topic()}/#`);
    const client = await s.connect();
    const topic = `${s.topic()}/forbidden`;
    for (const retain of [false, true]) {
      await client.publish({ topic, qos: 0, retain });
      for (const qos of [1, 2]) {
        assert.equal(await client.publish({ topic, qos, retain }), s.isV5 ? 0x87 : 0);
      }
    }
    await client.publish({ topic: `${s.topic()}/free`, payload: "free", qos: 1 });
    await watcher.messages("free");
    const late = await s.connect();
    await late.subscribe(`${s.topic()}/#`);
    await client.publish({ topic: `${s.topic()}/free`, payload: "also", qos: 1 });
    await late.messages("also");
  },
);

rule(
  "where it is said so, a PUBLISH that is not allowed closes the connection {3.1.1 [MQTT-3.3.5-2]} {5.0 [MQTT-3.14.2-1]}",
  { denyAction: "disconnect", isAllowed: noForbidden },
  async (s) => {
    for (const qos of [0, 1, 2]) {
      const client = await s.connect();
      client.send(publishPacket(s.version, { topic: "forbidden", qos, packetId: 1 }));
      await client.refused(0x87);
    }
  },
);

rule(
  "a Subscription Identifier in a client's PUBLISH closes the connection {5.0 [MQTT-3.3.4-6]}",
  async (s) => {
    const client = await s.connect();
    const properties = { subscriptionIdentifiers: [1] };
    client.send(publishPacket(s.version, { topic: s.topic(), properties }));
    await client.refused(0x82);
  },
);

rule(
  "a PUBLISH that cannot hold its identifier or properties closes the connection {5.0 [MQTT-3.3.2-1]}",
  async (s) => {
    const bodies = [
      frame(0x30, text(s.topic())),
      frame(0x30, text(s.topic()), [5, 1]),
      frame(0x32, text(s.topic()), u16(1)),
    ];
    for (const packet of bodies) {
      const client = await s.connect();
      client.send(packet);
      await client.refused(0x81);
    }
  },
);
