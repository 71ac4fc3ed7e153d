import assert from "node:assert/strict";
import { ackPacket, type PublishFields, publishPacket } from "./packets.ts";
import { suite } from "./suite.ts";

const rule = suite();
const TOTAL = 60;

rule(
  "one client's messages on a topic arrive in their order, for each QoS {3.1.1 [MQTT-4.6.0-5] [MQTT-4.6.0-6]} {5.0 [MQTT-4.6.0-5] [MQTT-4.6.0-6]}",
  async (s) => {
    const texts = Array.from({ length: TOTAL }, (_, i) => `${i}`);
    for (const qos of [0, 1, 2]) {
      const topic = s.topic(`${qos}`);
      const direct = await s.connect();
      await direct.subscribe(topic);
      const durable = await s.connect({ clientId: s.id(`${qos}`), keep: true });
      await durable.subscribe(`${topic}/#`);
      const publisher = await s.connect();
      const packets = texts.map((payload, i) =>
        publishPacket(s.version, { topic, payload, qos, packetId: i + 1 }),
      );
      publisher.send(...packets);
      const received = Promise.all([direct.messages(...texts), durable.messages(...texts)]);
      const ack = qos === 1 ? "puback" : "pubrec";
      for (let i = 1; i <= TOTAL && qos > 0; i++) await publisher.acked(ack, i);
      if (qos === 2) for (let i = 1; i <= TOTAL; i++) publisher.send(ackPacket("pubrel", i));
      await received;
    }
  },
);

rule(
  "messages that waited and those that come meanwhile keep their order {3.1.1 [MQTT-4.6.0-6]} {5.0 [MQTT-4.6.0-5]}",
  async (s) => {
    const first = await s.connect({ clientId: s.id("x"), keep: true });
    await first.subscribe(s.topic());
    await first.disconnect();
    const publisher = await s.connect();
    const send = async (from: number, to: number) => {
      for (let i = from; i < to; i++) {
        await publisher.publish({ topic: s.topic(), payload: `${i}`, qos: 1 });
      }
    };
    await send(0, TOTAL);
    const second = await s.connect({ clientId: s.id("x"), keep: true });
    const publishing = send(TOTAL, 2 * TOTAL);
    await second.messages(...Array.from({ length: 2 * TOTAL }, (_, i) => `${i}`));
    await publishing;
  },
);

rule(
  "messages of mixed QoS keep their order within each QoS {3.1.1 [MQTT-4.6.0-6]} {5.0 [MQTT-4.6.0-5]}",
  async (s) => {
    const receiver = await s.connect({ clientId: s.id("x"), keep: true });
    await receiver.subscribe(s.topic());
    const publisher = await s.connect();
    const packets: PublishFields[] = [];
    for (let i = 0; i < TOTAL; i++) {
      packets.push({ topic: s.topic(), payload: `${i}`, qos: i % 3, packetId: i + 1 });
    }
    publisher.send(...packets.map((packet) => publishPacket(s.version, packet)));
    for (const { qos, packetId = 0 } of packets) {
      if (qos === 2) publisher.send(ackPacket("pubrel", packetId));
    }
    const found: [number, number][] = [];
    for (let i = 0; i < TOTAL; i++) {
      const { text, qos } = await receiver.message();
      found.push([qos, Number(text)]);
    }
    for (const qos of [0, 1, 2]) {
      const numbers = found.filter(([q]) => q === qos).map(([, number]) => number);
      assert.deepEqual(
        numbers,
        numbers.toSorted((a, b) => a - b),
      );
      assert.equal(numbers.length, TOTAL / 3);
    }
  },
);
