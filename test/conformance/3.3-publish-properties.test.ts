import assert from "node:assert/strict";
import { publishPacket } from "./packets.ts";
import { suite } from "./suite.ts";
import { type Bytes, bytes, type Properties, text, u16 } from "./wire.ts";

const rule = suite();

const USER: [string, string][] = [
  ["z", "1"],
  ["a", "2"],
  ["z", "1"],
  ["a", ""],
  ["", "é\u{1f600}"],
];

const FORWARDED: Properties = {
  payloadFormatIndicator: 1,
  contentType: "text/plain; charset=utf-8",
  responseTopic: "answers/to/é",
  correlationData: Buffer.from([0, 1, 2, 0xfe, 0xff]),
  userProperties: USER,
};

rule(
  "a message is forwarded with its properties as they came, User Properties in their order {5.0 [MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-18] [MQTT-3.3.2-20]}",
  async (s) => {
    const receiver = await s.connect();
    await receiver.subscribe(s.topic());
    const publisher = await s.connect();
    for (const qos of [0, 1, 2]) {
      await publisher.publish({ topic: s.topic(), payload: "x", qos, properties: FORWARDED });
      assert.deepEqual((await receiver.message()).properties, FORWARDED);
      await publisher.publish({ topic: s.topic(), qos, properties: { payloadFormatIndicator: 0 } });
      assert.deepEqual((await receiver.message()).properties, { payloadFormatIndicator: 0 });
    }
  },
);

rule(
  "a message that waits in a session or is retained keeps its properties {5.0 [MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-18] [MQTT-3.3.2-20]}",
  async (s) => {
    const first = await s.connect({ clientId: s.id("x"), keep: true });
    await first.subscribe(s.topic());
    await first.disconnect();
    const publisher = await s.connect();
    for (const qos of [1, 2]) {
      const properties = FORWARDED;
      await publisher.publish({
        topic: s.topic(),
        payload: `${qos}`,
        qos,
        properties,
        retain: true,
      });
    }
    const second = await s.connect({ clientId: s.id("x"), keep: true });
    for (const { properties } of await second.messages("1", "2")) {
      assert.deepEqual(properties, FORWARDED);
    }
    const third = await s.connect();
    await third.subscribe(s.topic());
    assert.deepEqual((await third.message()).properties, FORWARDED);
  },
);

rule(
  "a message is forwarded to 3.1.1 receivers without properties {5.0 [MQTT-3.3.2-17]}",
  async (s) => {
    const receiver = await s.open("3.1.1");
    await receiver.connect({ clientId: s.id("x") });
    await receiver.subscribe(s.topic());
    const publisher = await s.connect();
    await publisher.publish({ topic: s.topic(), payload: "x", qos: 1, properties: FORWARDED });
    assert.equal((await receiver.message()).text, "x");
  },
);

rule(
  "a message that has expired is not delivered, from a session or as retained {5.0 [MQTT-3.3.2-5]}",
  async (s) => {
    const first = await s.connect({ clientId: s.id("x"), keep: true });
    await first.subscribe(s.topic());
    await first.disconnect();
    const publisher = await s.connect();
    const properties = { messageExpiryInterval: 1 };
    for (const qos of [1, 2]) {
      await publisher.publish({ topic: s.topic(), payload: "old", qos, properties });
    }
    const retained = { topic: s.topic("retained"), payload: "old", qos: 1, retain: true };
    await publisher.publish({ ...retained, properties });
    await publisher.publish({ topic: s.topic(), payload: "lasting", qos: 1 });
    await publisher.publish({ topic: s.topic("retained2"), payload: "kept", qos: 1, retain: true });
    await s.elapse(1300);
    const second = await s.connect({ clientId: s.id("x"), keep: true });
    await second.messages("lasting");
    await second.quiet();
    await second.subscribe([{ filter: s.topic("retained") }, { filter: s.topic("retained2") }]);
    await second.messages("kept");
  },
);

