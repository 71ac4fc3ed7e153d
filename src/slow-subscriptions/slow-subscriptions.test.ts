import { expect, test } from "vitest";
import { type Observer, type PassingMessage, type QoS, topic } from "../mqtt/index.ts";
import { ManualClock } from "../time/index.ts";
import { createSlowSubscriptions, type SlowSubscriptionsSettings } from "./index.ts";

const SETTINGS: SlowSubscriptionsSettings = {
  enable: true,
  threshold_ms: 500,
  expire_interval_s: 60,
  top_k_num: 2,
  stats_type: "whole",
};

function bench(settings: Partial<SlowSubscriptionsSettings> = {}) {
  const clock = new ManualClock();
  const observers = new Set<Required<Observer>>();
  const broker = {
    observe(observer: Observer) {
      observers.add(observer as Required<Observer>);
      return () => void observers.delete(observer as Required<Observer>);
    },
  };
  const slow = createSlowSubscriptions({ clock, broker }, { ...SETTINGS, ...settings });
  const sent = (
    clientId: string,
    name: string,
    publishedMs: number,
    seq = -1,
    more: Partial<PassingMessage> = {},
  ): void => {
    const message: PassingMessage = {
      topic: topic(name),
      qos: 1,
      retain: false,
      origin: { kind: "api", clientId: "" },
      payloadBytes: 0,
      publishedMs,
      keep: () => {
        throw new Error("not to be kept");
      },
      ...more,
    };
    const qos: QoS = seq < 0 ? 0 : 1;
    for (const observer of observers) observer.sent(clientId, message, qos, seq);
  };
  const acked = (clientId: string, seq: number): void => {
    for (const observer of observers) observer.acked(clientId, seq);
  };
  const rows = () => slow.list().map(({ clientId, timespanMs }) => [clientId, timespanMs]);
  return { clock, slow, observers, sent, acked, rows };
}

test.each([
  ["whole", 900],
  ["internal", 600],
  ["response", 300],
] as const)("%s times its part of the way", async (stats_type, expected) => {
  const { clock, slow, sent, acked, rows } = bench({ stats_type, threshold_ms: 300 });
  await slow.start();
  const publishedMs = clock.nowMs();
  clock.advance(600);
  sent("c", "t", publishedMs, 7);
  clock.advance(300);
  acked("c", 7);
  acked("c", 7);
  acked("c", 8);
  expect(rows()).toEqual([["c", expected]]);
  expect(slow.list()[0]).toMatchObject({
    topic: "t",
    updatedAtMs: stats_type === "internal" ? clock.nowMs() - 300 : clock.nowMs(),
  });
  await slow.stop();
});

test("QoS 0 is over when it is sent, and quick deliveries are no concern", async () => {
  const { clock, slow, sent, acked, rows } = bench();
  await slow.start();
  const publishedMs = clock.nowMs();
  clock.advance(499);
  sent("quick", "t", publishedMs);
  clock.advance(1);
  sent("slow", "t", publishedMs);
  sent("quick", "t", clock.nowMs(), 1);
  clock.advance(100);
  acked("quick", 1);
  sent("own", "$SYS/x", 0, -1, { origin: { kind: "system" } });
  expect(rows()).toEqual([["slow", 500]]);
  await slow.stop();
});

test("what waited for a client that was away is not slow", async () => {
  const { clock, slow, observers, sent, rows } = bench();
  await slow.start();
  const client = (kind: "connected" | "disconnected"): void => {
    for (const observer of observers) {
      const who = { clientId: "c", username: null, address: "", tcpPort: 0 };
      observer.client({ kind, ...who, details: {} });
    }
  };
  const publishedMs = clock.nowMs();
  clock.advance(60_000);
  client("connected");
  sent("c", "t", publishedMs);
  expect(rows()).toEqual([]);
  const later = clock.nowMs();
  clock.advance(600);
  sent("c", "t", later);
  expect(rows()).toEqual([["c", 600]]);
  client("disconnected");
  sent("c", "u", publishedMs);
  expect(rows()).toHaveLength(2);
  await slow.stop();
});

test("the slowest are kept, slowest first, until they have been quick for long enough", async () => {
  const { clock, slow, sent, rows } = bench();
  await slow.start();
  const now = () => clock.nowMs();
  sent("a", "t", now() - 700);
  sent("b", "t", now() - 900);
  sent("c", "t", now() - 800);
  expect(rows()).toEqual([
    ["b", 900],
    ["c", 800],
  ]);
  sent("b", "t", now() - 600);
  expect(rows()).toEqual([
    ["c", 800],
    ["b", 600],
  ]);
  clock.advance(40_000);
  sent("b", "t", now() - 550);
  clock.advance(30_000);
  expect(rows()).toEqual([["b", 550]]);
  slow.clear();
  expect(rows()).toEqual([]);
  await slow.stop();
});

test("nothing watches while it is off, and switching it off forgets everything", async () => {
  const { clock, slow, observers, sent } = bench({ enable: false });
  await slow.start();
  expect(observers.size).toBe(0);
  slow.configure(SETTINGS);
  expect(observers.size).toBe(1);
  sent("a", "t", clock.nowMs() - 700);
  slow.configure({ ...SETTINGS, enable: false });
  expect(observers.size).toBe(0);
  expect(slow.list()).toEqual([]);
  await slow.stop();
});

test("what is never acknowledged takes bounded memory", async () => {
  const { slow, sent, acked, clock, rows } = bench();
  await slow.start();
  const publishedMs = clock.nowMs();
  for (let seq = 0; seq <= 50_000; seq++) sent("c", "t", publishedMs, seq);
  clock.advance(1000);
  acked("c", 0);
  expect(rows()).toEqual([]);
  acked("c", 1);
  expect(rows()).toEqual([["c", 1000]]);
  await slow.stop();
});
