import { expect, it } from "vitest";
import { createLog } from "../log/index.ts";
import {
  LEVEL_NAMES,
  type Levels,
  METRIC_NAMES,
  type Message,
  type Metrics,
  topicFilter,
} from "../mqtt/index.ts";
import { ManualClock } from "../time/index.ts";
import { createBroker, createSysTopics } from "./index.ts";
import { Rig } from "./rig.testing.ts";

const SETTINGS = { heartbeat_interval_s: 30, msg_interval_s: 60 };

function bench() {
  const clock = new ManualClock();
  const published: Message[] = [];
  const state = { sessions: 2, isHeard: true };
  const broker = {
    publish: async (message: Message) => void published.push(message),
    isSysHeard: () => state.isHeard,
    counters: () => ({
      received: 5,
      sent: 3,
      dropped: { no_subscriber: 1, queue_full: 2, expired: 0, too_large: 0, rejected: 0 },
    }),
  };
  const metrics = {
    counters: () => Object.fromEntries(METRIC_NAMES.map((name, i) => [name, i])) as Metrics,
    levels: () =>
      Object.fromEntries(
        LEVEL_NAMES.map((name) => [name, { now: state.sessions, max: 2 }]),
      ) as Levels,
  };
  const log = createLog({ level: "fatal" }, { write: () => undefined });
  const topics = createSysTopics(
    { log, clock, broker, metrics },
    { node: "gw", version: "1.2.3", settings: SETTINGS },
  );
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
  expect(latest("$SYS/brokers/gw/stats/connections.count")).toBe("2");
  expect(latest("$SYS/brokers/gw/stats/subscriptions.shared.count")).toBe("2");
  for (const [i, name] of METRIC_NAMES.entries()) {
    expect(latest(`$SYS/brokers/gw/metrics/${name}`), name).toBe(String(i));
  }
  expect(latest("$SYS/brokers/gw/metrics/messages.dropped.queue_full")).toBe("2");
  expect(published.every(({ qos, retain }) => qos === 0 && !retain)).toBe(true);

  state.sessions = 1;
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

it("makes nothing while nobody listens", async () => {
  const { topics, published, clock, state } = bench();
  state.isHeard = false;
  await topics.start();
  clock.advance(600_000);
  expect(published).toEqual([]);
  state.isHeard = true;
  clock.advance(60_000);
  expect(published.length).toBeGreaterThan(100);
  await topics.stop();
});

it("follows its intervals at once, and 0 switches it off", async () => {
  const { topics, published, clock, latest } = bench();
  await topics.start();
  topics.configure({ heartbeat_interval_s: 0, msg_interval_s: 1 });
  published.length = 0;
  clock.advance(1000);
  expect(latest("$SYS/brokers/gw/version")).toBe("1.2.3");
  expect(latest("$SYS/brokers/gw/uptime")).toBeUndefined();
  topics.configure({ heartbeat_interval_s: 0, msg_interval_s: 0 });
  published.length = 0;
  clock.advance(600_000);
  expect(published).toEqual([]);
  await topics.stop();
});

it("somebody listens as soon as a client or a part of the gateway subscribes to $SYS", async () => {
  const rig = await Rig.start(createBroker);
  try {
    expect(rig.broker.isSysHeard()).toBe(false);
    const client = await rig.connect({ clientId: "c" });
    await client.subscribe("#");
    expect(rig.broker.isSysHeard()).toBe(false);
    await client.subscribe("$SYS/brokers/+/uptime");
    expect(rig.broker.isSysHeard()).toBe(true);
    await client.mqtt.unsubscribeAsync("$SYS/brokers/+/uptime");
    expect(rig.broker.isSysHeard()).toBe(false);
    const stop = rig.broker.subscribe(topicFilter("$SYS/#"), () => undefined);
    expect(rig.broker.isSysHeard()).toBe(true);
    stop();
  } finally {
    await rig.close();
  }
});
