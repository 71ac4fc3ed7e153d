import assert from "node:assert/strict";
import { type FilterFields, publishPacket, subscribePacket } from "./packets.ts";
import { suite } from "./suite.ts";
import { type Bytes, bytes, frame, text, u16 } from "./wire.ts";

const rule = suite();

rule(
  "a SUBSCRIBE with flags other than 0010 closes the connection {3.1.1 [MQTT-3.8.1-1]} {5.0 [MQTT-3.8.1-1]}",
  async (s) => {
    const packet = subscribePacket(s.version, 1, [{ filter: s.topic() }]);
    for (const flags of [0, 1, 3, 4, 6, 8, 10, 15]) {
      const client = await s.connect();
      client.send([0x80 | flags], packet.subarray(1));
      await client.refused(0x81);
    }
  },
);

rule(
  "a filter in SUBSCRIBE that is not valid text closes the connection {3.1.1 [MQTT-3.8.3-1]} {5.0 [MQTT-3.8.3-1]}",
  async (s) => {
    for (const bad of [[0xff], [0x61, 0], [0xed, 0xa0, 0x80]] satisfies Bytes[]) {
      const client = await s.connect();
      client.send(subscribePacket(s.version, 1, [{ filter: s.topic() }, { filter: bad }]));
      await client.refused(0x81);
    }
  },
);

rule(
  "a SUBSCRIBE without a filter, or with half of one, closes the connection {3.1.1 [MQTT-3.8.3-3]} {5.0 [MQTT-3.8.3-2]}",
  async (s) => {
    const none = await s.connect();
    none.send(subscribePacket(s.version, 1, []));
    await none.refused(0x81, 0x82);
    const head = bytes(u16(1), s.isV5 ? [0] : []);
    for (const tail of [text("a"), [0], [0, 9, 0x61, 0], bytes(text("a"), [0], text("b"))]) {
      const client = await s.connect();
      client.send(frame(0x82, head, tail));
      await client.refused(0x81);
    }
  },
);

rule(
  "with No Local a client does not get its own messages, and others do {5.0 [MQTT-3.8.3-3]}",
  async (s) => {
    const client = await s.connect({ clientId: s.id("x"), keep: true });
    await client.subscribe({ filter: s.topic(), qos: 2, noLocal: true });
    const other = await s.connect();
    await other.subscribe(s.topic());
    for (const qos of [0, 1, 2]) {
      await client.publish({ topic: s.topic(), payload: "own", qos });
      await other.messages("own");
      await client.quiet();
      const sender = await s.connect();
      await sender.publish({ topic: s.topic(), payload: "foreign", qos });
      await client.messages("foreign");
      await other.messages("foreign");
    }
    await client.disconnect();
    const again = await s.connect({ clientId: s.id("x"), keep: true });
    await again.publish({ topic: s.topic(), payload: "own", qos: 1 });
    await again.quiet();
  },
);

rule("No Local on a shared subscription closes the connection {5.0 [MQTT-3.8.3-4]}", async (s) => {
  const client = await s.connect();
  const filter = `$share/g/${s.topic()}`;
  client.send(subscribePacket(s.version, 1, [{ filter, noLocal: true }]));
  await client.refused(0x82);
});

rule(
  "reserved bits or QoS 3 in a SUBSCRIBE close the connection {3.1.1 [MQTT-3.8.3-4]} {5.0 [MQTT-3.8.3-5]}",
  async (s) => {
    const wrong = s.isV5
      ? [0x40, 0x80, 0xc0, 0x03]
      : [0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0x03, 0xff];
    for (const options of wrong) {
      const client = await s.connect();
      client.send(subscribePacket(s.version, 1, [{ filter: s.topic() }, { filter: "a", options }]));
      await client.refused(0x81, 0x82);
    }
  },
);

rule(
  "Retain Handling 3 and a Subscription Identifier of 0 or given twice close the connection {5.0 [MQTT-4.13.1-1]}",
  async (s) => {
    const client = await s.connect();
    client.send(subscribePacket(s.version, 1, [{ filter: s.topic(), retainHandling: 3 }]));
    await client.refused(0x82);
    for (const subscriptionIdentifiers of [[0], [1, 2]]) {
      const other = await s.connect();
      const filters = [{ filter: s.topic() }];
      other.send(subscribePacket(s.version, 1, filters, { subscriptionIdentifiers }));
      await other.refused(0x82);
    }
  },
);

