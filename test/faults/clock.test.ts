import { describe, expect } from "vitest";
import { until } from "../helpers/until.ts";
import { clientsOf } from "./api.ts";
import { faultTest } from "./fault-test.ts";
import { expectFaultless, Fleet } from "./fleet.ts";
import { FaultyGateway } from "./gateway.ts";
import { SessionClient } from "./session-client.ts";
import { WallClock } from "./wall-clock.ts";
import { PROPERTY, type Publication, property32 } from "./wire.ts";

const SECOND_MS = 1000;
const HOUR_MS = 3600 * SECOND_MS;
const TEN_YEARS_MS = 10 * 365 * 24 * HOUR_MS;
const EPOCH = new Date(10 * SECOND_MS);
const YEAR_2000 = new Date("2000-01-01T00:00:00Z");

const now = (offsetMs = 0) => new Date(Date.now() + offsetMs);
const expiresAfter = (seconds: number) => [property32(PROPERTY.messageExpiryS, seconds)];

/** A persistent MQTT 5 session with what it received. */
function session(clientId: string, sessionExpiryS: number) {
  const received: Publication[] = [];
  const client = new SessionClient({
    ...{ clientId, sessionExpiryS, version: 5, isPersistent: true },
    onMessage: (message) => received.push(message),
  });
  const texts = () => received.map(({ payload }) => payload.toString());
  return { client, received, texts };
}

/** Subscribes a session to `filter` and sends it away. */
async function leaveBehind(
  { client }: ReturnType<typeof session>,
  tcpPort: number,
  filter: string,
): Promise<void> {
  await client.connect(tcpPort);
  expect(await client.subscribe([filter], 1)).toEqual([1]);
  await client.end();
}

async function closedAfterMs(client: SessionClient): Promise<number> {
  const startedMs = performance.now();
  await until("the silent client to be cut off", () => !client.isConnected, 10_000);
  return performance.now() - startedMs;
}

describe("a wall clock that is set", () => {
  faultTest(
    "under load, by an hour or ten years in either direction or a second back at a time, expires nothing and keeps everything in order",
    { short: 60_000, long: 120_000 },
    async ({ report }) => {
      const clock = new WallClock(EPOCH);
      const gateway = new FaultyGateway({ env: clock.env });
      const life = await gateway.start();
      const { tcp } = life.ports;
      expect(life.child.output()).toContain('"time":"1970-01-01T');
      const fleet = new Fleet();
      await fleet.settleIn(tcp);
      fleet.resume();

      const pinging = new SessionClient({ clientId: "pinging", keepAliveS: 1 });
      await pinging.connect(tcp);
      const pings = setInterval(() => pinging.ping(), 300);
      const hourly = session("hourly", 3600);
      await leaveBehind(hourly, tcp, "hourly");
      const publisher = new SessionClient({ clientId: "publisher", version: 5 });
      await publisher.connect(tcp);

      const jumps: readonly (readonly [string, () => Date])[] = [
        ["2000", () => YEAR_2000],
        ["now", () => now()],
        ["an hour on", () => now(HOUR_MS)],
        ["an hour back", () => now(-HOUR_MS)],
        ["ten years on", () => now(TEN_YEARS_MS)],
        ["ten years back", () => now(-TEN_YEARS_MS)],
        ["1970", () => EPOCH],
        ["now again", () => now()],
      ];
      for (const [name, target] of jumps) {
        await publisher.published("hourly", Buffer.from(name), {
          ...{ qos: 1, properties: expiresAfter(3600) },
        });
        clock.set(target());
        await fleet.progress(100);
      }
      for (let step = 1; step <= 30; step++) {
        clock.set(now(-step * SECOND_MS));
        await fleet.progress(10);
      }

      expect(await hourly.client.connect(tcp)).toBe(true);
      await until("all that was kept", () => hourly.received.length >= jumps.length);
      expect(hourly.texts()).toEqual(jumps.map(([name]) => name));
      for (const { properties } of hourly.received) {
        const leftS = properties.get(PROPERTY.messageExpiryS) ?? 0;
        expect(leftS).toBeGreaterThan(3500);
        expect(leftS).toBeLessThanOrEqual(3600);
      }
      expect(pinging.isConnected).toBe(true);
      clearInterval(pings);

      const verdict = await fleet.settle(tcp);
      report({ jumps: jumps.length + 30, sent: verdict.sent, delivered: verdict.delivered });
      expectFaultless(verdict);
      expect(await life.end()).toEqual({ code: 0, signal: null });
    },
  );

  faultTest(
    "does not postpone Keep Alive, Session Expiry and Message Expiry when it goes back, nor bring them forward when it goes on",
    { short: 60_000, long: 60_000 },
    async ({ report }) => {
      const clock = new WallClock(now());
      const gateway = new FaultyGateway({ env: clock.env });
      const life = await gateway.start();
      const { tcp, http } = life.ports;
      const waitsMs: number[] = [];
      for (const offsetMs of [-TEN_YEARS_MS, TEN_YEARS_MS]) {
        const brief = session("brief", 2);
        const lasting = session("lasting", 3600);
        await leaveBehind(brief, tcp, "brief");
        await leaveBehind(lasting, tcp, "lasting");
        const publisher = new SessionClient({ clientId: "publisher", version: 5 });
        await publisher.connect(tcp);
        const published = (text: string, seconds: number) =>
          publisher.published("lasting", Buffer.from(text), {
            ...{ qos: 1, properties: expiresAfter(seconds) },
          });
        // Shorter than the brief session, whose end is seen from outside.
        await published("short-lived", 1);
        await published("long-lived", 3600);
        const silent = new SessionClient({ clientId: "silent", keepAliveS: 1 });
        await silent.connect(tcp);

        clock.set(now(offsetMs));
        waitsMs.push(await closedAfterMs(silent));
        const isGone = async () => !(await clientsOf(http)).has("brief");
        await until("the session to expire", isGone, 10_000);
        expect(await brief.client.connect(tcp)).toBe(false);
        expect(await lasting.client.connect(tcp)).toBe(true);
        await until("the message that lasts", () => lasting.received.length > 0);
        expect(lasting.texts()).toEqual(["long-lived"]);
        for (const { client } of [brief, lasting]) await client.end();
        publisher.drop();
      }
      report({ keepAliveMs: waitsMs.map(Math.round).join(" and ") });
      // Keep Alive is 1 s, times 1.5.
      for (const waitMs of waitsMs) {
        expect(waitMs).toBeGreaterThan(1400);
        expect(waitMs).toBeLessThan(4000);
      }
    },
  );
});