rule(
  "the Message Expiry Interval is sent less the seconds the message waited {5.0 [MQTT-3.3.2-6]}",
  async (s) => {
    const first = await s.connect({ clientId: s.id("x"), keep: true });
    await first.subscribe(s.topic());
    const publisher = await s.connect();
    const properties = { messageExpiryInterval: 100 };
    await publisher.publish({ topic: s.topic(), payload: "live", properties });
    const [live] = await first.messages("live");
    assert.equal(live?.properties.messageExpiryInterval, 100);
    await first.disconnect();
    const message = { topic: s.topic(), payload: "queued", qos: 1, properties };
    const startMs = performance.now();
    await publisher.publish({ ...message, retain: true });
    await s.elapse(1500);
    const second = await s.connect({ clientId: s.id("x"), keep: true });
    const [queued] = await second.messages("queued");
    const third = await s.connect();
    await third.subscribe(s.topic());
    const [retained] = await third.messages("queued");
    for (const copy of [queued, retained]) {
      const leftS = copy?.properties.messageExpiryInterval ?? 0;
      const leastS = 100 - Math.ceil((performance.now() - startMs) / 1000);
      assert(leftS <= 99 && leftS >= leastS, `${leftS} s are left`);
    }
  },
);

rule("a Topic Alias means nothing on another connection {5.0 [MQTT-3.3.2-7]}", async (s) => {
  const watcher = await s.connect();
  await watcher.subscribe(s.topic());
  const first = await s.connect({ clientId: s.id("x"), keep: true });
  await first.publish({ topic: s.topic(), payload: "1", properties: { topicAlias: 1 } });
  await first.publish({ topic: "", payload: "2", properties: { topicAlias: 1 } });
  await watcher.messages("1", "2");
  const other = await s.connect();
  other.send(publishPacket(s.version, { topic: "", properties: { topicAlias: 1 } }));
  await other.refused(0x82, 0x94);
  await first.disconnect();
  const second = await s.connect({ clientId: s.id("x"), keep: true });
  second.send(publishPacket(s.version, { topic: "", properties: { topicAlias: 1 } }));
  await second.refused(0x82, 0x94);
  await watcher.quiet();
});

rule(
  "on a new connection the server names a topic again before an alias stands for it {5.0 [MQTT-3.3.2-7]}",
  async (s) => {
    const publisher = await s.connect();
    const properties = { topicAliasMaximum: 5, sessionExpiryInterval: 60 };
    for (let i = 0; i < 2; i++) {
      const receiver = await s.connect({ clientId: s.id("x"), cleanStart: false, properties });
      await receiver.subscribe(s.topic());
      for (let j = 0; j < 3; j++) {
        await publisher.publish({ topic: s.topic(), payload: "x", qos: 1 });
        const { topic } = await receiver.message();
        assert(topic === s.topic() || (j > 0 && topic === ""));
      }
      await receiver.disconnect();
    }
  },
);

rule("a Topic Alias of 0 closes the connection {5.0 [MQTT-3.3.2-8]}", async (s) => {
  for (const topic of [s.topic(), ""]) {
    const client = await s.connect();
    client.send(publishPacket(s.version, { topic, properties: { topicAlias: 0 } }));
    await client.refused(0x94);
  }
});

rule(
  "every Topic Alias up to the server's maximum is taken, and may be given another topic {5.0 [MQTT-3.3.2-12]}",
  async (s) => {
    const watcher = await s.connect();
    await watcher.subscribe(`${s.topic()}/#`);
    const { client, connack } = await s.connected();
    const { topicAliasMaximum = 0 } = connack.properties;
    assert(topicAliasMaximum > 0);
    for (const round of ["a", "b"]) {
      for (let topicAlias = 1; topicAlias <= topicAliasMaximum; topicAlias++) {
        const topic = `${s.topic()}/${round}/${topicAlias}`;
        await client.publish({ topic, properties: { topicAlias } });
        assert.equal((await watcher.message()).topic, topic);
      }
      for (let topicAlias = topicAliasMaximum; topicAlias >= 1; topicAlias--) {
        await client.publish({ topic: "", qos: topicAlias % 3, properties: { topicAlias } });
        assert.equal((await watcher.message()).topic, `${s.topic()}/${round}/${topicAlias}`);
      }
    }
  },
);

rule(
  "Response Topic and Content Type that are not valid text close the connection {5.0 [MQTT-3.3.2-13] [MQTT-3.3.2-19]}",
  async (s) => {
    for (const id of [0x08, 0x03]) {
      for (const bad of [[0xff], [0x61, 0], [0xed, 0xa0, 0x80]] satisfies Bytes[]) {
        const list = bytes([id], text(bad));
        const client = await s.connect();
        const rawProperties = bytes([list.length], list);
        client.send(publishPacket(s.version, { topic: s.topic(), rawProperties }));
        await client.refused(0x81);
      }
    }
  },
);

