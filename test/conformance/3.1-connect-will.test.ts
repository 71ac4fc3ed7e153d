import assert from "node:assert/strict";
import { connectPacket, disconnectPacket } from "./packets.ts";
import { suite } from "./suite.ts";

const rule = suite();

rule(
  "the will is published when the connection breaks, with its QoS {3.1.1 [MQTT-3.1.2-8]} {5.0 [MQTT-3.1.2-7] [MQTT-3.1.2-8]}",
  async (s) => {
    const watcher = await s.connect();
    await watcher.subscribe(s.topic());
    for (const qos of [0, 1, 2]) {
      for (const keep of [false, true]) {
        const will = { topic: s.topic(), payload: `gone ${qos}`, qos };
        const client = await s.connect({ clientId: s.id(`${qos}${keep}`), keep, will });
        await client.drop();
        const message = await watcher.message();
        assert.equal(message.text, `gone ${qos}`);
        assert.equal(message.qos, qos);
      }
    }
  },
);

rule(
  "the will is published when the server closes because of an error {3.1.1 [MQTT-3.1.2-8]} {5.0 [MQTT-3.1.2-8]}",
  async (s) => {
    const watcher = await s.connect();
    await watcher.subscribe(s.topic());
    const client = await s.connect({ will: { topic: s.topic(), payload: "gone" } });
    client.send(connectPacket(s.version, { clientId: "again" }));
    await client.refused(0x82);
    await watcher.messages("gone");
  },
);

rule(
  "the will is published when another connection takes over {3.1.1 [MQTT-3.1.2-8]} {5.0 [MQTT-3.1.2-8]}",
  async (s) => {
    const watcher = await s.connect();
    await watcher.subscribe(s.topic());
    const will = { topic: s.topic(), payload: "gone" };
    const first = await s.connect({ clientId: s.id("x"), will });
    await s.connect({ clientId: s.id("x") });
    await first.refused(0x8e);
    await watcher.messages("gone");
  },
);

rule(
  "a client that disconnects takes its will with it {3.1.1 [MQTT-3.1.2-8] [MQTT-3.1.2-10] [MQTT-3.14.4-3]} {5.0 [MQTT-3.1.2-8] [MQTT-3.1.2-10] [MQTT-3.14.4-3]}",
  async (s) => {
    const watcher = await s.connect();
    await watcher.subscribe(s.topic());
    for (const keep of [false, true]) {
      const will = { topic: s.topic(), payload: "gone", qos: 1, retain: true };
      const client = await s.connect({ clientId: s.id(`${keep}`), keep, will });
      await client.disconnect();
      const again = await s.connect({ clientId: s.id(`${keep}`), keep });
      await again.drop();
    }
    await s.connect({ clientId: s.id("false") });
    await watcher.quiet();
    const late = await s.connect();
    await late.subscribe(s.topic());
    await watcher.publish({ topic: s.topic(), payload: "first" });
    await late.messages("first");
  },
);

rule("DISCONNECT with reason 0x04 has the will published {5.0 [MQTT-3.1.2-8]}", async (s) => {
  const watcher = await s.connect();
  await watcher.subscribe(s.topic());
  const client = await s.connect({ will: { topic: s.topic(), payload: "gone" } });
  client.send(disconnectPacket(s.version, 0x04));
  await client.closed();
  await watcher.messages("gone");
});

rule(
  "a will is published once, and not for a connection that named none {3.1.1 [MQTT-3.1.2-10] [MQTT-3.1.2-12]} {5.0 [MQTT-3.1.2-10]}",
  async (s) => {
    const watcher = await s.connect();
    await watcher.subscribe(s.topic());
    const will = { topic: s.topic(), payload: "gone" };
    const first = await s.connect({ clientId: s.id("x"), keep: true, will });
    await first.drop();
    await watcher.messages("gone");
    const second = await s.connect({ clientId: s.id("x"), keep: true });
    await second.drop();
    const third = await s.connect({ clientId: s.id("x"), keep: true });
    await third.publish({ topic: s.topic(), payload: "end" });
    await watcher.messages("end");
  },
);

rule(
  "Will Retain 0 publishes the will without keeping it {3.1.1 [MQTT-3.1.2-16]} {5.0 [MQTT-3.1.2-14]}",
  async (s) => {
    const watcher = await s.connect();
    await watcher.subscribe(s.topic());
    await watcher.publish({ topic: s.topic("after"), payload: "marker", qos: 1, retain: true });
    const client = await s.connect({ will: { topic: s.topic(), payload: "gone" } });
    await client.drop();
    assert.equal((await watcher.message()).retain, false);
    const late = await s.connect();
    await late.subscribe([{ filter: s.topic() }, { filter: s.topic("after") }]);
    await late.messages("marker");
  },
);

