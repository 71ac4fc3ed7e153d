import assert from "node:assert/strict";
import { suite } from "./suite.ts";

const rule = suite();

rule(
  "a clean start discards the session that was there {3.1.1 [MQTT-3.1.2-6] [MQTT-3.1.4-3] [MQTT-3.2.2-1]} {5.0 [MQTT-3.1.2-4] [MQTT-3.1.4-4] [MQTT-3.2.2-2]}",
  async (s) => {
    const clientId = s.id("x");
    const first = await s.connect({ clientId, keep: true });
    await first.subscribe(s.topic());
    await first.disconnect();
    const publisher = await s.connect();
    await publisher.publish({ topic: s.topic(), payload: "old", qos: 1 });
    const { client: second, connack } = await s.connected({ clientId });
    assert.equal(connack.sessionPresent, false);
    await publisher.publish({ topic: s.topic(), payload: "new", qos: 1 });
    await second.quiet();
    await second.disconnect();
    const third = await s.connected({ clientId, keep: true });
    assert.equal(third.connack.sessionPresent, false, "nor is the clean session kept");
    await publisher.publish({ topic: s.topic(), payload: "newest", qos: 1 });
    await third.client.quiet();
  },
);

rule(
  "a clean start by a client that is connected discards its session too {3.1.1 [MQTT-3.1.2-6]} {5.0 [MQTT-3.1.2-4]}",
  async (s) => {
    const clientId = s.id("x");
    const first = await s.connect({ clientId, keep: true });
    await first.subscribe(s.topic());
    const { client: second, connack } = await s.connected({ clientId });
    assert.equal(connack.sessionPresent, false);
    await second.publish({ topic: s.topic(), payload: "x", qos: 1 });
    await second.quiet();
  },
);

rule(
  "a session is taken up again with its subscriptions and what has come meanwhile {3.1.1 [MQTT-3.1.2-4] [MQTT-3.1.2-5] [MQTT-3.2.2-2]} {5.0 [MQTT-3.1.2-5] [MQTT-3.1.2-23] [MQTT-3.2.2-3]}",
  async (s) => {
    const clientId = s.id("x");
    const first = await s.connect({ clientId, keep: true });
    await first.subscribe([
      { filter: s.topic("one"), qos: 1 },
      { filter: s.topic("two"), qos: 2 },
    ]);
    await first.disconnect();
    const publisher = await s.connect();
    await publisher.publish({ topic: s.topic("one"), payload: "1", qos: 1 });
    await publisher.publish({ topic: s.topic("two"), payload: "2", qos: 2 });
    const { client: second, connack } = await s.connected({ clientId, keep: true });
    assert.equal(connack.sessionPresent, true);
    const [one, two] = await second.messages("1", "2");
    assert.deepEqual([one?.qos, two?.qos], [1, 2]);
    await publisher.publish({ topic: s.topic("one"), payload: "live", qos: 1 });
    await second.messages("live");
    await second.quiet();
  },
);

rule(
  "a session is kept over a connection that breaks {3.1.1 [MQTT-3.1.2-4] [MQTT-3.1.2-5]} {5.0 [MQTT-3.1.2-5] [MQTT-3.1.2-23]}",
  async (s) => {
    const clientId = s.id("x");
    const first = await s.connect({ clientId, keep: true });
    await first.subscribe(s.topic());
    await first.drop();
    const publisher = await s.connect();
    await publisher.publish({ topic: s.topic(), payload: "1", qos: 1 });
    const { client: second, connack } = await s.connected({ clientId, keep: true });
    assert.equal(connack.sessionPresent, true);
    await second.messages("1");
  },
);

rule(
  "where there is no session one is begun, and it is there the next time even if it holds nothing {3.1.1 [MQTT-3.1.2-4] [MQTT-3.2.2-3]} {5.0 [MQTT-3.1.2-6] [MQTT-3.2.2-3]}",
  async (s) => {
    const clientId = s.id("x");
    const first = await s.connected({ clientId, keep: true });
    assert.equal(first.connack.sessionPresent, false);
    await first.client.disconnect();
    const second = await s.connected({ clientId, keep: true });
    assert.equal(second.connack.sessionPresent, true);
  },
);

rule(
  "a session begun with Clean Start 1 outlives its connection when it has an expiry interval {5.0 [MQTT-3.1.2-23]}",
  async (s) => {
    const clientId = s.id("x");
    const properties = { sessionExpiryInterval: 3600 };
    const first = await s.connect({ clientId, cleanStart: true, properties });
    await first.subscribe(s.topic());
    await first.disconnect();
    const second = await s.connected({ clientId, cleanStart: false, properties });
    assert.equal(second.connack.sessionPresent, true);
  },
);

rule(
  "retained messages do not end with the session that published them {3.1.1 [MQTT-3.1.2-7]}",
  async (s) => {
    const publisher = await s.connect({ clientId: s.id("x") });
    await publisher.publish({ topic: s.topic(), payload: "kept", qos: 1, retain: true });
    await publisher.disconnect();
    await (await s.connect({ clientId: s.id("x") })).disconnect();
    const reader = await s.connect();
    await reader.subscribe(s.topic());
    await reader.messages("kept");
  },
);

rule(
  "the Client Identifier alone names the session {3.1.1 [MQTT-3.1.3-2]} {5.0 [MQTT-3.1.3-2]}",
  async (s) => {
    const names = ["x", "X", "x ", "é", "e\u0301"].map((name) => s.id(name));
    for (const clientId of names) {
      const client = await s.connect({ clientId, keep: true });
      await client.subscribe(`${s.topic()}/${names.indexOf(clientId)}`);
      await client.disconnect();
    }
    const publisher = await s.connect();
    for (const index of names.keys()) {
      await publisher.publish({ topic: `${s.topic()}/${index}`, payload: `${index}`, qos: 1 });
    }
    for (const [index, clientId] of names.entries()) {
      const { client, connack } = await s.connected({ clientId, keep: true });
      assert.equal(connack.sessionPresent, true);
      await client.messages(`${index}`);
      await client.quiet();
    }
  },
);
