import { describe, expect, onTestFinished } from "vitest";
import { startChild } from "../helpers/child.ts";
import { TEST_CONFIG } from "../helpers/gateway-process.ts";
import { until } from "../helpers/until.ts";
import { builtGateway } from "./built-gateway.ts";
import { Canary, expectUndisturbed, songOf } from "./canary.ts";
import { watchRss } from "./crowd.ts";
import { faultTest, IS_LONG, scaled } from "./fault-test.ts";
import { expectFaultless, Fleet } from "./fleet.ts";
import { FaultyGateway } from "./gateway.ts";
import { canLimitMemory, createMemoryGroup } from "./memory-group.ts";
import { SessionClient } from "./session-client.ts";

const MB = 2 ** 20;

describe.skipIf(!canLimitMemory())("with little memory", () => {
  const program = builtGateway();

  for (const limitMb of IS_LONG ? [256, 128] : [112]) {
    faultTest(
      `of ${limitMb} MB in all, the gateway holds its load and the frozen readers, and loses nothing`,
      { short: 60_000, long: 900_000 },
      async ({ report }) => {
        const group = createMemoryGroup(limitMb * MB);
        const config = TEST_CONFIG;
        const { wrapper } = group;
        const life = await new FaultyGateway({ config, wrapper, program: program() }).start();
        const { tcp } = life.ports;
        const fleet = new Fleet();
        await fleet.settleIn(tcp);
        // Nobody is away here: what their queues may hold by default would be exceeded.
        await fleet.connect(tcp, true);
        fleet.resume();

        // 200 clients, 1,000 messages of 256 bytes a second, of which each goes to three.
        let received = 0;
        const clients = Array.from(
          { length: 200 },
          (_, n) => new SessionClient({ clientId: `load-${n}`, onMessage: () => received++ }),
        );
        for (const [n, client] of clients.entries()) {
          await client.connect(tcp);
          if (n < 30) await client.subscribe([`load/${n % 10}/#`], 1);
        }
        const frozen = Array.from(
          { length: 10 },
          (_, n) => new SessionClient({ clientId: `frozen-${n}`, isPersistent: n % 2 === 0 }),
        );
        onTestFinished(() => {
          for (const client of [...clients, ...frozen]) client.drop();
        });
        for (const client of frozen) {
          await client.connect(tcp);
          await client.subscribe(["load/#", "bulk"], 1);
          client.socket.pause();
        }
        const canary = await Canary.start(tcp);
        let acknowledged = 0;
        let published = 0;
        const peakRss = watchRss(life);
        const payload = Buffer.alloc(256, "x");
        const bulk = Buffer.alloc(65_536, "x");
        const timer = setInterval(() => {
          for (let n = 0; n < 50; n++) {
            const client = clients[(published + 30) % 200];
            client?.publish(`load/${published % 10}/x`, payload, {
              ...{ qos: 1, onOutcome: () => acknowledged++ },
            });
            published++;
          }
          clients[0]?.publish("bulk", bulk, { qos: 0 });
        }, 50);
        onTestFinished(() => clearInterval(timer));
        const target = scaled(3000, 180_000);
        const isDone = () => {
          if (life.isAlive()) return published >= target;
          throw new Error(
            `the gateway died after ${published} messages:\n${life.child.output().slice(-1000)}`,
          );
        };
        await until(`${target} messages`, isDone, scaled(20_000, 600_000));
        clearInterval(timer);
        await until("all acknowledgements", () => acknowledged === published);
        const figures = await canary.stop();
        const verdict = await fleet.settle(tcp);
        report({ published, received, sent: verdict.sent, peakRssMb: peakRss() >> 20 });
        report(songOf(figures));
        expect(received).toBe(published * 3);
        expectUndisturbed(figures);
        expectFaultless(verdict);
        expect(fleet.closedConnections).toBe(0);
        expect(group.kills()).toBe(0);
        expect(await life.end()).toEqual({ code: 0, signal: null });
      },
    );
  }

  faultTest(
    "that somebody else takes away, a gateway killed for it comes back with all it acknowledged",
    { short: 60_000, long: 900_000 },
    async ({ report }) => {
      const kills = scaled(1, 20);
      const fleet = new Fleet();
      const gateway = new FaultyGateway({ program: program() });
      let isSettledIn = false;
      for (let kill = 1; kill <= kills; kill++) {
        const group = createMemoryGroup(192 * MB);
        gateway.become({ wrapper: group.victimWrapper });
        const life = await gateway.start();
        if (isSettledIn) await fleet.connect(life.ports.tcp, kill % 2 === 0);
        else await fleet.settleIn(life.ports.tcp);
        isSettledIn = true;
        fleet.resume();
        await fleet.progress(200);
        // A line without an end, which tail keeps as a whole.
        const [command = "", ...args] = group.wrapper;
        const hoard = ["/bin/sh", "-c", "head -c 180M /dev/zero | tail -n 1 | wc -c"];
        const hog = startChild(command, [...args, ...hoard]);
        expect(await life.child.exited).toEqual({ code: null, signal: "SIGKILL" });
        expect(group.kills()).toBeGreaterThan(0);
        fleet.drop();
        await hog.exited;
      }
      gateway.become({ wrapper: [] });
      const life = await gateway.start();
      const verdict = await fleet.settle(life.ports.tcp);
      report({ kills, sent: verdict.sent, delivered: verdict.delivered, repeats: verdict.repeats });
      expectFaultless(verdict);
      expect(fleet.lostSessions).toBe(0);
    },
  );
});
