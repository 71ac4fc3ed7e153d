import assert from "node:assert/strict";
import { ackPacket, publishPacket } from "./packets.ts";
import { suite } from "./suite.ts";

const rule = suite();

rule(
  "on a new connection PUBLISH and PUBREL that are unacknowledged are sent again, in order and with their identifiers {3.1.1 [MQTT-4.4.0-1]} {5.0 [MQTT-4.4.0-1]}",
  async (s) => {
    const clientId = s.id("x");
    const first = await s.connect({ clientId, keep: true });
    await first.subscribe(s.topic());
    const publisher = await s.connect();
    const total = 12;
    const sent = [];
    for (let i = 0; i < total; i++) {
      await publisher.publish({ topic: s.topic(), payload: `${i}`, qos: 1 + (i % 2) });
      sent.push(await first.expect("publish"));
    }
    const released: number[] = [];
    for (const { packetId, qos } of sent.slice(0, 6)) {
      if (qos !== 2) continue;
      first.send(ackPacket("pubrec", packetId));
      await first.acked("pubrel", packetId);
      released.push(packetId);
    }
    await first.drop();
    for (let round = 0; round < 2; round++) {
      const client = await s.connect({ clientId, keep: true });
      for (const { packetId, text, qos } of sent) {
        if (released.includes(packetId)) {
          await client.acked("pubrel", packetId);
          continue;
        }
        const again = await client.expect("publish");
        assert.deepEqual([again.text, again.packetId, again.dup], [text, packetId, true]);
        assert.equal(again.qos, qos);
      }
      await client.quiet();
      await client.drop();
    }
  },
);

rule(
  "within a connection nothing is sent again {3.1.1 [MQTT-4.4.0-1]} {5.0 [MQTT-4.4.0-1]}",
  async (s) => {
    const receiver = await s.connect({ clientId: s.id("x"), keep: true });
    await receiver.subscribe(s.topic());
    const publisher = await s.connect();
    await publisher.publish({ topic: s.topic(), payload: "1", qos: 1 });
    await publisher.publish({ topic: s.topic(), payload: "2", qos: 2 });
    await receiver.expect("publish");
    await receiver.expect("publish");
    await s.elapse(1500);
    await receiver.quiet();
  },
);

rule(
  "a client's session that took a message half keeps that over connections {3.1.1 [MQTT-4.4.0-1]} {5.0 [MQTT-4.4.0-1]}",
  async (s) => {
    const watcher = await s.connect();
    await watcher.subscribe(s.topic());
    const message = { topic: s.topic(), payload: "once", qos: 2, packetId: 3 };
    const first = await s.connect({ clientId: s.id("x"), keep: true });
    first.send(publishPacket(s.version, message));
    await first.acked("pubrec", 3);
    await first.drop();
    const second = await s.connect({ clientId: s.id("x"), keep: true });
    second.send(publishPacket(s.version, { ...message, dup: true }));
    await second.acked("pubrec", 3);
    second.send(ackPacket("pubrel", 3));
    await second.drop();
    const third = await s.connect({ clientId: s.id("x"), keep: true });
    third.send(ackPacket("pubrel", 3));
    await third.expect("pubcomp");
    await watcher.messages("once");
    await watcher.quiet();
  },
);

rule(
  "a message the client refused with PUBACK or PUBREC is not sent again {5.0 [MQTT-4.4.0-2]}",
  async (s) => {
    const clientId = s.id("x");
    const first = await s.connect({ clientId, keep: true });
    await first.subscribe(s.topic());
    const publisher = await s.connect();
    for (const code of [0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99]) {
      await publisher.publish({ topic: s.topic(), payload: "1", qos: 1 });
      await publisher.publish({ topic: s.topic(), payload: "2", qos: 2 });
      const one = await first.expect("publish");
      const two = await first.expect("publish");
      first.send(ackPacket("puback", one.packetId, code), ackPacket("pubrec", two.packetId, code));
      await first.quiet();
    }
    await first.drop();
    const second = await s.connect({ clientId, keep: true });
    await second.quiet();
  },
);

rule(
  "a message is added to the session of every client with a matching filter, here or away {3.1.1 [MQTT-4.5.0-1]} {5.0 [MQTT-4.5.0-1]}",
  async (s) => {
    const filters = ["#", "+/b", "a/+", "a/b", "a/b/#"].map((filter) => `${s.topic()}/${filter}`);
    const live = [];
    for (const [i, filter] of filters.entries()) {
      const client = await s.connect({ clientId: s.id(`live${i}`), keep: i % 2 === 0 });
      await client.subscribe(filter);
      live.push(client);
      const away = await s.connect({ clientId: s.id(`away${i}`), keep: true });
      await away.subscribe(filter);
      await away.disconnect();
    }
    const other = await s.connect();
    await other.subscribe([{ filter: `${s.topic()}/a/c` }, { filter: `${s.topic()}/+` }]);
    const publisher = await s.connect();
    for (const qos of [1, 2]) {
      await publisher.publish({ topic: `${s.topic()}/a/b`, payload: `${qos}`, qos });
    }
    for (const client of live) await client.messages("1", "2");
    for (const i of filters.keys()) {
      const client = await s.connect({ clientId: s.id(`away${i}`), keep: true });
      await client.messages("1", "2");
      await client.quiet();
    }
    await other.quiet();
  },
);

rule(
  "a message that has been sent is sent again even if it has expired meanwhile {5.0 [MQTT-4.4.0-1]}",
  async (s) => {
    const clientId = s.id("x");
    const first = await s.connect({ clientId, keep: true });
    await first.subscribe(s.topic());
    const publisher = await s.connect();
    const properties = { messageExpiryInterval: 1 };
    await publisher.publish({ topic: s.topic(), payload: "x", qos: 1, properties });
    const { packetId } = await first.expect("publish");
    await first.drop();
    await s.elapse(1300);
    const second = await s.connect({ clientId, keep: true });
    const [again] = await second.messages("x");
    assert.deepEqual([again?.packetId, again?.dup], [packetId, true]);
  },
);
