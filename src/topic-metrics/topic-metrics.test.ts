import { expect, test } from "vitest";
import { type Observer, type PassingMessage, type QoS, topic } from "../mqtt/index.ts";
import { ManualClock } from "../time/index.ts";
import { createTopicMetrics } from "./index.ts";

function message(name: string, qos: QoS = 0): PassingMessage {
  return {
    topic: topic(name),
    qos,
    retain: false,
    origin: { kind: "system" },
    payloadBytes: 1,
    publishedMs: 0,
    keep: () => {
      throw new Error("not to be kept");
    },
  };
}

function bench(topics: readonly string[]) {
  const clock = new ManualClock();
  const observers = new Set<Required<Observer>>();
  const broker = {
    observe(observer: Observer) {
      observers.add(observer as Required<Observer>);
      return () => void observers.delete(observer as Required<Observer>);
    },
  };
  const metrics = createTopicMetrics({ clock, broker }, topics);
  const each = (act: (observer: Required<Observer>) => void): void => {
    for (const observer of observers) act(observer);
  };
  return { clock, metrics, observers, each };
}

test("messages of a chosen topic are counted by way and QoS, others are not", async () => {
  const { metrics, each, clock } = bench(["a"]);
  await metrics.start();
  each((observer) => {
    for (const qos of [0, 1, 1, 2] as const) observer.published(message("a", qos), "c");
    observer.published(message("a/b"), "c");
    observer.sent("c", message("a", 2), 1, 4);
    observer.dropped(null, "a", "no_subscriber");
    observer.dropped("c", "a", "queue_full");
    observer.dropped("c", null, "queue_full");
  });
  const counts = metrics.find("a")?.counts;
  expect(counts).toMatchObject({
    "messages.in": { count: 4, rate: 0 },
    "messages.out": { count: 1 },
    "messages.dropped": { count: 1 },
    "messages.qos0.in": { count: 1 },
    "messages.qos1.in": { count: 2 },
    "messages.qos2.in": { count: 1 },
    "messages.qos1.out": { count: 1 },
    "messages.qos2.out": { count: 0 },
  });
  clock.advance(5000);
  expect(metrics.find("a")?.counts["messages.in"]).toEqual({ count: 4, rate: 0.8 });
  clock.advance(5000);
  expect(metrics.find("a")?.counts["messages.in"]).toEqual({ count: 4, rate: 0 });
  expect(metrics.find("a/b")).toBeNull();
  await metrics.stop();
});

test("nothing watches while no topic is chosen, or after the stop", async () => {
  const { metrics, observers } = bench([]);
  await metrics.start();
  expect(observers.size).toBe(0);
  metrics.configure(["a", "b"]);
  expect(observers.size).toBe(1);
  metrics.configure([]);
  expect(observers.size).toBe(0);
  metrics.configure(["a"]);
  await metrics.stop();
  await metrics.stop();
  expect(observers.size).toBe(0);
});

test("a change of the topics leaves those alone that stay", async () => {
  const { metrics, each, clock } = bench(["a", "b"]);
  await metrics.start();
  each((observer) => observer.published(message("a"), null));
  clock.advance(1000);
  metrics.configure(["c", "a"]);
  expect(metrics.list().map((row) => [row.topic, row.counts["messages.in"].count])).toEqual([
    ["c", 0],
    ["a", 1],
  ]);
  const [added, kept] = metrics.list();
  expect((added?.createdAtMs ?? 0) - (kept?.createdAtMs ?? 0)).toBe(1000);
  await metrics.stop();
});

test("a reset begins anew with one topic or with all", async () => {
  const { metrics, each, clock } = bench(["a", "b"]);
  await metrics.start();
  each((observer) => {
    observer.published(message("a"), null);
    observer.published(message("b"), null);
  });
  expect(metrics.reset("a")).toBe(true);
  expect(metrics.reset("x")).toBe(false);
  expect(metrics.find("a")).toMatchObject({
    resetAtMs: clock.nowMs(),
    counts: { "messages.in": { count: 0 } },
  });
  expect(metrics.find("b")).toMatchObject({
    resetAtMs: null,
    counts: { "messages.in": { count: 1 } },
  });
  metrics.resetAll();
  expect(metrics.find("b")?.counts["messages.in"].count).toBe(0);
  await metrics.stop();
});