rule(
  "Will Retain 1 keeps the will as a retained message {3.1.1 [MQTT-3.1.2-17]} {5.0 [MQTT-3.1.2-15]}",
  async (s) => {
    const watcher = await s.connect();
    await watcher.subscribe(s.topic());
    const will = { topic: s.topic(), payload: "gone", qos: 1, retain: true };
    const client = await s.connect({ will });
    await client.drop();
    await watcher.messages("gone");
    const late = await s.connect();
    await late.subscribe(s.topic());
    const [kept] = await late.messages("gone");
    assert.equal(kept?.retain, true);
  },
);

rule(
  "the will waits for its delay, and no longer than the session lasts {5.0 [MQTT-3.1.2-8]}",
  async (s) => {
    const watcher = await s.connect();
    await watcher.subscribe(`${s.topic()}/+`);
    const cases: readonly [string, number, number][] = [
      ["delay", 1, 60],
      ["session", 60, 1],
    ];
    const startMs = performance.now();
    await Promise.all(
      cases.map(async ([name, willDelayInterval, sessionExpiryInterval]) => {
        const client = await s.connect({
          clientId: s.id(name),
          properties: { sessionExpiryInterval },
          will: { topic: `${s.topic()}/${name}`, properties: { willDelayInterval } },
        });
        await client.drop();
      }),
    );
    await watcher.quiet();
    const found = [(await watcher.message()).topic, (await watcher.message()).topic];
    const tookMs = performance.now() - startMs;
    assert(tookMs > 950, `the wills came after ${tookMs} ms`);
    assert.deepEqual(found.sort(), cases.map(([name]) => `${s.topic()}/${name}`).sort());
  },
);

rule(
  "a delayed will is published when a clean start ends its session {5.0 [MQTT-3.1.2-8]}",
  async (s) => {
    const watcher = await s.connect();
    await watcher.subscribe(s.topic());
    const client = await s.connect({
      clientId: s.id("x"),
      keep: true,
      will: { topic: s.topic(), payload: "gone", properties: { willDelayInterval: 3600 } },
    });
    await client.drop();
    await watcher.quiet();
    await s.connect({ clientId: s.id("x"), cleanStart: true });
    await watcher.messages("gone");
  },
);

rule(
  "a client that is back within the Will Delay Interval has no will published {5.0 [MQTT-3.1.3-9]}",
  async (s) => {
    const watcher = await s.connect();
    await watcher.subscribe(s.topic());
    const will = { topic: s.topic(), payload: "gone", properties: { willDelayInterval: 1 } };
    const first = await s.connect({ clientId: s.id("x"), keep: true, will });
    await first.drop();
    const second = await s.connect({ clientId: s.id("x"), keep: true });
    await s.elapse(1300);
    await second.publish({ topic: s.topic(), payload: "still here" });
    await watcher.messages("still here");
  },
);

rule(
  "a connection that takes over within the Will Delay Interval has no will published {5.0 [MQTT-3.1.3-9]}",
  async (s) => {
    const watcher = await s.connect();
    await watcher.subscribe(s.topic());
    const will = { topic: s.topic(), payload: "gone", properties: { willDelayInterval: 1 } };
    const first = await s.connect({ clientId: s.id("x"), keep: true, will });
    const second = await s.connect({ clientId: s.id("x"), keep: true });
    await first.refused(0x8e);
    await s.elapse(1300);
    await second.publish({ topic: s.topic(), payload: "still here" });
    await watcher.messages("still here");
  },
);

rule(
  "the will carries its properties, User Properties in their order {5.0 [MQTT-3.1.3-10]}",
  async (s) => {
    const watcher = await s.connect();
    await watcher.subscribe(s.topic());
    const userProperties: [string, string][] = [
      ["b", "1"],
      ["a", "2"],
      ["b", "1"],
      ["", ""],
    ];
    const properties = {
      payloadFormatIndicator: 1,
      contentType: "text/plain",
      responseTopic: "answers/here",
      correlationData: Buffer.from([0, 1, 0xff]),
      userProperties,
    };
    const will = { topic: s.topic(), payload: "gone" };
    const client = await s.connect({
      will: { ...will, properties: { ...properties, messageExpiryInterval: 60 } },
    });
    await client.drop();
    const { properties: got } = await watcher.message();
    const { messageExpiryInterval, ...rest } = got;
    assert.deepEqual(rest, properties);
    assert.equal(messageExpiryInterval, 60);
  },
);
