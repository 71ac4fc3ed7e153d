import assert from "node:assert/strict";
import { connectPacket, PINGREQ, publishPacket, subscribePacket } from "./packets.ts";
import { suite } from "./suite.ts";
import { bytes, frame, text, varint } from "./wire.ts";

const rule = suite();

rule(
  "CONNACK is the first packet, even where messages wait {3.1.1 [MQTT-3.2.0-1]} {5.0 [MQTT-3.2.0-1] [MQTT-3.2.0-2]}",
  async (s) => {
    const first = await s.connect({ clientId: s.id("x"), keep: true });
    await first.subscribe(s.topic());
    await first.disconnect();
    const publisher = await s.connect();
    await publisher.publish({ topic: s.topic(), payload: "queued", qos: 1 });
    const client = await s.open();
    client.send(
      connectPacket(s.version, {
        clientId: s.id("x"),
        cleanStart: false,
        properties: { sessionExpiryInterval: 60 },
      }),
      subscribePacket(s.version, 1, [{ filter: s.topic("other") }]),
      PINGREQ,
    );
    const types: string[] = [];
    for (let i = 0; i < 4; i++) types.push((await client.next()).type);
    assert.equal(types[0], "connack");
    assert.deepEqual(types.toSorted(), ["connack", "pingresp", "publish", "suback"]);
    client.send(connectPacket(s.version, { clientId: s.id("x") }));
    await client.refused(0x82);
  },
);

rule("the flags of CONNACK are 0 but for Session Present {5.0 [MQTT-3.2.2-1]}", async (s) => {
  for (const flags of [0, 1]) {
    const { client, connack } = await s.connected({ clientId: s.id("x"), keep: true });
    assert.equal(connack.bytes[2], flags);
    await client.disconnect();
  }
  const client = await s.open();
  const refusal = await client.connect({
    clientId: s.id("x"),
    cleanStart: false,
    properties: { authenticationMethod: "none such" },
  });
  assert.equal(refusal.bytes[2], 0);
});

rule("the server tells no Maximum QoS and serves QoS 2 {5.0 [MQTT-3.2.2-9]}", async (s) => {
  const will = { topic: s.topic("will"), qos: 2, retain: true };
  const { client, connack } = await s.connected({ will });
  assert.equal(connack.properties.maximumQoS, undefined);
  assert.notEqual(connack.properties.retainAvailable, 0);
  for (const qos of [0, 1, 2]) {
    assert.deepEqual((await client.subscribe({ filter: s.topic(), qos })).codes, [qos]);
  }
  const publisher = await s.connect();
  await publisher.publish({ topic: s.topic(), qos: 2 });
  assert.equal((await client.message()).qos, 2);
});

rule(
  "a packet over the server's Maximum Packet Size closes the connection {5.0 [MQTT-3.2.2-15]}",
  { mqtt: { max_packet_size_bytes: 1024 } },
  async (s) => {
    const { client, connack } = await s.connected();
    assert.equal(connack.properties.maximumPacketSize, 1024);
    await client.subscribe(s.topic());
    const head = publishPacket(s.version, { topic: s.topic() }).length + 1;
    const fits = "x".repeat(1024 - head);
    await client.publish({ topic: s.topic(), payload: fits });
    await client.messages(fits);
    client.send(publishPacket(s.version, { topic: s.topic(), payload: `${fits}x` }));
    await client.refused(0x95);
    const announcing = await s.connect();
    announcing.send([0x30], varint(100_000_000));
    await announcing.refused(0x95);
  },
);

rule(
  "a Topic Alias over the server's maximum closes the connection {5.0 [MQTT-3.2.2-17] [MQTT-3.3.2-9]}",
  async (s) => {
    const { client, connack } = await s.connected();
    const topicAlias = (connack.properties.topicAliasMaximum ?? 0) + 1;
    client.send(publishPacket(s.version, { topic: s.topic(), properties: { topicAlias } }));
    await client.refused(0x94);
    const largest = await s.connect();
    const properties = { topicAlias: 65_535 };
    largest.send(publishPacket(s.version, { topic: s.topic(), properties }));
    await largest.refused(0x94);
  },
);

rule(
  "a refusal leaves out what would make it larger than the client takes {5.0 [MQTT-3.2.2-19] [MQTT-3.2.2-20]}",
  { authenticate: async () => "not_authorized" },
  async (s) => {
    for (const maximumPacketSize of [5, 6, 10, 20, 30]) {
      const client = await s.open();
      const connack = await client.connect({
        clientId: s.id("x"),
        properties: { maximumPacketSize },
      });
      assert.equal(connack.code, 0x87);
      assert(connack.bytes.length <= maximumPacketSize);
      await client.closed();
    }
  },
);

rule(
  "an Assigned Client Identifier is never one that is in use {5.0 [MQTT-3.2.2-16]}",
  async (s) => {
    const ids = new Set<string>();
    for (let i = 0; i < 10; i++) {
      const { connack } = await s.connected({ clientId: "" });
      ids.add(connack.properties.assignedClientIdentifier ?? "");
    }
    assert.equal(ids.size, 10);
  },
);

rule(
  "a refused CONNECT gets one CONNACK, Session Present 0 and a close {3.1.1 [MQTT-3.2.2-4] [MQTT-3.2.2-5]} {5.0 [MQTT-3.2.0-2] [MQTT-3.2.2-6] [MQTT-3.2.2-7]}",
  async (s) => {
    const client = await s.open("3.1.1");
    client.send(
      frame(0x10, text("MQTT"), [0x63, 0x02, 0, 0], s.isV5 ? [0] : [], text(s.id("x"))),
      bytes(connectPacket(s.version, { clientId: s.id("x") })),
    );
    const connack = await client.expect("connack");
    assert.equal(connack.sessionPresent, false);
    assert.notEqual(connack.code, 0);
    await client.closed();
  },
);