rule("a Response Topic with a wildcard closes the connection {5.0 [MQTT-3.3.2-14]}", async (s) => {
  for (const responseTopic of ["#", "a/+", "a/#"]) {
    const client = await s.connect();
    client.send(publishPacket(s.version, { topic: s.topic(), properties: { responseTopic } }));
    await client.refused(0x81, 0x82, 0x90);
  }
});

rule(
  "a message carries the Subscription Identifiers of all subscriptions it matches {5.0 [MQTT-3.3.4-3] [MQTT-3.3.4-4]}",
  async (s) => {
    const receiver = await s.connect({ clientId: s.id("x"), keep: true });
    const wanted: readonly [string, number | null][] = [
      [`${s.topic()}/#`, 1],
      [`${s.topic()}/+`, 268_435_455],
      [`${s.topic()}/x`, 128],
      [`${s.topic()}/x/#`, null],
      [`${s.topic()}/y`, 7],
    ];
    for (const [filter, id] of wanted) {
      const properties = id === null ? {} : { subscriptionIdentifiers: [id] };
      await receiver.subscribe({ filter, qos: 2 }, properties);
    }
    const publisher = await s.connect();
    const idsOf = async () =>
      (await receiver.message()).properties.subscriptionIdentifiers?.toSorted((a, b) => a - b);
    for (const qos of [0, 1, 2]) {
      await publisher.publish({ topic: `${s.topic()}/x`, qos });
      assert.deepEqual(await idsOf(), [1, 128, 268_435_455]);
      await publisher.publish({ topic: `${s.topic()}/x/z`, qos });
      assert.deepEqual(await idsOf(), [1]);
    }
    await receiver.disconnect();
    await publisher.publish({ topic: `${s.topic()}/y`, payload: "queued", qos: 1 });
    const again = await s.connect({ clientId: s.id("x"), keep: true });
    const [queued] = await again.messages("queued");
    const ids = queued?.properties.subscriptionIdentifiers?.toSorted((a, b) => a - b);
    assert.deepEqual(ids, [1, 7, 268_435_455]);
  },
);

rule(
  "a retained message carries the identifier of the subscription that brought it {5.0 [MQTT-3.3.4-3]}",
  async (s) => {
    const client = await s.connect();
    await client.publish({ topic: s.topic(), payload: "kept", qos: 1, retain: true });
    await client.subscribe(s.topic(), { subscriptionIdentifiers: [300] });
    assert.deepEqual((await client.message()).properties.subscriptionIdentifiers, [300]);
    await client.subscribe(s.topic());
    assert.equal((await client.message()).properties.subscriptionIdentifiers, undefined);
  },
);

rule(
  "a property a PUBLISH may not have, or has twice, closes the connection {5.0 [MQTT-4.13.1-1]}",
  async (s) => {
    const lists: readonly [Bytes, number][] = [
      [[0x11, 0, 0, 0, 1], 0x81],
      [[0x1f, 0, 0], 0x81],
      [[0x26, 0, 0], 0x81],
      [[0x01, 1, 0x01, 1], 0x82],
      [[0x01, 2], 0x82],
      [bytes([0x23], u16(1), [0x23], u16(1)), 0x82],
      [[0x02, 0, 0, 0, 1, 0x02, 0, 0, 0, 1], 0x82],
      [[0x0b, 0], 0x82],
    ];
    for (const [list, code] of lists) {
      const client = await s.connect();
      const rawProperties = bytes([list.length], list);
      client.send(publishPacket(s.version, { topic: s.topic(), rawProperties }));
      await client.refused(code);
    }
  },
);

rule(
  "a subscription that No Local leaves out does not lend its identifier {5.0 [MQTT-3.3.4-3] [MQTT-3.8.3-3]}",
  async (s) => {
    const client = await s.connect();
    const base = s.topic();
    await client.subscribe(
      { filter: `${base}/#`, qos: 2, noLocal: true },
      { subscriptionIdentifiers: [1] },
    );
    await client.subscribe({ filter: `${base}/x`, qos: 0 }, { subscriptionIdentifiers: [2] });
    await client.publish({ topic: `${base}/x`, payload: "own" });
    const own = await client.message();
    assert.deepEqual([own.qos, own.properties.subscriptionIdentifiers], [0, [2]]);
    const other = await s.connect();
    await other.publish({ topic: `${base}/x`, payload: "foreign", qos: 2 });
    const foreign = await client.message();
    const ids = foreign.properties.subscriptionIdentifiers?.toSorted((a, b) => a - b);
    assert.deepEqual([foreign.qos, ids], [2, [1, 2]]);
  },
);
