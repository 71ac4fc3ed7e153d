import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setImmediate as turn } from "node:timers/promises";
import { describe, expect, onTestFinished } from "vitest";
import { TEST_CONFIG } from "../helpers/gateway-process.ts";
import { until } from "../helpers/until.ts";
import { get } from "./api.ts";
import { Canary, expectUndisturbed, songOf } from "./canary.ts";
import { faultTest, scaled } from "./fault-test.ts";
import { FaultyGateway, readFootprint } from "./gateway.ts";
import { HostilePackets } from "./hostile-packets.ts";
import { boardWrapper } from "./memory-group.ts";
import type { Random } from "./random.ts";
import { connectFrame, type Version } from "./wire.ts";

/** Until code and caches have their size; what comes then must not grow. */
const WARM_UP_PACKETS = scaled(15_000, 100_000);
const PACKETS = scaled(35_000, 2_000_000);
const ATTACKERS = 24;
const PEAK_RSS_BYTES = 250 * 2 ** 20;
/** Nobody else waits longer, whatever arrives. */
const CANARY_LIMIT_MS = 1000;

/** Paths of the API that tell what hostile clients are called and do. */
const API_PATHS = [
  "/status",
  "/api/v4/nodes",
  "/api/v4/clients",
  "/api/v4/subscriptions",
  `/api/v4/clients/${encodeURIComponent("__proto__")}`,
  `/api/v4/clients/${encodeURIComponent("a\u0000b")}`,
];

/** One connection's worth of packets, and how they are cut. */
function plan(random: Random, hostile: HostilePackets) {
  const version: Version = random.pick([4, 5]);
  const packets: Buffer[] = [];
  const opening = random.fraction();
  if (opening < 0.7) packets.push(hostile.connect(version));
  else if (opening < 0.9) packets.push(hostile.malformed(version));
  const isShort = random.chance(0.15);
  for (let n = random.int(0, isShort ? 3 : 20); n > 0; n--) packets.push(hostile.hostile(version));
  for (let n = random.int(1, 3); n > 0; n--) packets.push(hostile.malformed(version));
  const bytes = Buffer.concat(packets);
  const isByteByByte = isShort && bytes.length < 500;
  const cut = isByteByByte ? 1 : random.chance(0.5) ? bytes.length : random.int(1, 2000);
  return { packets: packets.length, bytes, cut, isAbrupt: random.chance(0.1) };
}

/** Sends one plan, piece by piece, and waits until the gateway has closed the connection. */
async function attack(tcpPort: number, { bytes, cut, isAbrupt }: ReturnType<typeof plan>) {
  const socket = connect({ port: tcpPort, host: "127.0.0.1", noDelay: true });
  const closed = new Promise((resolve) => socket.once("close", resolve));
  socket.on("error", () => {});
  socket.resume();
  await Promise.race([once(socket, "connect"), closed]);
  for (let at = 0; at < bytes.length && !socket.destroyed; at += cut) {
    socket.write(bytes.subarray(at, at + cut));
    if (cut < bytes.length) await turn();
  }
  // A reset may throw away what has not been read yet, so that most say good-bye.
  if (isAbrupt) socket.resetAndDestroy();
  else socket.end();
  await closed;
}

async function openSockets(
  tcpPort: number,
  count: number,
): Promise<{ socket: Socket; closedAtMs: () => number }[]> {
  return Promise.all(
    Array.from({ length: count }, async () => {
      const socket = connect(tcpPort, "127.0.0.1");
      onTestFinished(() => void socket.destroy());
      let closedAtMs = Number.NaN;
      socket.on("error", () => {});
      socket.on("close", () => {
        closedAtMs = performance.now();
      });
      socket.resume();
      await once(socket, "connect");
      return { socket, closedAtMs: () => closedAtMs };
    }),
  );
}

