import assert from "node:assert/strict";
import { suite } from "./suite.ts";

const rule = suite();

rule(
  "a client silent for one and a half times its Keep Alive is cut off as if the network had failed {3.1.1 [MQTT-3.1.2-24]} {5.0 [MQTT-3.1.2-22] [MQTT-3.2.2-22]}",
  async (s) => {
    const watcher = await s.connect();
    await watcher.subscribe(s.topic());
    const will = { topic: s.topic(), payload: "silent" };
    const { client, connack } = await s.connected({ keepAliveS: 1, will });
    assert.equal(connack.properties.serverKeepAlive, undefined);
    const startMs = performance.now();
    await client.refused(0x8d);
    const tookMs = performance.now() - startMs;
    assert(tookMs > 1400 && tookMs < 2500, `it was cut off after ${tookMs} ms`);
    await watcher.messages("silent");
  },
);

rule(
  "any packet is a sign of life, and Keep Alive 0 asks for none {3.1.1 [MQTT-3.1.2-24]} {5.0 [MQTT-3.1.2-22]}",
  async (s) => {
    const pinging = await s.connect({ keepAliveS: 1 });
    const publishing = await s.connect({ keepAliveS: 1 });
    const idle = await s.connect({ keepAliveS: 0 });
    for (let i = 0; i < 3; i++) {
      await s.elapse(700);
      await pinging.quiet();
      await publishing.publish({ topic: s.topic() });
    }
    await publishing.quiet();
    await idle.quiet();
  },
);

rule(
  "bytes that do not make a packet are no sign of life {3.1.1 [MQTT-3.1.2-24]} {5.0 [MQTT-3.1.2-22]}",
  async (s) => {
    const client = await s.connect({ keepAliveS: 1 });
    const startMs = performance.now();
    const trickling = client.trickle(Buffer.from([0x30, 0x7f, 0, 5]), 500);
    await client.refused(0x8d);
    const tookMs = performance.now() - startMs;
    assert(tookMs > 1400 && tookMs < 2500, `it was cut off after ${tookMs} ms`);
    await trickling;
  },
);
