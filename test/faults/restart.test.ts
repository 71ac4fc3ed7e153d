import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import { describe, expect } from "vitest";
import { makeCertificates, readPem } from "../helpers/certificates.ts";
import { TEST_CONFIG } from "../helpers/gateway-process.ts";
import { until } from "../helpers/until.ts";
import { clientsOf } from "./api.ts";
import { faultTest, scaled } from "./fault-test.ts";
import { expectFaultless, Fleet } from "./fleet.ts";
import { FAULT_CONFIG, FaultyGateway, readFootprint } from "./gateway.ts";

const RESTARTS = scaled(3, 200);
const RESTARTS_PER_AUDIT = 25;
const RELOADS = scaled(40, 1000);
/** For the way down as for the way up. */
const LIMIT_MS = 5000;

describe("restart storms", () => {
  faultTest(
    `SIGTERM under load ends the process with 0, loses nothing, and both ways take under ${LIMIT_MS} ms`,
    { short: 60_000, long: 3_600_000 },
    async ({ random, report }) => {
      const gateway = new FaultyGateway();
      const fleet = new Fleet();
      let slowestStartMs = 0;
      let slowestEndMs = 0;
      let life = await gateway.start();
      await fleet.settleIn(life.ports.tcp);

      for (let restart = 1; restart <= RESTARTS; restart++) {
        fleet.resume();
        await delay(random.int(5, 500));
        const endedMs = performance.now();
        expect(await life.end("SIGTERM"), life.child.output()).toEqual({ code: 0, signal: null });
        slowestEndMs = Math.max(slowestEndMs, performance.now() - endedMs);
        fleet.drop();
        life = await gateway.start();
        slowestStartMs = Math.max(slowestStartMs, life.startMs);
        await fleet.expectRetained(life.ports.tcp);
        if (restart % RESTARTS_PER_AUDIT === 0) expectFaultless(await fleet.settle(life.ports.tcp));
        else await fleet.connect(life.ports.tcp, random.chance(0.3));
      }

      const verdict = await fleet.settle(life.ports.tcp);
      const { sent, acknowledged, delivered, repeats, lost } = verdict;
      report({ restarts: RESTARTS, sent, acknowledged, delivered, repeats, lost: lost.length });
      report({
        slowestEndMs: Math.round(slowestEndMs),
        slowestStartMs: Math.round(slowestStartMs),
      });
      expectFaultless(verdict);
      expect(fleet.lostSessions).toBe(0);
      expect(Math.max(slowestEndMs, slowestStartMs)).toBeLessThan(LIMIT_MS);
    },
  );

  faultTest(
    "SIGTERM at any moment of a start ends the process, and the next start is a good one",
    { short: 60_000, long: 600_000 },
    async ({ random, report }) => {
      const gateway = new FaultyGateway();
      const first = await gateway.start();
      await first.end();
      const attempts = scaled(2, 100);
      let graceful = 0;
      for (let attempt = 0; attempt < attempts; attempt++) {
        const child = gateway.spawn();
        // Until the program's first lines run, the signal's default action ends it: loading takes most
        // of the time.
        await delay(first.startMs * (0.5 + 0.6 * random.fraction()));
        const exit = await child.kill("SIGTERM");
        if (exit.signal === null) graceful++;
        expect([0, null], child.output()).toContain(exit.code);
        expect(child.output()).not.toMatch(/"level":"(error|fatal)"|unsettled/);
      }
      report({ attempts, graceful });
      const life = await gateway.start();
      expect(await life.end()).toEqual({ code: 0, signal: null });
    },
  );

  faultTest(
    "SIGHUP, again and again under load, disturbs no connection, loses nothing and leaks no descriptor",
    { short: 60_000, long: 600_000 },
    async ({ report }) => {
      const { server, caFile } = makeCertificates();
      const gateway = new FaultyGateway({
        config: `${FAULT_CONFIG.replace("listeners:", "listeners:\n  tls: {enable: true, bind: 127.0.0.1, port: 0}")}
tls: {key_file: ${server.keyFile}, cert_file: ${server.certFile}}
`,
      });
      const life = await gateway.start();
      const fleet = new Fleet();
      await fleet.settleIn(life.ports.tcp);
      fleet.resume();
      await fleet.progress(100);
      const before = readFootprint(life.pid);
      for (let reload = 1; reload <= RELOADS; reload++) {
        process.kill(life.pid, "SIGHUP");
        await fleet.progress(1);
      }
      expect(fleet.closedConnections).toBe(0);
      const verdict = await fleet.settle(life.ports.tcp);
      const after = readFootprint(life.pid);
      report({ reloads: RELOADS, sent: verdict.sent, delivered: verdict.delivered });
      report({ rssMbBefore: before.rssBytes >> 20, rssMbAfter: after.rssBytes >> 20 });
      expectFaultless(verdict);
      // The receivers that were away are here now.
      expect(after.descriptors).toBeLessThanOrEqual(before.descriptors + 5);
      expect(after.rssBytes).toBeLessThan(250 * 2 ** 20);

      const port = Number(Object.entries(life.ports).find(([name]) => name === "tls")?.[1]);
      const socket = connectTls({ port, host: "localhost", ca: readPem(caFile) });
      await once(socket, "secureConnect");
      socket.destroy();
      expect(await life.end()).toEqual({ code: 0, signal: null });
    },
  );
});

describe("a second gateway on the same data directory", () => {
  faultTest(
    "ends with a message that says why, and the first goes on and starts again as before",
    { short: 60_000, long: 60_000 },
    async () => {
      const gateway = new FaultyGateway({ config: `${TEST_CONFIG}\nmsq_len: 1000000\n` });
      const fleet = new Fleet();
      let life = await gateway.start();
      await fleet.settleIn(life.ports.tcp);
      fleet.resume();
      for (let attempt = 0; attempt < scaled(1, 10); attempt++) {
        const second = gateway.spawn();
        const exit = await second.exited;
        expect(exit.code).toBe(70);
        expect(second.output()).toMatch(/"level":"fatal".*in use/);
        expect(second.output()).not.toContain('"ready"');
        await fleet.progress(10);
      }
      expect(fleet.closedConnections).toBe(0);
      expectFaultless(await fleet.settle(life.ports.tcp));
      const names = [...(await clientsOf(life.ports.http)).keys()];
      await life.end("SIGKILL");
      fleet.drop();
      life = await gateway.start();
      await until("the same sessions", async () => {
        const found = await clientsOf(life.ports.http);
        return names.every((name) => found.has(name));
      });
      expect(life.child.output()).not.toMatch(/taken back|set aside/);
      fleet.resume();
      await fleet.connect(life.ports.tcp, true);
      await fleet.progress(10);
      expectFaultless(await fleet.settle(life.ports.tcp));
      expect(fleet.lostSessions).toBe(0);
    },
  );
});