rule(
  "a SUBSCRIBE is answered with a SUBACK of its identifier {3.1.1 [MQTT-3.8.4-1] [MQTT-3.8.4-2]} {5.0 [MQTT-3.8.4-1] [MQTT-3.8.4-2]}",
  async (s) => {
    const client = await s.connect();
    for (const packetId of [1, 2, 0xff00, 65_535]) {
      client.send(subscribePacket(s.version, packetId, [{ filter: s.topic(), qos: 1 }]));
      const suback = await client.expect("suback");
      assert.equal(suback.packetId, packetId);
      assert.deepEqual(suback.codes, [1]);
    }
  },
);

rule(
  "a filter that is subscribed again has its subscription replaced {3.1.1 [MQTT-3.8.4-3]} {5.0 [MQTT-3.8.4-3]}",
  async (s) => {
    const client = await s.connect();
    const publisher = await s.connect();
    for (const qos of [1, 2, 0, 2, 1]) {
      await client.subscribe({ filter: s.topic(), qos });
      await publisher.publish({ topic: s.topic(), payload: `${qos}`, qos: 2 });
      assert.equal((await client.message()).qos, qos);
      await client.quiet();
    }
    await client.unsubscribe(s.topic());
    await publisher.publish({ topic: s.topic(), payload: "x", qos: 1 });
    await client.quiet();
  },
);

rule("every option of a subscription is replaced with it {5.0 [MQTT-3.8.4-3]}", async (s) => {
  const client = await s.connect();
  const filter = s.topic();
  const full = { filter, qos: 1, noLocal: true, retainAsPublished: true };
  await client.subscribe(full, { subscriptionIdentifiers: [5] });
  const publisher = await s.connect();
  await publisher.publish({ topic: filter, payload: "x", qos: 1, retain: true });
  const before = await client.message();
  assert.deepEqual([before.retain, before.properties.subscriptionIdentifiers], [true, [5]]);
  await client.subscribe({ filter, qos: 0, retainHandling: 2 });
  await client.publish({ topic: filter, payload: "x", retain: true });
  const after = await client.message();
  assert.deepEqual([after.qos, after.retain, after.properties], [0, false, {}]);
});

rule(
  "replacing a subscription brings its retained messages again {3.1.1 [MQTT-3.8.4-3]} {5.0 [MQTT-3.8.4-4]}",
  async (s) => {
    const client = await s.connect();
    await client.publish({ topic: s.topic(), payload: "kept", qos: 1, retain: true });
    for (const qos of [0, 1, 1, 2]) {
      await client.subscribe({ filter: s.topic(), qos });
      const message = await client.message();
      assert.deepEqual([message.text, message.retain], ["kept", true]);
    }
  },
);

rule(
  "no message is lost or doubled while a subscription is replaced {3.1.1 [MQTT-3.8.4-3]} {5.0 [MQTT-3.8.4-4]}",
  async (s) => {
    const client = await s.connect();
    await client.subscribe({ filter: s.topic(), qos: 1 });
    const publisher = await s.connect();
    const total = 100;
    const publishing = (async () => {
      for (let i = 0; i < total; i++) {
        await publisher.publish({ topic: s.topic(), payload: `${i}`, qos: 1 });
      }
    })();
    let next = 0;
    for (let round = 0; next < total; round++) {
      if (round % 3 === 0) {
        const filters = [{ filter: s.topic(), qos: 1, retainHandling: s.isV5 ? 2 : 0 }];
        client.send(subscribePacket(s.version, 1, filters));
      }
      const packet = await client.next();
      if (packet.type === "suback") continue;
      assert(packet.type === "publish" && packet.text === `${next}`, `message ${next} comes next`);
      next++;
      client.send([0x40, 2], u16(packet.packetId));
    }
    await publishing;
  },
);

