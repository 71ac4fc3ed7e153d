import assert from "node:assert/strict";
import type { RawClient } from "./raw-client.ts";
import { type Scene, suite } from "./suite.ts";

const rule = suite();

/** What a new subscription to `topic` and one to a retained marker behind it bring. */
async function retainedOn(s: Scene, topic: string, qos = 2) {
  const marker = s.topic("marker");
  const client = await s.connect();
  await client.publish({ topic: marker, payload: "marker", qos: 1, retain: true });
  await client.subscribe([
    { filter: topic, qos },
    { filter: marker, qos: 0 },
  ]);
  const found: { text: string; qos: number; retain: boolean }[] = [];
  for (;;) {
    const { text, qos: sentQos, retain } = await client.message();
    if (text === "marker") break;
    found.push({ text, qos: sentQos, retain });
  }
  await client.disconnect();
  return found;
}

async function keep(publisher: RawClient, topic: string, payload: string, qos = 1): Promise<void> {
  await publisher.publish({ topic, payload, qos, retain: true });
}

rule(
  "a retained message is kept with its QoS, the last one only, and sent to new subscriptions with RETAIN 1 {3.1.1 [MQTT-3.3.1-5] [MQTT-3.3.1-6] [MQTT-3.3.1-8]} {5.0 [MQTT-3.3.1-5] [MQTT-3.3.1-9]}",
  async (s) => {
    const publisher = await s.connect();
    for (const qos of [0, 1, 2]) {
      await keep(publisher, s.topic(), "older", 2);
      await keep(publisher, s.topic(), "newer", qos);
      await publisher.quiet();
      const expected = [{ text: "newer", qos, retain: true }];
      assert.deepEqual(await retainedOn(s, s.topic()), expected);
      assert.deepEqual(await retainedOn(s, s.topic()), expected, "and again");
    }
    assert.deepEqual(await retainedOn(s, s.topic(), 1), [{ text: "newer", qos: 1, retain: true }]);
  },
);

rule(
  "a new subscription gets the retained message of every topic it matches {3.1.1 [MQTT-3.3.1-6]} {5.0 [MQTT-3.3.1-9]}",
  async (s) => {
    const publisher = await s.connect();
    const names = ["a", "a/b", "a/b/c", "b", "b/b"];
    for (const name of names) await keep(publisher, `${s.topic()}/${name}`, name);
    for (const [filter, expected] of [
      ["#", names],
      ["+", ["a", "b"]],
      ["+/b", ["a/b", "b/b"]],
      ["a/#", ["a", "a/b", "a/b/c"]],
      ["a/b", ["a/b"]],
      ["c", []],
    ] as const) {
      const found = await retainedOn(s, `${s.topic()}/${filter}`);
      assert.deepEqual(found.map(({ text }) => text).toSorted(), expected.toSorted());
    }
  },
);

rule(
  "a QoS 0 message with RETAIN 1 replaces what was retained {3.1.1 [MQTT-3.3.1-7]} {5.0 [MQTT-3.3.1-5]}",
  async (s) => {
    const publisher = await s.connect();
    await keep(publisher, s.topic(), "older", 1);
    await keep(publisher, s.topic(), "newer", 0);
    await publisher.quiet();
    const found = await retainedOn(s, s.topic());
    assert.deepEqual(found, [{ text: "newer", qos: 0, retain: true }]);
  },
);

rule(
  "an established subscription gets messages with RETAIN 0 {3.1.1 [MQTT-3.3.1-9]} {5.0 [MQTT-3.3.1-12]}",
  async (s) => {
    const receiver = await s.connect();
    await receiver.subscribe(s.topic());
    const publisher = await s.connect();
    for (const qos of [0, 1, 2]) {
      await keep(publisher, s.topic(), `${qos}`, qos);
      assert.equal((await receiver.message()).retain, false);
    }
  },
);

rule(
  "messages that wait in a session have RETAIN 0, unless it is kept as published {3.1.1 [MQTT-3.3.1-9]} {5.0 [MQTT-3.3.1-12] [MQTT-3.3.1-13]}",
  async (s) => {
    for (const retainAsPublished of s.isV5 ? [false, true] : [false]) {
      const topic = s.topic(`${retainAsPublished}`);
      const clientId = s.id(`${retainAsPublished}`);
      const first = await s.connect({ clientId, keep: true });
      await first.subscribe({ filter: topic, qos: 1, retainAsPublished });
      await first.disconnect();
      await keep(await s.connect(), topic, "x");
      const second = await s.connect({ clientId, keep: true });
      assert.equal((await second.message()).retain, retainAsPublished);
    }
  },
);

