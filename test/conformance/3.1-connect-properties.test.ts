import assert from "node:assert/strict";
import {
  ackPacket,
  disconnectPacket,
  PINGREQ,
  publishPacket,
  subscribePacket,
  unsubscribePacket,
} from "./packets.ts";
import { suite } from "./suite.ts";

const rule = suite();

rule(
  "a message over a client's Maximum Packet Size is dropped, one of just that size sent {5.0 [MQTT-3.1.2-24] [MQTT-3.1.2-25]}",
  async (s) => {
    const publisher = await s.connect();
    for (const qos of [0, 1, 2]) {
      const topic = s.topic(`${qos}`);
      const head = publishPacket(s.version, { topic, qos, packetId: 1 }).length;
      const maximumPacketSize = 120;
      const properties = { maximumPacketSize };
      const receiver = await s.connect({ clientId: s.id(`${qos}`), keep: true, properties });
      await receiver.subscribe({ filter: topic, qos });
      const fits = "x".repeat(maximumPacketSize - head);
      await publisher.publish({ topic, qos, payload: `${fits}x` });
      await publisher.publish({ topic, qos, payload: fits });
      await publisher.publish({ topic, qos, payload: `${fits}x` });
      await publisher.publish({ topic, qos, payload: "end" });
      await receiver.messages(fits, "end");
      await receiver.disconnect();
      await publisher.publish({ topic, qos: 1, payload: `${fits}xxx` });
      await publisher.publish({ topic, qos: 1, payload: "later" });
      const again = await s.connect({ clientId: s.id(`${qos}`), keep: true, properties });
      if (qos > 0) await again.messages("later");
      await again.disconnect();
      const unlimited = await s.connect({ clientId: s.id(`${qos}`), keep: true });
      await unlimited.quiet();
    }
  },
);

rule(
  "a message that was dropped for its size takes no room in the Receive Maximum {5.0 [MQTT-3.1.2-25]}",
  async (s) => {
    const properties = { maximumPacketSize: 100, receiveMaximum: 1 };
    const receiver = await s.connect({ properties });
    await receiver.subscribe(s.topic());
    const publisher = await s.connect();
    for (let i = 0; i < 5; i++) {
      await publisher.publish({ topic: s.topic(), qos: 2, payload: "x".repeat(200) });
    }
    await publisher.publish({ topic: s.topic(), qos: 2, payload: "end" });
    await receiver.messages("end");
  },
);

rule(
  "a client whose Maximum Packet Size a CONNACK does not fit into is sent no larger one {5.0 [MQTT-3.1.2-24]}",
  async (s) => {
    for (const maximumPacketSize of [1, 2, 4, 5, 8, 10, 15, 20]) {
      const client = await s.open();
      client.begin({ clientId: s.id("x"), properties: { maximumPacketSize } });
      // Whether it is served or not: what is too large for it would fail in the decoder.
      client.send(PINGREQ, disconnectPacket(s.version));
      const packets = await client.ended();
      assert(packets.length === 0 || packets[0]?.type === "connack");
    }
  },
);

rule(
  "a SUBACK or UNSUBACK over the client's Maximum Packet Size is not sent {5.0 [MQTT-3.1.2-24]}",
  async (s) => {
    const filters = Array.from({ length: 60 }, (_, i) => s.topic(`${i}`));
    const packets = [
      subscribePacket(
        s.version,
        1,
        filters.map((filter) => ({ filter })),
      ),
      unsubscribePacket(s.version, 1, filters),
    ];
    for (const packet of packets) {
      const client = await s.connect({ properties: { maximumPacketSize: 40 } });
      client.send(packet, disconnectPacket(s.version));
      await client.ended();
    }
  },
);

rule(
  "Topic Aliases stay within the client's Topic Alias Maximum, and stand for the right topics {5.0 [MQTT-3.1.2-26] [MQTT-3.3.2-11]}",
  async (s) => {
    const receiver = await s.connect({ properties: { topicAliasMaximum: 2 } });
    await receiver.subscribe(`${s.topic()}/#`);
    const publisher = await s.connect();
    const known = new Map<number, string>();
    for (let i = 0; i < 20; i++) {
      const topic = `${s.topic()}/${i % 5}`;
      await publisher.publish({ topic, payload: topic, qos: i % 3 });
      const message = await receiver.message();
      const { topicAlias } = message.properties;
      if (topicAlias !== undefined && message.topic !== "") known.set(topicAlias, message.topic);
      const meant = message.topic === "" ? known.get(topicAlias ?? 0) : message.topic;
      assert.equal(meant, message.text);
    }
  },
);

rule(
  "a client that names no Topic Alias Maximum, or 0, gets no Topic Alias {5.0 [MQTT-3.1.2-27]}",
  async (s) => {
    for (const properties of [{}, { topicAliasMaximum: 0 }]) {
      const client = await s.connect({ properties });
      await client.subscribe(s.topic());
      for (let i = 0; i < 5; i++) {
        await client.publish({ topic: s.topic() });
        const message = await client.message();
        assert.equal(message.topic, s.topic());
        assert.equal(message.properties.topicAlias, undefined);
      }
    }
  },
);

rule("Response Information comes only where it was asked for {5.0 [MQTT-3.1.2-28]}", async (s) => {
  for (const properties of [{}, { requestResponseInformation: 0 }]) {
    const { connack } = await s.connected({ properties });
    assert.equal(connack.properties.responseInformation, undefined);
  }
  await s.connect({ properties: { requestResponseInformation: 1 } });
});

rule(
  "a client that asked for no Problem Information gets it on PUBLISH, CONNACK and DISCONNECT alone {5.0 [MQTT-3.1.2-29]}",
  { isAllowed: ({ topic }) => !topic.includes("forbidden") },
  async (s) => {
    const client = await s.connect({ properties: { requestProblemInformation: 0 } });
    const topic = s.topic("forbidden");
    assert.equal(await client.publish({ topic, qos: 1 }), 0x87);
    assert.equal(await client.publish({ topic, qos: 2 }), 0x87);
    assert.deepEqual((await client.subscribe(topic)).codes, [0x87]);
    assert.deepEqual((await client.unsubscribe(topic)).codes, [0x11]);
    client.send(ackPacket("pubrel", 77));
    assert.equal(await client.acked("pubcomp", 77), 0x92);
    client.send(ackPacket("pubrec", 78));
    assert.equal(await client.acked("pubrel", 78), 0x92);
    await client.subscribe(s.topic());
    const userProperties: [string, string][] = [["a", "b"]];
    await client.publish({ topic: s.topic(), properties: { userProperties } });
    assert.deepEqual((await client.message()).properties.userProperties, userProperties);
  },
);