rule(
  "several filters are taken as several SUBSCRIBEs, with one SUBACK {3.1.1 [MQTT-3.8.4-4]} {5.0 [MQTT-3.8.4-5]}",
  async (s) => {
    const client = await s.connect();
    await client.publish({ topic: s.topic("b"), payload: "kept", qos: 1, retain: true });
    const { codes } = await client.subscribe([
      { filter: s.topic("a"), qos: 0 },
      { filter: s.topic("b"), qos: 1 },
      { filter: s.topic("a"), qos: 2 },
    ]);
    assert.deepEqual(codes, [0, 1, 2]);
    assert.equal((await client.message()).text, "kept");
    const publisher = await s.connect();
    await publisher.publish({ topic: s.topic("a"), payload: "x", qos: 2 });
    assert.equal((await client.message()).qos, 2);
    await client.quiet();
  },
);

rule(
  "SUBACK has for each filter, in their order, the QoS granted or a refusal {3.1.1 [MQTT-3.8.4-5] [MQTT-3.9.3-1] [MQTT-3.9.3-2]} {5.0 [MQTT-3.8.4-6] [MQTT-3.8.4-7] [MQTT-3.9.3-1] [MQTT-3.9.3-2]}",
  { isAllowed: ({ topic }) => !topic.includes("forbidden") },
  async (s) => {
    const client = await s.connect();
    const filters: FilterFields[] = [];
    const expected: number[] = [];
    for (let i = 0; i < 40; i++) {
      const isForbidden = i % 4 === 3;
      filters.push({ filter: isForbidden ? `forbidden/${i}` : `a/${i}`, qos: i % 3 });
      expected.push(isForbidden ? (s.isV5 ? 0x87 : 0x80) : i % 3);
    }
    assert.deepEqual((await client.subscribe(filters)).codes, expected);
  },
);

rule(
  "a filter that is refused is not subscribed {3.1.1 [MQTT-3.8.4-5]} {5.0 [MQTT-3.8.4-7]}",
  { isAllowed: ({ topic, action }) => action === "publish" || !topic.includes("forbidden") },
  async (s) => {
    const client = await s.connect();
    await client.subscribe([
      { filter: "forbidden", qos: 1 },
      { filter: "free", qos: 1 },
    ]);
    const publisher = await s.connect();
    await publisher.publish({ topic: "forbidden", payload: "no", qos: 1 });
    await publisher.publish({ topic: "free", payload: "yes", qos: 1 });
    await client.messages("yes");
  },
);

rule(
  "a message is sent with the lower of its own QoS and the one granted {3.1.1 [MQTT-3.8.4-6]} {5.0 [MQTT-3.8.4-8]}",
  async (s) => {
    const publisher = await s.connect();
    for (const granted of [0, 1, 2]) {
      const topic = s.topic(`${granted}`);
      const clientId = s.id(`${granted}`);
      const first = await s.connect({ clientId, keep: true });
      await first.subscribe({ filter: topic, qos: granted });
      for (const qos of [0, 1, 2]) {
        await publisher.publish({ topic, payload: `${qos}`, qos });
        assert.equal((await first.message()).qos, Math.min(qos, granted));
      }
      await first.disconnect();
      for (const qos of [1, 2]) await publisher.publish({ topic, payload: `${qos}`, qos });
      const second = await s.connect({ clientId, keep: true });
      for (const qos of granted === 0 ? [] : [1, 2]) {
        assert.equal((await second.message()).qos, Math.min(qos, granted));
      }
      await publisher.publish({ topic, payload: "kept", qos: 2, retain: true });
      await second.message();
      await second.subscribe({ filter: topic, qos: granted });
      assert.equal((await second.message()).qos, granted);
    }
  },
);

rule(
  "a client may publish to its own subscription in the packet behind SUBSCRIBE {3.1.1 [MQTT-3.8.4-1]} {5.0 [MQTT-3.8.4-1]}",
  async (s) => {
    const client = await s.connect();
    client.send(
      subscribePacket(s.version, 1, [{ filter: s.topic() }]),
      publishPacket(s.version, { topic: s.topic(), payload: "x" }),
    );
    await client.expect("suback");
    await client.messages("x");
  },
);
