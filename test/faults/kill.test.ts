import { setTimeout as delay } from "node:timers/promises";
import { expect } from "vitest";
import { builtGateway } from "./built-gateway.ts";
import { faultTest, IS_LONG, scaled } from "./fault-test.ts";
import { expectFaultless, Fleet } from "./fleet.ts";
import { FaultyGateway } from "./gateway.ts";
import { Newcomers } from "./newcomers.ts";

const KILLS = scaled(6, 1000);
/** Everything is accounted for after this many, so that a loss is found near its cause. */
const KILLS_PER_AUDIT = 25;
const START_LIMIT_MS = 5000;

/** Many starts are worth a build: it halves each. */
const program = IS_LONG ? builtGateway() : null;

faultTest(
  `after kill -9 under load nothing acknowledged is lost, order is kept, QoS 2 comes once, and the start takes under ${START_LIMIT_MS} ms`,
  { short: 90_000, long: 3 * 3_600_000 },
  async ({ random, report }) => {
    const gateway = new FaultyGateway(program === null ? {} : { program: program() });
    const fleet = new Fleet();
    const newcomers = new Newcomers(random);
    let slowestStartMs = 0;
    let duringStart = 0;
    let life = await gateway.start();
    await fleet.settleIn(life.ports.tcp);

    const audit = async (kills: number) => {
      const verdict = await fleet.settle(life.ports.tcp);
      const { sent, acknowledged, delivered, repeats, lost } = verdict;
      report({
        ...{ kills, duringStart, sent, acknowledged, delivered, repeats, lost: lost.length },
        slowestStartMs: Math.round(slowestStartMs),
      });
      expectFaultless(verdict);
      expect(fleet.lostSessions).toBe(0);
    };

    for (let kill = 1; kill <= KILLS; kill++) {
      fleet.resume();
      const coming = newcomers.comeAndGo(life.ports.tcp);
      await delay(random.int(5, 500));
      await life.end("SIGKILL");
      fleet.drop();
      await coming;
      // Now and then it does not even come up.
      if (random.chance(0.1)) {
        const child = gateway.spawn();
        await delay(random.int(50, 900));
        await child.kill("SIGKILL");
        duringStart++;
      }
      life = await gateway.start();
      slowestStartMs = Math.max(slowestStartMs, life.startMs);
      expect(life.startMs, life.child.output()).toBeLessThan(START_LIMIT_MS);
      expect(life.child.output()).not.toMatch(/"level":"(error|fatal)"/);
      await newcomers.expectConfirmed(life);
      await fleet.expectRetained(life.ports.tcp);
      if (kill % KILLS_PER_AUDIT === 0) await audit(kill);
      else await fleet.connect(life.ports.tcp, random.chance(0.3));
    }

    await audit(KILLS);
    expect(await life.end()).toEqual({ code: 0, signal: null });
  },
);
