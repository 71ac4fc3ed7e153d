import assert from "node:assert/strict";
import { ackPacket, publishPacket } from "./packets.ts";
import { suite } from "./suite.ts";

const rule = suite();

rule(
  "a session is not over while its connection is open, whatever its expiry interval {5.0 [MQTT-4.1.0-1]}",
  async (s) => {
    const watcher = await s.connect();
    await Promise.all(
      [0, 1].map(async (sessionExpiryInterval) => {
        const topic = s.topic(`${sessionExpiryInterval}`);
        const clientId = s.id(`${sessionExpiryInterval}`);
        const properties = { sessionExpiryInterval };
        const client = await s.connect({ clientId, cleanStart: false, properties });
        await client.subscribe(topic);
        await s.elapse(1400);
        await watcher.publish({ topic, payload: "still here", qos: 0 });
        await client.messages("still here");
        await client.drop();
        const again = await s.connected({ clientId, cleanStart: false, properties });
        assert.equal(again.connack.sessionPresent, sessionExpiryInterval === 1);
      }),
    );
  },
);

rule("a session is discarded when its expiry interval is over {5.0 [MQTT-4.1.0-2]}", async (s) => {
  const publisher = await s.connect();
  const properties = { sessionExpiryInterval: 1 };
  await Promise.all(
    ["abrupt", "orderly"].map(async (end) => {
      const fields = { clientId: s.id(end), cleanStart: false, properties };
      const first = await s.connect(fields);
      await first.subscribe(s.topic());
      if (end === "abrupt") await first.drop();
      else await first.disconnect();
    }),
  );
  await publisher.publish({ topic: s.topic(), payload: "for nobody", qos: 1 });
  await s.elapse(1300);
  for (const end of ["abrupt", "orderly"]) {
    const fields = { clientId: s.id(end), cleanStart: false, properties };
    const { client, connack } = await s.connected(fields);
    assert.equal(connack.sessionPresent, false);
    await publisher.publish({ topic: s.topic(), payload: "for nobody", qos: 1 });
    await client.quiet();
  }
});

rule(
  "a session that ends with its connection is discarded at once {3.1.1 [MQTT-3.1.2-6]} {5.0 [MQTT-4.1.0-2]}",
  async (s) => {
    const first = await s.connect({ clientId: s.id("x") });
    await first.subscribe(s.topic());
    await first.drop();
    const { client, connack } = await s.connected({ clientId: s.id("x"), keep: true });
    assert.equal(connack.sessionPresent, false);
    await client.publish({ topic: s.topic(), payload: "x", qos: 1 });
    await client.quiet();
  },
);

rule(
  "a session keeps subscriptions, messages on their way, those that wait, and identifiers received {3.1.1 [MQTT-4.1.0-1] [MQTT-4.1.0-2]} {5.0 [MQTT-4.1.0-1]}",
  async (s) => {
    const watcher = await s.connect();
    await watcher.subscribe(s.topic("out"));
    const publisher = await s.connect();
    const first = await s.connect({ clientId: s.id("x"), keep: true });
    await first.subscribe(s.topic());
    const half = { topic: s.topic("out"), payload: "once", qos: 2, packetId: 9 };
    first.send(publishPacket(s.version, half));
    await first.acked("pubrec", 9);
    await publisher.publish({ topic: s.topic(), payload: "on its way", qos: 1 });
    await first.expect("publish");
    await first.drop();
    await publisher.publish({ topic: s.topic(), payload: "waiting", qos: 2 });
    for (let i = 0; i < 3; i++) {
      const client = await s.connect({ clientId: s.id("x"), keep: true });
      await client.expect("publish");
      await client.expect("publish");
      client.send(publishPacket(s.version, { ...half, dup: true }));
      await client.acked("pubrec", 9);
      await client.drop();
    }
    const last = await s.connect({ clientId: s.id("x"), keep: true });
    await last.messages("on its way", "waiting");
    last.send(ackPacket("pubrel", 9));
    await last.acked("pubcomp", 9);
    await watcher.messages("once");
    await watcher.quiet();
  },
);

rule("the expiry interval is that of the newest CONNECT {5.0 [MQTT-4.1.0-2]}", async (s) => {
  const clientId = s.id("x");
  await (await s.connect({ clientId, keep: true })).disconnect();
  const second = await s.connected({ clientId, cleanStart: false });
  assert.equal(second.connack.sessionPresent, true);
  await second.client.disconnect();
  const third = await s.connected({ clientId, cleanStart: false });
  assert.equal(third.connack.sessionPresent, false);
});
