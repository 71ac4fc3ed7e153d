import { setTimeout as delay } from "node:timers/promises";
import { expect } from "vitest";
import { Canary, expectUndisturbed, songOf } from "../faults/canary.ts";
import { type FaultRun, faultTest, scaled } from "../faults/fault-test.ts";
import type { Random } from "../faults/random.ts";
import { FaultProxy } from "../helpers/fault-proxy.ts";
import { startMosquitto } from "../helpers/mosquitto.ts";
import { until } from "../helpers/until.ts";
import { Machine } from "./gateways.ts";
import { type Account, Traffic } from "./traffic.ts";

const FLAPS = scaled(4, 500);
const KILLS = scaled(2, 200);

const TOPICS = ["plant/a", "plant/b", "plant/c"];

/** The edge's bridge through a proxy; marks need MQTT 5. */
function bridge(tcpPort: number, version: 4 | 5): object {
  return {
    cloud: {
      server: `mqtt://127.0.0.1:${tcpPort}`,
      proto_ver: version,
      keepalive_s: 1,
      backoff_max_s: 1,
      connect_timeout_s: 2,
      forwards: [{ local_topic: "plant/#", prefix: "up/" }],
    },
  };
}

/** One way in which a line fails, for `ms`. */
async function flap(proxy: FaultProxy, random: Random, ms: number): Promise<void> {
  switch (random.int(0, 6)) {
    case 0:
      proxy.breakAll("rst");
      return;
    case 1:
      proxy.breakAll("fin");
      return;
    case 2:
      proxy.freeze();
      proxy.isHole = true;
      break;
    case 3:
      proxy.line = { delayMs: 0, bytesPerS: 0, loss: 0.3 };
      break;
    case 4:
      proxy.line = { delayMs: random.int(100, 2000), bytesPerS: 0, loss: 0 };
      break;
    case 5:
      proxy.line = { delayMs: 0, bytesPerS: 1000, loss: 0 };
      break;
    default:
      // Half open: this side does not know yet.
      proxy.freeze();
  }
  await delay(ms);
  if (proxy.isHole) proxy.breakAll("rst");
  proxy.heal();
}

function figures(account: Account): Record<string, number> {
  const { sent, acknowledged, arrived, lost, disordered, duplicates } = account;
  return {
    sent,
    acknowledged,
    arrived,
    lost: lost.length,
    disordered: disordered.length,
    duplicates,
  };
}

async function flaps(
  cloudPort: number,
  version: 4 | 5,
  { random, report }: FaultRun,
): Promise<Account> {
  const proxy = await FaultProxy.start(cloudPort, () => random.fraction());
  const edge = await Machine.start(bridge(proxy.tcpPort, version));
  const traffic = new Traffic(TOPICS);
  await traffic.receive(() => cloudPort, "up/");
  await until("the bridge", async () => (await edge.status("cloud"))["state"] === "connected");
  const canary = await Canary.start(edge.tcpPort);
  traffic.start(() => edge.tcpPort, 5);
  for (let n = 0; n < FLAPS; n++) {
    await delay(random.int(50, 400));
    await flap(
      proxy,
      random,
      random.chance(0.05) ? scaled(1500, 10_000) : random.int(100, scaled(600, 2000)),
    );
  }
  proxy.heal();
  await traffic.stop();
  const account = await traffic.account(scaled(20_000, 300_000));
  const measured = await canary.stop();
  report({ flaps: FLAPS, ...figures(account), ...songOf(measured) });
  expect(account.lost).toEqual([]);
  expect(account.disordered).toEqual([]);
  expectUndisturbed(measured);
  return account;
}

faultTest(
  `${FLAPS} flaps of the line to mosquitto lose nothing, keep the order, and the LAN does not notice`,
  { short: 60_000, long: 3_600_000 },
  async (run) => {
    const cloud = await startMosquitto({ lines: ["max_queued_messages 0"] });
    const account = await flaps(cloud.tcpPort, 4, run);
    expect(account.acknowledged).toBeGreaterThan(FLAPS * 5);
  },
);

faultTest(
  `${FLAPS} flaps of the line to another Tidegate double nothing either`,
  { short: 60_000, long: 3_600_000 },
  async (run) => {
    const cloud = await Machine.start();
    const account = await flaps(cloud.tcpPort, 5, run);
    expect(account.duplicates).toBe(0);
  },
);

faultTest(
  `${KILLS} kills of the sending Tidegate under load: nothing lost, in order, nothing double`,
  { short: 60_000, long: 3_600_000 },
  async ({ random, report }) => {
    const cloud = await Machine.start();
    const edge = await Machine.start(bridge(cloud.tcpPort, 5));
    const traffic = new Traffic(TOPICS);
    await traffic.receive(() => cloud.tcpPort, "up/");
    traffic.start(() => edge.tcpPort, 2);
    for (let n = 0; n < KILLS; n++) {
      await delay(random.int(50, 800));
      await edge.kill();
    }
    await delay(200);
    await traffic.stop();
    const account = await traffic.account(scaled(20_000, 300_000));
    report({ kills: edge.kills, ...figures(account) });
    expect(account.lost).toEqual([]);
    expect(account.disordered).toEqual([]);
    expect(account.duplicates).toBe(0);
  },
);

faultTest(
  `${KILLS} kills of the receiving Tidegate under load: nothing lost, in order`,
  { short: 60_000, long: 3_600_000 },
  async ({ random, report }) => {
    const cloud = await Machine.start();
    const edge = await Machine.start(bridge(cloud.tcpPort, 5));
    const traffic = new Traffic(TOPICS);
    await traffic.receive(() => cloud.tcpPort, "up/");
    traffic.start(() => edge.tcpPort, 2);
    for (let n = 0; n < KILLS; n++) {
      await delay(random.int(50, 800));
      await cloud.kill();
    }
    await delay(200);
    await traffic.stop();
    const account = await traffic.account(scaled(20_000, 300_000));
    report({ kills: cloud.kills, ...figures(account) });
    expect(account.lost).toEqual([]);
    expect(account.disordered).toEqual([]);
  },
);
