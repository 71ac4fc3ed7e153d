import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, onTestFinished } from "vitest";
import { TEST_CONFIG } from "../helpers/gateway-process.ts";
import { until } from "../helpers/until.ts";
import { clientsOf } from "./api.ts";
import { Canary, expectUndisturbed, songOf } from "./canary.ts";
import { connected, crowd, MAX_RSS_BYTES, watchRss } from "./crowd.ts";
import { faultTest, scaled } from "./fault-test.ts";
import { FaultyGateway, readFootprint } from "./gateway.ts";
import { SessionClient } from "./session-client.ts";

describe("nobody else is kept waiting", () => {
  faultTest(
    "by 10 frozen readers of 200: they are cut off, the others get everything, and publishers are acknowledged at once",
    { short: 60_000, long: 900_000 },
    async ({ report }) => {
      const config = `${TEST_CONFIG}\nmqtt: {stalled_reader_s: ${scaled(2, 10)}}\n`;
      const life = await new FaultyGateway({ config }).start();
      const { tcp, http } = life.ports;
      let received = 0;
      const readers = await crowd(tcp, 190, (n) => ({
        clientId: `reader-${n}`,
        onMessage: () => received++,
      }));
      for (const reader of readers) await reader.subscribe(["plant/+/value"], 1);
      // Half of them with sessions that go on, whose queue is on the disk.
      const frozen = await crowd(tcp, 10, (n) => ({
        ...{ clientId: `frozen-${n}`, version: n < 5 ? 4 : 5, isPersistent: n % 2 === 0 },
      }));
      for (const [n, client] of frozen.entries()) {
        await client.subscribe(["plant/#"], n < 5 ? 0 : 1);
        client.socket.pause();
      }
      const publishers = await crowd(tcp, scaled(20, 170), (n) => ({ clientId: `source-${n}` }));
      const peakRss = watchRss(life);
      const canary = await Canary.start(tcp, ["plant/canary"]);

      const bulk = Buffer.alloc(16_384, "x");
      const startedMs = performance.now();
      let published = 0;
      let acknowledged = 0;
      const timer = setInterval(() => {
        for (const [n, publisher] of publishers.entries()) {
          if (publisher.unsettled > 100) continue;
          const onOutcome = () => acknowledged++;
          publisher.publish(`plant/${n}/value`, Buffer.from("21.5"), { qos: 1, onOutcome });
          published++;
          // What fills the buffers on the way to the frozen ones.
          if (n < 20) publisher.publish(`plant/${n}/bulk`, bulk, { qos: 0 });
        }
      }, 100);
      onTestFinished(() => clearInterval(timer));
      await until(
        "the frozen readers to be cut off",
        async () => {
          const clients = await clientsOf(http);
          return !frozen.some(({ options }) => clients.get(options.clientId) === true);
        },
        25_000,
      );
      const cutMs = performance.now() - startedMs;
      await delay(Math.max(0, scaled(0, 600_000) - cutMs));
      clearInterval(timer);
      await until("all acknowledgements", () => acknowledged === published);
      await until("all readers to have all", () => received === published * readers.length);
      const figures = await canary.stop();
      const rssBytes = peakRss();
      report({ published, received, cutMs: Math.round(cutMs), peakRssMb: rssBytes >> 20 });
      report(songOf(figures));
      expectUndisturbed(figures);
      expect(rssBytes).toBeLessThan(MAX_RSS_BYTES);
      expect(await life.end()).toEqual({ code: 0, signal: null });
    },
  );

  faultTest(
    "by a storm of connections that come, subscribe and go, half of them without a word",
    { short: 60_000, long: 300_000 },
    async ({ report }) => {
      const life = await new FaultyGateway({ config: TEST_CONFIG }).start();
      const { tcp } = life.ports;
      const before = readFootprint(life.pid);
      const canary = await Canary.start(tcp);
      const count = scaled(400, 20_000);
      let made = 0;
      const come = async () => {
        while (made < count) {
          const n = made++;
          const client = await connected(tcp, {
            clientId: `storm-${n % 200}-${n % 2}`,
            ...{ version: n % 2 === 0 ? 4 : 5, isPersistent: n % 4 === 0 },
          });
          await client.subscribe([`storm/${n}`, "storm/+"], 1);
          await (n % 2 === 0 ? client.end() : client.drop());
          const mute = connect(tcp, "127.0.0.1");
          await once(mute, "connect");
          mute.resetAndDestroy();
        }
      };
      await Promise.all(Array.from({ length: 30 }, come));
      const figures = await canary.stop();
      report({ connections: count * 2, ...songOf(figures) });
      expectUndisturbed(figures);
      await until(
        "their descriptors to be given back",
        () => readFootprint(life.pid).descriptors <= before.descriptors + 3,
      );
      expect(await life.end()).toEqual({ code: 0, signal: null });
    },
  );

  faultTest(
    "by subscriptions to # over 20,000 retained messages, all of which arrive",
    { short: 60_000, long: 120_000 },
    async ({ report }) => {
      const life = await new FaultyGateway({ config: TEST_CONFIG }).start();
      const { tcp } = life.ports;
      const retained = 20_000;
      const source = await connected(tcp, { clientId: "source", window: 1000 });
      let stored = 0;
      for (let n = 0; n < retained; n++) {
        source.publish(`retained/${n % 100}/${n}`, Buffer.alloc(100), {
          ...{ qos: 1, retain: true },
          onOutcome: () => stored++,
        });
      }
      await until("all to be stored", () => stored === retained, 30_000);
      const canary = await Canary.start(tcp);
      const times = scaled(10, 50);
      const counts: number[] = [];
      const readers = await crowd(tcp, 5, (n) => {
        counts[n] = 0;
        return {
          ...{ clientId: `reader-${n}`, version: n % 2 === 0 ? 4 : 5 },
          onMessage: ({ retain }) => {
            if (retain) counts[n] = (counts[n] ?? 0) + 1;
          },
        };
      });
      await Promise.all(
        readers.map(async (reader, n) => {
          for (let time = 1; time <= times / 5; time++) {
            await reader.subscribe(["#"], time % 2 === 0 ? 0 : 1);
            const has = () => (counts[n] ?? 0) >= time * retained;
            await until(`retained messages again, the ${time}. time`, has, 30_000);
          }
        }),
      );
      const figures = await canary.stop();
      report({ subscriptions: times, retained, ...songOf(figures) });
      expectUndisturbed(figures);
      expect(counts).toEqual(readers.map(() => (times / 5) * retained));
      expect(await life.end()).toEqual({ code: 0, signal: null });
    },
  );

  faultTest(
    "by a subscriber with 1,000 filters, nor by one with 100,000 where that is allowed, coming, going and coming back",
    { short: 60_000, long: 120_000 },
    async ({ report }) => {
      const life = await new FaultyGateway({
        config: `${TEST_CONFIG}
mqtt: {max_subscriptions_per_client: 100000, max_filters_per_subscribe: 1000}
`,
      }).start();
      const { tcp } = life.ports;
      const source = await connected(tcp, { clientId: "source" });
      const canary = await Canary.start(tcp);
      for (const count of [1000, 100_000]) {
        let hits = 0;
        const greedy = new SessionClient({
          ...{ clientId: `greedy-${count}`, isPersistent: true },
          onMessage: () => hits++,
        });
        onTestFinished(() => greedy.drop());
        await greedy.connect(tcp);
        for (let from = 0; from < count; from += 1000) {
          const filters = Array.from({ length: 1000 }, (_, n) => `${n % 7}/+/${from + n}/#`);
          expect(await greedy.subscribe(filters, 1)).toEqual(filters.map(() => 1));
        }
        for (let n = 0; n < 100; n++) {
          await source.published(`${n % 7}/x/${n}/y`, Buffer.from("x"), { qos: 1 });
        }
        greedy.drop();
        expect(await greedy.connect(tcp)).toBe(true);
        await until("what matches", () => hits >= 100);
        greedy.drop();
        // Ends the session with all it holds.
        const clean = await connected(tcp, { clientId: greedy.options.clientId });
        await clean.end();
      }
      const figures = await canary.stop();
      report({ filters: 101_000, ...songOf(figures) });
      expectUndisturbed(figures);
      expect(await life.end()).toEqual({ code: 0, signal: null });
    },
  );
});
