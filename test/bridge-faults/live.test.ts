import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { expect } from "vitest";
import { builtGateway } from "../faults/built-gateway.ts";
import { faultTest, IS_LONG, scaled } from "../faults/fault-test.ts";
import { expectFaultless } from "../faults/fleet.ts";
import { Cloud, Device, settled } from "../faults/forwarding.ts";
import { FaultyGateway, readFootprint } from "../faults/gateway.ts";
import { until } from "../helpers/until.ts";

const BACKLOG = scaled(6000, 500_000);

/** Messages per second the backlog is sent with where it is paced. */
const PACE = scaled(1500, 5000);

const LIVE_TOPICS = 5;
const LIVE_PERIOD_MS = 20;

const program = IS_LONG ? builtGateway() : null;

/** Messages of topics that nothing waits of, and how long they take to the cloud. */
class LiveTraffic {
  readonly tookMs: number[] = [];
  readonly #sentMs = new Map<string, number[]>();
  readonly #devices: readonly Device[];
  #timer: NodeJS.Timeout | null = null;

  constructor(cloud: Cloud) {
    this.#devices = Array.from(
      { length: LIVE_TOPICS },
      (_, n) => new Device(cloud.ledger, `live-${n}`, { qos: n % 2 === 0 ? 1 : 2 }),
    );
    cloud.onArrival = (topic) => {
      const sentMs = this.#sentMs.get(topic)?.shift();
      if (sentMs !== undefined) this.tookMs.push(performance.now() - sentMs);
    };
  }

  async start(tcpPort: number): Promise<void> {
    await Promise.all(this.#devices.map((device) => device.connect(tcpPort)));
    let turn = 0;
    this.#timer = setInterval(() => {
      const device = this.#devices[turn++ % LIVE_TOPICS];
      if (device === undefined) return;
      const sent = this.#sentMs.get(device.topic) ?? [];
      this.#sentMs.set(device.topic, sent);
      sent.push(performance.now());
      device.publish();
    }, LIVE_PERIOD_MS);
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
  }

  /** How long so many of a hundred took at most. */
  percentileMs(percent: number): number {
    const sorted = this.tookMs.toSorted((a, b) => a - b);
    return sorted[Math.ceil((sorted.length * percent) / 100) - 1] ?? Number.NaN;
  }
}

for (const pace of [PACE, 0]) {
  const how = pace === 0 ? "as fast as it goes" : `at ${pace} a second`;
  faultTest(
    `a backlog of ${BACKLOG} messages is sent ${how}, and what is live goes past it`,
    { short: 60_000, long: 900_000 },
    async ({ report }) => {
      const cloud = await Cloud.start();
      const { ledger } = cloud;
      cloud.goAway();
      const gateway = new FaultyGateway({
        config: cloud.config(`, max_inflight: 200, drain_max_messages_per_s: ${pace}`),
        ...(program === null ? {} : { program: program() }),
      });
      const store = join(gateway.dataDir, "store");
      let life = await gateway.start();
      const diskBeforeMb = megabytes(bytesIn(store));

      const startedMs = performance.now();
      await fill(ledger, life.ports.tcp);
      const storedPerS = Math.round((BACKLOG * 1000) / (performance.now() - startedMs));
      const diskFullMb = megabytes(bytesIn(store));
      const rssFullMb = megabytes(readFootprint(life.pid).rssBytes);
      // What is in front of whom must be known after a restart too.
      await life.end();
      life = await gateway.start();

      const live = new LiveTraffic(cloud);
      const cameBefore = cloud.came;
      cloud.comeBack();
      await until("the first message", () => cloud.came > cameBefore, 10_000);
      await live.start(life.ports.tcp);
      const drainMs = performance.now();
      const rssWatch = watchRss(life.pid);
      await until("the backlog", () => cloud.came - live.tookMs.length >= BACKLOG, 600_000);
      const drainedPerS = Math.round((BACKLOG * 1000) / (performance.now() - drainMs));
      live.stop();
      const rssMostMb = rssWatch();
      const verdict = await settled(ledger, 20_000);
      expectFaultless(verdict);
      const isEmpty = () => bytesIn(store) < 2_000_000 + diskFullMb * 100_000;
      await until("the room to be given back", isEmpty, 60_000);
      report({
        ...{ backlog: BACKLOG, storedPerS, pace, drainedPerS, live: live.tookMs.length },
        liveP50Ms: tenths(live.percentileMs(50)),
        liveP99Ms: tenths(live.percentileMs(99)),
        liveWorstMs: tenths(live.percentileMs(100)),
        ...{ diskBeforeMb, diskFullMb, diskAfterMb: megabytes(bytesIn(store)) },
        ...{ rssFullMb, rssMostMb, repeats: verdict.repeats },
      });
      // Behind the backlog they would wait until its end.
      if (pace !== 0) expect(live.percentileMs(99)).toBeLessThan((500 * BACKLOG) / pace);
      if (pace !== 0) expect(drainedPerS).toBeLessThan(1.3 * pace);
      expect(live.tookMs.length).toBeGreaterThan(0);
      expect(await life.end()).toEqual({ code: 0, signal: null });
    },
  );
}

/** Publishes the backlog, and waits until all of it is acknowledged. */
async function fill(ledger: Cloud["ledger"], tcpPort: number): Promise<void> {
  const devices = Array.from(
    { length: 50 },
    (_, n) => new Device(ledger, `device-${n}`, { window: 100 }),
  );
  await Promise.all(devices.map((device) => device.connect(tcpPort)));
  let sent = 0;
  while (sent < BACKLOG) {
    for (const device of devices) {
      while (device.client.unsettled < 100 && sent < BACKLOG) {
        device.publish();
        sent++;
      }
    }
    await delay(1);
  }
  await until("every PUBACK", () => ledger.pending === 0, 300_000);
  for (const { client } of devices) client.drop();
}

/** Watches how much memory a process takes; the function returned ends it and tells, MB. */
function watchRss(pid: number): () => number {
  let mostBytes = 0;
  const look = () => {
    mostBytes = Math.max(mostBytes, readFootprint(pid).rssBytes);
  };
  const timer = setInterval(look, 100);
  return () => {
    clearInterval(timer);
    look();
    return megabytes(mostBytes);
  };
}

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

function tenths(ms: number): number {
  return Math.round(ms * 10) / 10;
}
