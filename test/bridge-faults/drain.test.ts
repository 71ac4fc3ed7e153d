import { setTimeout as delay } from "node:timers/promises";
import { expect } from "vitest";
import { builtGateway } from "../faults/built-gateway.ts";
import { faultTest, IS_LONG, scaled } from "../faults/fault-test.ts";
import { expectFaultless } from "../faults/fleet.ts";
import { Cloud, Device, settled } from "../faults/forwarding.ts";
import { FaultyGateway } from "../faults/gateway.ts";
import { until } from "../helpers/until.ts";

const KILLS = scaled(3, 200);
const BACKLOG = scaled(3000, 10_000);
const PACE = scaled(1000, 2000);

/** Waiting messages that are a backlog for sure, and so have live traffic go past them. */
const LEAST = 500;

const program = IS_LONG ? builtGateway() : null;

faultTest(
  `${KILLS} kills while a backlog drains and live traffic goes past it: nothing lost, in order`,
  { short: 90_000, long: 3_600_000 },
  async ({ random, report }) => {
    const cloud = await Cloud.start();
    const { ledger } = cloud;
    const gateway = new FaultyGateway({
      config: cloud.config(`, max_inflight: 100, drain_max_messages_per_s: ${PACE}`),
      ...(program === null ? {} : { program: program() }),
    });
    const stored = devices(ledger, "stored", 10);
    const live = devices(ledger, "live", 4);
    // What a device adds goes behind what waits of its topic, and must stay there.
    const talking = [...live, ...stored.slice(0, 2)];
    const backlog = () => ledger.acknowledgements - cloud.came;

    let life = await gateway.start();
    const connect = () =>
      Promise.all([...stored, ...live].map((device) => device.connect(life.ports.tcp)));
    await connect();
    let refills = 0;
    let inDrain = 0;
    let breaks = 0;
    for (let kill = 1; kill <= KILLS; kill++) {
      if (backlog() < BACKLOG / 2) {
        cloud.goAway();
        await fill(stored, BACKLOG);
        await until("every PUBACK", () => ledger.pending === 0, 60_000);
        refills++;
      }
      const cameBefore = cloud.came;
      cloud.comeBack();
      for (const device of talking) device.resume();
      await until("the drain", () => cloud.came > cameBefore + 50, 20_000);
      await delay(random.int(1, 600));
      if (random.chance(0.2)) {
        cloud.relay.breakAll(true);
        breaks++;
        await delay(random.int(1, 300));
      }
      if (backlog() > LEAST) inDrain++;
      await life.end("SIGKILL");
      for (const device of [...stored, ...live]) {
        device.pause();
        device.client.drop();
      }
      life = await gateway.start();
      await connect();
    }
    const verdict = await settled(ledger, scaled(30_000, 120_000));
    const { sent, acknowledged, delivered, repeats, lost, disordered } = verdict;
    report({
      ...{ kills: KILLS, inDrain, refills, breaks, sent, acknowledged, delivered, repeats },
      ...{ lost: lost.length, disordered: disordered.length },
    });
    expectFaultless(verdict);
    expect(inDrain).toBeGreaterThanOrEqual(KILLS / 2);
    expect(await life.end()).toEqual({ code: 0, signal: null });
  },
);

function devices(ledger: Cloud["ledger"], name: string, count: number): Device[] {
  return Array.from(
    { length: count },
    (_, n) =>
      new Device(ledger, `${name}-${n}`, {
        version: n % 2 === 0 ? 4 : 5,
        qos: n % 4 < 2 ? 1 : 2,
        window: 50,
      }),
  );
}

async function fill(stored: readonly Device[], count: number): Promise<void> {
  let sent = 0;
  while (sent < count) {
    for (const device of stored) {
      while (device.client.unsettled < 100 && sent < count) {
        device.publish();
        sent++;
      }
    }
    await delay(1);
  }
}
