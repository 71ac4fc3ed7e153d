import assert from "node:assert/strict";
import { ackPacket, PINGREQ, publishPacket, subscribePacket } from "./packets.ts";
import { suite } from "./suite.ts";

const rule = suite();

rule(
  "the server has at most the client's Receive Maximum unacknowledged, and goes on as acknowledgements come {5.0 [MQTT-3.3.4-9] [MQTT-4.9.0-1] [MQTT-4.9.0-2]}",
  async (s) => {
    const publisher = await s.connect();
    for (const receiveMaximum of [1, 2, 5]) {
      for (const keep of [false, true]) {
        const topic = s.topic(`${receiveMaximum}${keep}`);
        const clientId = s.id(`${receiveMaximum}${keep}`);
        const receiver = await s.connect({ clientId, keep, properties: { receiveMaximum } });
        await receiver.subscribe(topic);
        const total = 12;
        for (let i = 0; i < total; i++) {
          await publisher.publish({ topic, payload: `${i}`, qos: 1 + (i % 2) });
        }
        const waiting: { packetId: number; qos: number; text: string }[] = [];
        for (let i = 0; i < receiveMaximum; i++) waiting.push(await receiver.expect("publish"));
        await receiver.quiet();
        for (let next = receiveMaximum; waiting.length > 0; next++) {
          const done = waiting.shift();
          assert(done !== undefined);
          if (done.qos === 1) {
            receiver.send(ackPacket("puback", done.packetId));
          } else {
            receiver.send(ackPacket("pubrec", done.packetId));
            await receiver.acked("pubrel", done.packetId);
            await receiver.quiet();
            receiver.send(ackPacket("pubcomp", done.packetId));
          }
          if (next < total) {
            const packet = await receiver.expect("publish");
            assert.equal(packet.text, `${next}`);
            waiting.push(packet);
          }
          await receiver.quiet();
        }
      }
    }
  },
);

rule(
  "a PUBREC that refuses ends a message and makes room for another {5.0 [MQTT-4.9.0-2]}",
  async (s) => {
    const receiver = await s.connect({ properties: { receiveMaximum: 1 } });
    await receiver.subscribe(s.topic());
    const publisher = await s.connect();
    for (const payload of ["1", "2"])
      await publisher.publish({ topic: s.topic(), payload, qos: 2 });
    const { packetId } = await receiver.expect("publish");
    await receiver.quiet();
    receiver.send(ackPacket("pubrec", packetId, 0x97));
    assert.equal((await receiver.message()).text, "2");
  },
);

rule(
  "the Receive Maximum counts for messages that are sent again too {5.0 [MQTT-3.3.4-9] [MQTT-4.9.0-2]}",
  async (s) => {
    const clientId = s.id("x");
    const first = await s.connect({ clientId, keep: true });
    await first.subscribe(s.topic());
    const publisher = await s.connect();
    for (let i = 0; i < 6; i++) {
      await publisher.publish({ topic: s.topic(), payload: `${i}`, qos: 1 + (i % 2) });
    }
    for (let i = 0; i < 6; i++) await first.expect("publish");
    await first.drop();
    const properties = { receiveMaximum: 2 };
    const second = await s.connect({ clientId, keep: true, properties });
    assert.equal((await second.expect("publish")).text, "0");
    assert.equal((await second.expect("publish")).text, "1");
    await second.quiet();
  },
);

rule(
  "with its quota used up a server still sends and processes everything else {5.0 [MQTT-3.3.4-10] [MQTT-4.9.0-3]}",
  async (s) => {
    const client = await s.connect({ properties: { receiveMaximum: 1 } });
    await client.subscribe(s.topic());
    const publisher = await s.connect();
    await publisher.publish({ topic: s.topic(), payload: "1", qos: 2 });
    await publisher.publish({ topic: s.topic(), payload: "2", qos: 1 });
    const { packetId } = await client.expect("publish");
    client.send(PINGREQ);
    await client.expect("pingresp");
    await client.subscribe(s.topic("other"));
    await client.unsubscribe(s.topic("other"));
    assert.equal((await client.publish({ topic: s.topic("x"), qos: 1 })) & 0x80, 0);
    assert.equal((await client.publish({ topic: s.topic("x"), qos: 2 })) & 0x80, 0);
    await publisher.publish({ topic: s.topic(), payload: "QoS 0", qos: 0 });
    assert.equal((await client.message()).text, "QoS 0");
    client.send(ackPacket("pubrec", packetId));
    await client.acked("pubrel", packetId);
    client.send(subscribePacket(s.version, 999, [{ filter: s.topic("third") }]));
    await client.expect("suback");
    client.send(ackPacket("pubcomp", packetId));
    assert.equal((await client.message()).text, "2");
  },
);

rule(
  "a client with more than the server's Receive Maximum unacknowledged is closed {5.0 [MQTT-3.3.4-7]}",
  { mqtt: { max_awaiting_rel: 5 } },
  async (s) => {
    const { client, connack } = await s.connected();
    const { receiveMaximum = 65_535 } = connack.properties;
    assert.equal(receiveMaximum, 5);
    for (let packetId = 1; packetId <= receiveMaximum; packetId++) {
      client.send(publishPacket(s.version, { topic: s.topic(), qos: 2, packetId }));
      await client.acked("pubrec", packetId);
    }
    client.send(publishPacket(s.version, { topic: s.topic(), qos: 2, packetId: 1, dup: true }));
    await client.acked("pubrec", 1);
    const packetId = receiveMaximum + 1;
    client.send(publishPacket(s.version, { topic: s.topic(), qos: 2, packetId }));
    await client.refused(0x93);
  },
);

rule(
  "retained messages stay within the Receive Maximum too {5.0 [MQTT-3.3.4-9] [MQTT-4.9.0-2]}",
  async (s) => {
    const publisher = await s.connect();
    const names = ["a", "b", "c", "d", "e"];
    for (const name of names) {
      await publisher.publish({
        topic: `${s.topic()}/${name}`,
        payload: name,
        qos: 1,
        retain: true,
      });
    }
    const receiver = await s.connect({ properties: { receiveMaximum: 2 } });
    await receiver.subscribe(`${s.topic()}/+`);
    const found = [await receiver.expect("publish"), await receiver.expect("publish")];
    await receiver.quiet();
    for (const { packetId } of found) {
      receiver.send(ackPacket("puback", packetId));
      if (found.length < names.length) found.push(await receiver.expect("publish"));
      await receiver.quiet();
    }
    assert.deepEqual(found.map(({ text }) => text).toSorted(), names);
  },
);
