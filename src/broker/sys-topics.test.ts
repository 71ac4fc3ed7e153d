import { expect, it } from "vitest";
import { createLog } from "../log/index.ts";
import type { Message } from "../mqtt/index.ts";
import { ManualClock } from "../time/index.ts";
import { createSysTopics } from "./sys-topics.ts";

function bench() {
  const clock = new ManualClock();
  const published: Message[] = [];
  const state = { clients: 2 };
  const broker = {
    publish: async (message: Message) => void published.push(message),
    levels: () => ({
      live_connections: { now: 1, max: 1 },
      sessions: { now: state.clients, max: 2 },
      subscriptions: { now: 0, max: 0 },
      retained: { now: 7, max: 7 },
    }),
    counters: () => ({
      received: 5,
      sent: 3,
      dropped: { no_subscriber: 1, queue_full: 2, expired: 0, too_large: 0, rejected: 0 },
    }),
  };
  const log = createLog({ level: "fatal" }, { write: () => undefined });
  const topics = createSysTopics({ log, clock, broker }, { node: "gw", version: "1.2.3" });
  const latest = (name: string) =>
    published.findLast(({ topic }) => topic === name)?.payload.toString();
  return { clock, published, state, topics, latest };
}

it("tells version, uptime, statistics and counters under $SYS/brokers, as EMQX does", async () => {
  const { topics, latest, published, clock, state } = bench();
  await topics.start();
  expect(latest("$SYS/brokers")).toBe("gw");
  expect(latest("$SYS/brokers/gw/version")).toBe("1.2.3");
  expect(latest("$SYS/brokers/gw/uptime")).toBe("0");
  expect(latest("$SYS/brokers/gw/stats/connections.count")).toBe("1");
  expect(latest("$SYS/brokers/gw/stats/sessions.count")).toBe("2");
  expect(latest("$SYS/brokers/gw/stats/retained.count")).toBe("7");
  expect(latest("$SYS/brokers/gw/metrics/messages.dropped")).toBe("3");
  expect(latest("$SYS/brokers/gw/metrics/messages.dropped.queue_full")).toBe("2");
  expect(published.every(({ qos, retain }) => qos === 0 && !retain)).toBe(true);

  state.clients = 1;
  clock.advance(60_000);
  expect(latest("$SYS/brokers/gw/uptime")).toBe("60");
  expect(latest("$SYS/brokers/gw/stats/sessions.count")).toBe("1");
  expect(latest("$SYS/brokers/gw/stats/sessions.max")).toBe("2");
});

it("says nothing more once it is stopped", async () => {
  const { topics, published, clock } = bench();
  await topics.start();
  await topics.stop();
  const count = published.length;
  clock.advance(600_000);
  expect(published).toHaveLength(count);
});