rule(
  "with Retain As Published a message keeps the RETAIN it came with {5.0 [MQTT-3.3.1-13]}",
  async (s) => {
    const receiver = await s.connect();
    await receiver.subscribe({ filter: s.topic(), qos: 2, retainAsPublished: true });
    const publisher = await s.connect();
    for (const qos of [0, 1, 2]) {
      for (const retain of [false, true]) {
        await publisher.publish({ topic: s.topic(), payload: "x", qos, retain });
        assert.equal((await receiver.message()).retain, retain);
      }
    }
  },
);

rule(
  "an empty message with RETAIN 1 is delivered, and the retained message is gone {3.1.1 [MQTT-3.3.1-10] [MQTT-3.3.1-11]} {5.0 [MQTT-3.3.1-6] [MQTT-3.3.1-7]}",
  async (s) => {
    const receiver = await s.connect();
    await receiver.subscribe(s.topic());
    const publisher = await s.connect();
    for (const qos of [0, 1, 2]) {
      await keep(publisher, s.topic(), "kept");
      await receiver.messages("kept");
      await keep(publisher, s.topic(), "", qos);
      const [empty] = await receiver.messages("");
      assert.deepEqual([empty?.qos, empty?.retain], [qos, false]);
      assert.deepEqual(await retainedOn(s, s.topic()), []);
      await keep(publisher, s.topic(), "", qos);
      await receiver.messages("");
      assert.deepEqual(await retainedOn(s, s.topic()), [], "where nothing was kept");
    }
  },
);

rule(
  "a message with RETAIN 0 is not kept, and leaves what is retained {3.1.1 [MQTT-3.3.1-12]} {5.0 [MQTT-3.3.1-8]}",
  async (s) => {
    const publisher = await s.connect();
    await publisher.publish({ topic: s.topic("none"), payload: "x", qos: 1 });
    assert.deepEqual(await retainedOn(s, s.topic("none")), []);
    await keep(publisher, s.topic(), "kept");
    for (const payload of ["other", ""]) {
      for (const qos of [0, 1, 2]) await publisher.publish({ topic: s.topic(), payload, qos });
    }
    const found = await retainedOn(s, s.topic());
    assert.deepEqual(found, [{ text: "kept", qos: 1, retain: true }]);
  },
);

rule(
  "Retain Handling says which subscriptions bring retained messages {5.0 [MQTT-3.3.1-9] [MQTT-3.3.1-10] [MQTT-3.3.1-11]}",
  async (s) => {
    const publisher = await s.connect();
    await keep(publisher, s.topic(), "kept");
    await keep(publisher, s.topic("marker"), "marker");
    const client = await s.connect();
    const subscribe = async (retainHandling: number, expected: readonly string[]) => {
      await client.subscribe([
        { filter: s.topic(), qos: 1, retainHandling },
        { filter: s.topic("marker") },
      ]);
      await client.messages(...expected, "marker");
    };
    await subscribe(1, ["kept"]);
    await subscribe(1, []);
    await subscribe(0, ["kept"]);
    await subscribe(2, []);
    await client.unsubscribe(s.topic());
    await subscribe(2, []);
    await subscribe(1, []);
    await client.unsubscribe(s.topic());
    await subscribe(0, ["kept"]);
    await subscribe(0, ["kept"]);
  },
);

rule(
  "a subscription of a session that was left behind is no new one {5.0 [MQTT-3.3.1-10]}",
  async (s) => {
    const publisher = await s.connect();
    await keep(publisher, s.topic(), "kept");
    await keep(publisher, s.topic("marker"), "marker");
    for (const expected of [["kept"], []]) {
      const client = await s.connect({ clientId: s.id("x"), keep: true });
      await client.subscribe([
        { filter: s.topic(), qos: 1, retainHandling: 1 },
        { filter: s.topic("marker") },
      ]);
      await client.messages(...expected, "marker");
      await client.disconnect();
    }
  },
);