describe("a board without a clock chip", () => {
  faultTest(
    "that starts in 1970, in 2000 or ten years on finds its sessions and messages, and counts the time it was off when that is plausible",
    { short: 60_000, long: 60_000 },
    async ({ report }) => {
      const clock = new WallClock(now());
      const gateway = new FaultyGateway({ env: clock.env });
      const fleet = new Fleet();
      const hourly = session("hourly", 3600);
      let life = await gateway.start();
      await fleet.settleIn(life.ports.tcp);
      await leaveBehind(hourly, life.ports.tcp, "hourly");
      const starts = [EPOCH, YEAR_2000, now(TEN_YEARS_MS), now()];
      for (const [n, start] of starts.entries()) {
        const publisher = new SessionClient({ clientId: "publisher", version: 5 });
        await publisher.connect(life.ports.tcp);
        await publisher.published("hourly", Buffer.from(`${n}`), {
          ...{ qos: 1, properties: expiresAfter(3600) },
        });
        publisher.drop();
        fleet.resume();
        await fleet.progress(50);
        await life.end(n % 2 === 0 ? "SIGKILL" : "SIGTERM");
        fleet.drop();
        clock.set(start);
        life = await gateway.start();
        await fleet.connect(life.ports.tcp, false);
      }
      expect(await hourly.client.connect(life.ports.tcp)).toBe(true);
      await until("all that was kept", () => hourly.received.length >= starts.length);
      expect(hourly.texts()).toEqual(["0", "1", "2", "3"]);
      await hourly.client.end();
      expectFaultless(await fleet.settle(life.ports.tcp));
      expect(fleet.lostSessions).toBe(0);

      expect(await life.end()).toEqual({ code: 0, signal: null });
      clock.set(now(2 * HOUR_MS));
      life = await gateway.start();
      expect(await hourly.client.connect(life.ports.tcp)).toBe(false);
      const verdict = await fleet.settle(life.ports.tcp);
      report({ starts: starts.length + 1, sent: verdict.sent, delivered: verdict.delivered });
      expectFaultless(verdict);
    },
  );
});
