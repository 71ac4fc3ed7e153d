import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { expect } from "vitest";
import { until } from "../helpers/until.ts";
import { builtGateway } from "./built-gateway.ts";
import { faultTest, IS_LONG, scaled } from "./fault-test.ts";
import { expectFaultless } from "./fleet.ts";
import { Cloud, Device, settled } from "./forwarding.ts";
import { FaultyGateway, readFootprint } from "./gateway.ts";

const KILLS = scaled(5, 200);
const BACKLOG = scaled(20_000, 500_000);

/** faults.md L3, and what a flash card must bear at least. */
const MIN_STORED_PER_S = IS_LONG ? 5000 : 1000;
const OPEN_LIMIT_MS = 5000;

const program = IS_LONG ? builtGateway() : null;

faultTest(
  "what was acknowledged reaches the cloud in order through kills of the gateway and breaks of the link",
  { short: 90_000, long: 3_600_000 },
  async ({ random, report }) => {
    const cloud = await Cloud.start();
    const { ledger, relay } = cloud;
    const config = cloud.config();
    const gateway = new FaultyGateway({
      config,
      ...(program === null ? {} : { program: program() }),
    });
    const devices = ([4, 5] as const).flatMap((version) =>
      ([1, 2] as const).map(
        (qos) => new Device(ledger, `device-${version}-${qos}`, { version, qos }),
      ),
    );
    let life = await gateway.start();
    const connect = () => Promise.all(devices.map((device) => device.connect(life.ports.tcp)));
    await connect();
    let absences = 0;
    for (let kill = 1; kill <= KILLS; kill++) {
      for (const device of devices) device.resume();
      if (random.chance(0.4)) {
        cloud.goAway();
        absences++;
      } else cloud.comeBack();
      await delay(random.int(5, 400));
      if (random.chance(0.3)) relay.breakAll(true);
      if (random.chance(0.3)) await delay(random.int(1, 100));
      await life.end("SIGKILL");
      for (const { client } of devices) client.drop();
      if (random.chance(0.3)) cloud.comeBack();
      life = await gateway.start();
      await connect();
    }
    for (const device of devices) device.pause();
    cloud.comeBack();
    const verdict = await settled(ledger, scaled(20_000, 120_000));
    const { sent, acknowledged, delivered, repeats, lost } = verdict;
    report({ kills: KILLS, absences, sent, acknowledged, delivered, repeats, lost: lost.length });
    expectFaultless(verdict);
    expect(await life.end()).toEqual({ code: 0, signal: null });
  },
);

faultTest(
  `a backlog of ${BACKLOG} messages is stored, ready after a restart, drained in order, and gives its room back`,
  { short: 90_000, long: 900_000 },
  async ({ report }) => {
    const cloud = await Cloud.start();
    const { ledger } = cloud;
    cloud.goAway();
    const config = cloud.config(", max_inflight: 1000");
    const gateway = new FaultyGateway({
      config,
      ...(program === null ? {} : { program: program() }),
    });
    const store = join(gateway.dataDir, "store");
    let life = await gateway.start();
    const before = bytesIn(store);
    const devices = Array.from(
      { length: 4 },
      (_, n) => new Device(ledger, `device-${n}`, { window: 200 }),
    );
    await Promise.all(devices.map((device) => device.connect(life.ports.tcp)));

    let startedMs = performance.now();
    let sent = 0;
    while (sent < BACKLOG) {
      for (const device of devices) {
        while (device.client.unsettled < 400 && sent < BACKLOG) {
          device.publish();
          sent++;
        }
      }
      await delay(1);
    }
    await until("every PUBACK", () => ledger.pending === 0, 300_000);
    const storedPerS = Math.round((BACKLOG * 1000) / (performance.now() - startedMs));
    const full = bytesIn(store);
    const fullMb = megabytes(readFootprint(life.pid).rssBytes);

    for (const { client } of devices) client.drop();
    expect(await life.end()).toEqual({ code: 0, signal: null });
    life = await gateway.start();
    const { startMs } = life;
    expect(startMs).toBeLessThan(OPEN_LIMIT_MS);

    startedMs = performance.now();
    const cameBefore = cloud.came;
    cloud.comeBack();
    await until("the first message", () => cloud.came > cameBefore, 10_000);
    const firstMs = performance.now();
    // The ledger takes long to look all of them up.
    await until("the whole backlog", () => cloud.came >= BACKLOG, 300_000);
    const drainedPerS = Math.round((BACKLOG * 1000) / (performance.now() - firstMs));
    const verdict = await settled(ledger, 20_000);
    expectFaultless(verdict);
    expect(verdict.delivered).toBe(BACKLOG);
    const drainedMb = megabytes(readFootprint(life.pid).rssBytes);
    // LevelDB gives the room back when the store has it compact.
    await until("the room to be given back", () => bytesIn(store) < full / 10 + 1_000_000, 60_000);
    report({
      ...{ backlog: BACKLOG, storedPerS, drainedPerS, startMs: Math.round(startMs) },
      ...{ diskBeforeMb: megabytes(before), diskFullMb: megabytes(full) },
      ...{ diskAfterMb: megabytes(bytesIn(store)), rssFullMb: fullMb, rssDrainedMb: drainedMb },
      repeats: verdict.repeats,
    });
    expect(storedPerS).toBeGreaterThan(MIN_STORED_PER_S);
    expect(await life.end()).toEqual({ code: 0, signal: null });
  },
);

/** Bytes of LevelDB's files. */
function bytesIn(folder: string): number {
  return readdirSync(folder)
    .filter((name) => /\.(ldb|log)$/.test(name))
    .reduce(
      (sum, name) => sum + (statSync(join(folder, name), { throwIfNoEntry: false })?.size ?? 0),
      0,
    );
}

function megabytes(bytes: number): number {
  return Math.round(bytes / 100_000) / 10;
}
