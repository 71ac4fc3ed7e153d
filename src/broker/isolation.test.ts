import { monitorEventLoopDelay } from "node:perf_hooks";
import { expect, test } from "vitest";
import { createBroker } from "./index.ts";
import { Rig, type RigOptions, until } from "./rig.testing.ts";
import { WireClient } from "./wire.testing.ts";

/** Nobody else may wait longer; the test's own work in the same process is part of what is measured. */
const WORST_MS = 100;

async function withRig(options: RigOptions, body: (rig: Rig) => Promise<void>): Promise<void> {
  const rig = await Rig.start(createBroker, options);
  try {
    await body(rig);
  } finally {
    await rig.close();
  }
}

/** Runs `body` and answers with the longest the event loop was held, ms. */
async function worstHold(body: () => Promise<void>): Promise<number> {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  await body();
  delay.disable();
  return delay.max / 1e6;
}

const frozen = async (rig: Rig, id: string, filter: string, qos: 0 | 1, properties = {}) => {
  const client = await WireClient.connect(rig.tcpPort, id, { properties });
  await client.subscribe(filter, qos);
  client.socket.pause();
  return client;
};

test("frozen readers lose QoS 0 first, then are cut off with their session kept, and delay nobody", () =>
  withRig({ bounds: { stalledReaderMs: 1500 }, msqLen: 100_000 }, async (rig) => {
    for (let n = 0; n < 3; n++) await frozen(rig, `f${n}`, "load/#", 0);
    await frozen(rig, "durable", "load/#", 1, { sessionExpiryInterval: 600 });
    const canary = await WireClient.connect(rig.tcpPort, "canary");
    canary.isAnswering = true;
    await canary.subscribe("canary", 1);
    const load = await WireClient.connect(rig.tcpPort, "load");
    load.isAnswering = true;
    let worstMs = 0;
    let sent = 0;
    await until(async () => {
      for (let n = 0; n < 20; n++)
        load.publish("load/x", "x".repeat(20_000), { qos: n === 0 ? 1 : 0, messageId: 1 });
      sent++;
      const startMs = performance.now();
      canary.publish("canary", `${sent}`, { qos: 1, messageId: 1 });
      await until(() => canary.texts.at(-1) === `${sent}`);
      worstMs = Math.max(worstMs, performance.now() - startMs);
      return (
        rig.broker.client("f2") === undefined && rig.broker.client("durable")?.isConnected === false
      );
    });
    expect(rig.broker.counters().dropped.queue_full).toBeGreaterThan(0);
    expect(worstMs).toBeLessThan(WORST_MS);
    // What was acknowledged is all there.
    load.publish("load/x", "last", { qos: 1, messageId: 2 });
    await until(() =>
      load.packets.some((packet) => packet.cmd === "puback" && packet.messageId === 2),
    );
    const back = await WireClient.open(rig.tcpPort);
    back.isAnswering = true;
    back.connect("durable", { clean: false, properties: { sessionExpiryInterval: 600 } });
    await until(() => back.texts.at(-1) === "last");
    expect(back.messages.filter(({ qos }) => qos === 1)).toHaveLength(sent + 1);
  }));

test("# over 20,000 retained messages does not hold the loop, and all of them arrive", () =>
  withRig({}, async (rig) => {
    for (let n = 0; n < 20_000; n++) await rig.publish(`r/${n % 100}/${n}`, "x", { retain: true });
    const clients = await Promise.all(
      [0, 1, 2].map((n) => WireClient.connect(rig.tcpPort, `c${n}`)),
    );
    const worst = await worstHold(async () => {
      for (const [n, client] of clients.entries()) {
        client.isAnswering = true;
        await client.subscribe("#", n === 2 ? 1 : 0);
      }
      await until(() => clients.every(({ messages }) => messages.length === 20_000));
    });
    expect(worst).toBeLessThan(WORST_MS);
  }));

test("a client of 100,000 filters delays nobody, neither coming nor going", () =>
  withRig(
    { mqtt: { max_subscriptions_per_client: 100_000, max_filters_per_subscribe: 1000 } },
    async (rig) => {
      const greedy = await WireClient.connect(rig.tcpPort, "greedy", {
        properties: { sessionExpiryInterval: 600 },
      });
      const worst = await worstHold(async () => {
        for (let n = 0; n < 100; n++) {
          const subscriptions = Array.from({ length: 1000 }, (_, i) => ({
            topic: `f/${n}/+/${i}`,
            qos: 1 as const,
          }));
          greedy.send({ cmd: "subscribe", messageId: 1, subscriptions });
          await greedy.next("suback");
        }
        greedy.drop();
        await until(() => rig.broker.client("greedy")?.isConnected === false);
        const again = { clean: false, properties: { sessionExpiryInterval: 600 } };
        const back = await WireClient.connect(rig.tcpPort, "greedy", again);
        await rig.publish("f/99/x/999", "found", { qos: 1 });
        await until(() => back.texts.includes("found"));
        await WireClient.connect(rig.tcpPort, "greedy", { clean: true });
        await rig.publish("f/99/x/999", "nobody", { qos: 1 });
      });
      expect(worst).toBeLessThan(WORST_MS);
    },
  ));

test("a publisher to 400 subscribers at full speed leaves others their turn", () =>
  withRig({ msqLen: 100 }, async (rig) => {
    const readers = await Promise.all(
      Array.from({ length: 400 }, (_, n) => WireClient.connect(rig.tcpPort, `r${n}`)),
    );
    for (const reader of readers) {
      for (let n = 0; n < 5; n++) {
        reader.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "t", qos: 0 }] });
      }
      reader.socket.pause();
    }
    const canary = await WireClient.connect(rig.tcpPort, "canary");
    const load = await WireClient.connect(rig.tcpPort, "load");
    let worstMs = 0;
    const bytes = Buffer.concat(
      Array.from({ length: 2000 }, () => Buffer.from([0x30, 6, 0, 1, 0x74, 0, 1, 2])),
    );
    load.socket.write(bytes);
    for (let n = 0; n < 20; n++) {
      const startMs = performance.now();
      await canary.settle();
      worstMs = Math.max(worstMs, performance.now() - startMs);
    }
    await load.settle();
    expect(worstMs).toBeLessThan(WORST_MS);
  }));
