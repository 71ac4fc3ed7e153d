import assert from "node:assert/strict";
import {
  ackPacket,
  connectPacket,
  disconnectPacket,
  PINGREQ,
  publishPacket,
  subscribePacket,
  unsubscribePacket,
} from "./packets.ts";
import { suite } from "./suite.ts";
import { bytes } from "./wire.ts";

const rule = suite();

rule(
  "a packet with wrong flags in its fixed header closes the connection {3.1.1 [MQTT-2.2.2-1] [MQTT-2.2.2-2]} {5.0 [MQTT-2.1.3-1]}",
  async (s) => {
    const packets = [
      ackPacket("puback", 1),
      ackPacket("pubrec", 1),
      ackPacket("pubrel", 1),
      ackPacket("pubcomp", 1),
      subscribePacket(s.version, 1, [{ filter: s.topic() }]),
      unsubscribePacket(s.version, 1, [s.topic()]),
      PINGREQ,
      disconnectPacket(s.version),
    ];
    for (const packet of packets) {
      const right = packet.readUInt8() & 15;
      for (const flags of [0, 1, 2, 4, 8, 15]) {
        if (flags === right) continue;
        const client = await s.connect();
        client.send([(packet.readUInt8() & 0xf0) | flags], packet.subarray(1));
        await client.refused(0x81);
      }
    }
    const client = await s.open();
    client.send([0x12], connectPacket(s.version, { clientId: s.id("x") }).subarray(1));
    await client.closed();
  },
);

rule(
  "the server's packets have the flags of the table {3.1.1 [MQTT-2.2.2-1]} {5.0 [MQTT-2.1.3-1]}",
  async (s) => {
    const { client, connack } = await s.connected();
    const first: number[] = [connack.bytes.readUInt8()];
    first.push((await client.subscribe(s.topic())).bytes.readUInt8());
    client.send(publishPacket(s.version, { topic: s.topic("other"), qos: 1, packetId: 7 }));
    first.push((await client.expect("puback")).bytes.readUInt8());
    client.send(publishPacket(s.version, { topic: s.topic("other"), qos: 2, packetId: 7 }));
    first.push((await client.expect("pubrec")).bytes.readUInt8());
    client.send(ackPacket("pubrel", 7));
    first.push((await client.expect("pubcomp")).bytes.readUInt8());
    const publisher = await s.connect();
    await publisher.publish({ topic: s.topic(), qos: 2 });
    const { packetId } = await client.expect("publish");
    client.send(ackPacket("pubrec", packetId));
    first.push((await client.expect("pubrel")).bytes.readUInt8());
    client.send(ackPacket("pubcomp", packetId));
    first.push((await client.unsubscribe(s.topic())).bytes.readUInt8());
    client.send(PINGREQ);
    first.push((await client.expect("pingresp")).bytes.readUInt8());
    assert.deepEqual(first, [0x20, 0x90, 0x40, 0x50, 0x70, 0x62, 0xb0, 0xd0]);
  },
);

rule(
  "a QoS 0 PUBLISH has no Packet Identifier, byte for byte {3.1.1 [MQTT-2.3.1-5]} {5.0 [MQTT-2.2.1-2]}",
  async (s) => {
    const client = await s.connect();
    await client.subscribe(s.topic());
    const sent = publishPacket(s.version, { topic: s.topic(), payload: [0, 7, 0x61] });
    client.send(sent);
    assert.deepEqual((await client.message()).bytes, sent);
    await client.publish({ topic: s.topic(), payload: [0, 7, 0x61], qos: 0 });
    assert.deepEqual((await client.message()).payload, Buffer.from([0, 7, 0x61]));
  },
);

rule(
  "a packet with Packet Identifier 0 closes the connection {3.1.1 [MQTT-2.3.1-1]} {5.0 [MQTT-2.2.1-3]}",
  async (s) => {
    const packets = [
      publishPacket(s.version, { topic: s.topic(), qos: 1, packetId: 0 }),
      publishPacket(s.version, { topic: s.topic(), qos: 2, packetId: 0 }),
      subscribePacket(s.version, 0, [{ filter: s.topic() }]),
      unsubscribePacket(s.version, 0, [s.topic()]),
    ];
    for (const packet of packets) {
      const client = await s.connect();
      client.send(packet);
      await client.refused(0x81, 0x82);
    }
  },
);

