import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { describe, expect } from "vitest";
import { TEST_CONFIG } from "../helpers/gateway-process.ts";
import { Canary, expectUndisturbed, songOf } from "./canary.ts";
import { connected, crowd, MAX_RSS_BYTES, watchRss } from "./crowd.ts";
import { faultTest, IS_LONG, scaled } from "./fault-test.ts";
import { FaultyGateway } from "./gateway.ts";
import type { SessionOptions } from "./session-client.ts";
import {
  ackFrame,
  connectFrame,
  DISCONNECT,
  frame,
  PACKET,
  PINGREQ,
  prefixed,
  properties,
  publishFrame,
  type QoS,
  subscribeFrame,
  uint16,
  type Version,
} from "./wire.ts";

/**
 * Writes `bytes` again and again, as fast as they are taken, until the time is over; comes again when
 * the gateway ends the connection.
 */
async function flood(tcpPort: number, options: SessionOptions, bytes: Buffer, forMs: number) {
  const client = await connected(tcpPort, options);
  const endMs = performance.now() + forMs;
  let written = 0;
  while (performance.now() < endMs) {
    if (!client.isConnected) await client.connect(tcpPort).catch(() => {});
    if (!client.isConnected) continue;
    const { socket } = client;
    written++;
    if (socket.write(bytes)) {
      await delay(0);
      continue;
    }
    const waiting = new AbortController();
    const { signal } = waiting;
    await Promise.race([
      once(socket, "drain", { signal }),
      once(socket, "close", { signal }),
      delay(Math.max(0, endMs - performance.now()), undefined, { signal }),
    ]);
    waiting.abort();
  }
  return { client, written };
}

/** Every kind of packet a client may send, in bulk; some are right only once or never. */
function bulks(version: Version): [string, Buffer][] {
  const many = (make: (n: number) => Buffer) =>
    Buffer.concat(Array.from({ length: 500 }, (_, n) => make(n + 1)));
  const acks = (["puback", "pubrec", "pubrel", "pubcomp"] as const).map(
    (kind): [string, Buffer] => [kind, many((n) => ackFrame(PACKET[kind], n))],
  );
  const payload = Buffer.from("x");
  const unsubscribe = (n: number) =>
    frame(PACKET.unsubscribe, 2, uint16(n), properties(version), prefixed(`bulk/${n}`));
  return [
    ["connect", many(() => connectFrame({ clientId: "bulk", version, isClean: true }))],
    ["qos2", many((n) => publishFrame(version, { topic: "bulk", payload, qos: 2, packetId: n }))],
    ["retain", many((n) => publishFrame(version, { ...RETAINED, topic: `bulk/${n}`, payload }))],
    ...acks,
    ["subscribe", many((n) => subscribeFrame(version, n, [`bulk/${n}`], 2))],
    ["wildcards", many((n) => subscribeFrame(version, n, [`${"+/".repeat(n % 60)}#`], 1))],
    ["unsubscribe", many(unsubscribe)],
    ["pingreq", many(() => PINGREQ)],
    ["auth", many(() => frame(PACKET.auth, 0))],
    ["disconnect", DISCONNECT],
  ];
}

const RETAINED = { qos: 0, packetId: 0, retain: true } as const;

describe("nobody else is kept waiting", () => {
  faultTest(
    "by publishers that send as fast as they can without waiting for an acknowledgement",
    { short: 60_000, long: 300_000 },
    async ({ report }) => {
      const life = await new FaultyGateway({
        config: TEST_CONFIG,
      }).start();
      const { tcp } = life.ports;
      const readers = await crowd(tcp, 5, (n) => ({ clientId: `reader-${n}` }));
      for (const reader of readers) await reader.subscribe(["flood/#"], 1);
      const away = await connected(tcp, { clientId: "away", isPersistent: true });
      await away.subscribe(["flood/2"], 1);
      await away.end();
      const peakRss = watchRss(life);
      const canary = await Canary.start(tcp, ["flood/1"]);
      const packets = (topic: string, qos: QoS, size: number) =>
        Buffer.concat(
          Array.from({ length: 200 }, (_, n) =>
            publishFrame(4, { topic, payload: Buffer.alloc(size), qos, packetId: n + 1 }),
          ),
        );
      const forMs = scaled(2000, 60_000);
      const floods = await Promise.all([
        flood(tcp, { clientId: "greedy-0" }, packets("flood/0", 0, 10), forMs),
        flood(tcp, { clientId: "greedy-1" }, packets("flood/0", 0, 1000), forMs),
        flood(tcp, { clientId: "greedy-2" }, packets("flood/1", 1, 10), forMs),
        flood(tcp, { clientId: "greedy-3" }, packets("flood/1", 1, 1000), forMs),
        flood(tcp, { clientId: "greedy-4" }, packets("flood/2", 1, 100), forMs),
      ]);
      const figures = await canary.stop();
      const rssBytes = peakRss();
      const packetCount = floods.reduce((sum, { written }) => sum + written * 200, 0);
      report({ packets: packetCount, peakRssMb: rssBytes >> 20, ...songOf(figures) });
      expectUndisturbed(figures);
      expect(rssBytes).toBeLessThan(MAX_RSS_BYTES);
      for (const { client } of floods) client.drop();
      expect(await life.end()).toEqual({ code: 0, signal: null });
    },
  );

  faultTest(
    "by floods of every kind of packet, whether they are allowed or end the connection",
    { short: 60_000, long: 600_000 },
    async ({ report }) => {
      const life = await new FaultyGateway({
        config: TEST_CONFIG,
      }).start();
      const { tcp } = life.ports;
      const peakRss = watchRss(life);
      for (const version of IS_LONG ? ([4, 5] as const) : ([5] as const)) {
        const canary = await Canary.start(tcp);
        const closings: string[] = [];
        for (const [kind, bytes] of bulks(version)) {
          const floods = await Promise.all(
            [0, 1].map((n) =>
              flood(tcp, { clientId: `${kind}-${n}`, version }, bytes, scaled(100, 10_000)),
            ),
          );
          for (const { client } of floods) client.drop();
          const count = floods.reduce((sum, { client }) => sum + client.closedConnections, 0);
          closings.push(`${kind} ${count}`);
        }
        const figures = await canary.stop();
        report({ version, closings: closings.join(" "), ...songOf(figures) });
        expectUndisturbed(figures);
      }
      expect(peakRss()).toBeLessThan(MAX_RSS_BYTES);
      expect(await life.end()).toEqual({ code: 0, signal: null });
    },
  );
});