describe("bad input in bulk", () => {
  faultTest(
    `leaves the process alive and small, its API well and everybody else undisturbed`,
    { short: 120_000, long: 3_600_000 },
    async ({ random, report }) => {
      const wrapper = boardWrapper();
      const life = await new FaultyGateway({ config: TEST_CONFIG, wrapper }).start();
      const { tcp, http } = life.ports;
      const hostile = new HostilePackets(random);
      let connections = 0;
      const attackWith = async (count: number) => {
        let sent = 0;
        const attacker = async () => {
          while (sent < count) {
            const next = plan(random, hostile);
            sent += next.packets;
            connections++;
            await attack(tcp, next);
          }
        };
        await Promise.all(Array.from({ length: ATTACKERS }, attacker));
        return sent;
      };

      let packets = await attackWith(WARM_UP_PACKETS);
      const before = readFootprint(life.pid);
      const canary = await Canary.start(tcp);
      let peakBytes = 0;
      const statuses = new Map<number, number>();
      let isOver = false;
      const watching = (async () => {
        while (!isOver) {
          for (const path of API_PATHS) {
            const { status } = await get(http, path);
            statuses.set(status, (statuses.get(status) ?? 0) + 1);
          }
          peakBytes = Math.max(peakBytes, readFootprint(life.pid).rssBytes);
        }
      })();
      const startedMs = performance.now();
      packets += await attackWith(PACKETS);
      const durationMs = performance.now() - startedMs;
      isOver = true;
      await watching;
      const figures = await canary.stop();

      report({ packets, connections, durationMs: Math.round(durationMs), ...songOf(figures) });
      report({ rssMbBefore: before.rssBytes >> 20, peakRssMb: peakBytes >> 20 });
      report({ apiAnswers: JSON.stringify([...statuses]) });
      expect([...statuses.keys()].filter((status) => status >= 500)).toEqual([]);
      expectUndisturbed(figures, CANARY_LIMIT_MS);
      expect(peakBytes).toBeLessThan(PEAK_RSS_BYTES);
      let after = before;
      const isBack = () => {
        after = readFootprint(life.pid);
        return (
          after.rssBytes < before.rssBytes * 1.3 && after.descriptors <= before.descriptors + 3
        );
      };
      await until("memory and descriptors to be given back", isBack, 60_000).catch((err) => {
        const seen = JSON.stringify({ before, after });
        throw new Error(`memory and descriptors are not given back: ${seen}`, { cause: err });
      });
      expect(life.child.output()).not.toMatch(/"level":"(error|fatal)"/);
      expect(await life.end()).toEqual({ code: 0, signal: null });
    },
  );

  faultTest(
    "half-open and byte-a-second connections are cut when CONNECT is not there in time, and delay nobody",
    { short: 60_000, long: 60_000 },
    async ({ report }) => {
      const timeoutS = 2;
      const life = await new FaultyGateway({
        config: `${TEST_CONFIG}\nmqtt: {connect_timeout_s: ${timeoutS}}\n`,
      }).start();
      const before = readFootprint(life.pid);
      const canary = await Canary.start(life.ports.tcp);
      const openedMs = performance.now();
      const count = scaled(100, 1000);
      const mute = await openSockets(life.ports.tcp, count);
      const muteWeb = await openSockets(life.ports.ws, count);
      const slow = await openSockets(life.ports.tcp, count);
      const all = [...mute, ...muteWeb, ...slow];
      const packet = connectFrame({ clientId: "slow", version: 5, isClean: true });
      let at = 0;
      const timer = setInterval(() => {
        for (const { socket } of slow) socket.write(packet.subarray(at, at + 1));
        at++;
      }, 1000);
      onTestFinished(() => clearInterval(timer));
      const isCut = () => all.every(({ socket }) => socket.destroyed);
      await until("all of them to be cut", isCut, 15_000);
      clearInterval(timer);
      const lastMs = Math.max(...all.map(({ closedAtMs }) => closedAtMs())) - openedMs;
      const figures = await canary.stop();
      report({ connections: all.length, lastCutMs: Math.round(lastMs), ...songOf(figures) });
      expect(lastMs).toBeLessThan(timeoutS * 1000 + 3000);
      expectUndisturbed(figures, CANARY_LIMIT_MS);
      await until(
        "their descriptors to be given back",
        () => readFootprint(life.pid).descriptors <= before.descriptors,
      );
      expect(await life.end()).toEqual({ code: 0, signal: null });
    },
  );
});