rule(
  "messages on their way to a client have different Packet Identifiers, none of them 0 {3.1.1 [MQTT-2.3.1-4]} {5.0 [MQTT-2.2.1-4]}",
  async (s) => {
    const receiver = await s.connect();
    await receiver.subscribe(s.topic());
    const publisher = await s.connect();
    for (let i = 0; i < 20; i++) {
      await publisher.publish({ topic: s.topic(), qos: 1 + (i % 2), payload: `${i}` });
    }
    const ids = new Set<number>();
    for (let i = 0; i < 20; i++) ids.add((await receiver.expect("publish")).packetId);
    assert.equal(ids.size, 20);
    assert(!ids.has(0));
  },
);

rule(
  "no Packet Identifier in use is given out when they wrap around {3.1.1 [MQTT-2.3.1-4]}",
  async (s) => {
    const total = 66_000;
    const batch = 50;
    const receiver = await s.connect();
    await receiver.subscribe({ filter: s.topic(), qos: 1 });
    const publisher = await s.connect();
    receiver.isSilent = true;
    publisher.isSilent = true;
    // Each batch is acknowledged when the next has come, so that identifiers are always in use.
    let before: number[] = [];
    const seen = new Set<number>();
    for (let sent = 0; sent < total; sent += batch) {
      const packets: Buffer[] = [];
      for (let i = 1; i <= batch; i++) {
        packets.push(publishPacket(s.version, { topic: s.topic(), qos: 1, packetId: i }));
      }
      publisher.send(...packets);
      const used = new Set(before);
      const now: number[] = [];
      for (let i = 0; i < batch; i++) {
        const { packetId } = await receiver.expect("publish");
        assert(!used.has(packetId), `${packetId} is in use`);
        used.add(packetId);
        seen.add(packetId);
        now.push(packetId);
      }
      receiver.send(...before.map((packetId) => ackPacket("puback", packetId)));
      before = now;
      for (let i = 1; i <= batch; i++) await publisher.acked("puback", i);
    }
    assert.equal(seen.size, 65_535);
  },
);

rule(
  "an acknowledgement names the identifier of the PUBLISH, SUBSCRIBE or UNSUBSCRIBE it answers {3.1.1 [MQTT-2.3.1-6] [MQTT-2.3.1-7]} {5.0 [MQTT-2.2.1-5] [MQTT-2.2.1-6]}",
  async (s) => {
    const client = await s.connect();
    for (const packetId of [1, 255, 256, 0x1234, 65_535]) {
      client.send(publishPacket(s.version, { topic: s.topic("x"), qos: 1, packetId }));
      await client.acked("puback", packetId);
      client.send(publishPacket(s.version, { topic: s.topic("x"), qos: 2, packetId }));
      await client.acked("pubrec", packetId);
      client.send(ackPacket("pubrel", packetId));
      await client.acked("pubcomp", packetId);
      client.send(subscribePacket(s.version, packetId, [{ filter: s.topic(), qos: 2 }]));
      assert.equal((await client.expect("suback")).packetId, packetId);
      client.send(unsubscribePacket(s.version, packetId, [s.topic()]));
      assert.equal((await client.expect("unsuback")).packetId, packetId);
    }
    await client.subscribe(s.topic());
    const publisher = await s.connect();
    await publisher.publish({ topic: s.topic(), qos: 2 });
    const { packetId } = await client.expect("publish");
    client.send(ackPacket("pubrec", packetId));
    await client.acked("pubrel", packetId);
  },
);

rule(
  "where a packet has no properties, its Property Length is 0 {5.0 [MQTT-2.2.2-1]}",
  async (s) => {
    const client = await s.connect();
    const suback = await client.subscribe({ filter: s.topic(), qos: 1 });
    assert.deepEqual(suback.bytes, bytes([0x90, 4, 0, suback.packetId, 0, 1]));
    client.send(publishPacket(s.version, { topic: s.topic(), qos: 1, packetId: 9 }));
    const packets = [await client.next(), await client.next()];
    const message = packets.find(({ type }) => type === "publish");
    assert(message?.type === "publish");
    const { packetId } = message;
    const expected = publishPacket(s.version, { topic: s.topic(), qos: 1, packetId });
    assert.deepEqual(message.bytes, expected);
    client.send(ackPacket("puback", packetId));
    const unsuback = await client.unsubscribe(s.topic());
    assert.deepEqual(unsuback.bytes, bytes([0xb0, 4, 0, unsuback.packetId, 0, 0]));
  },
);
