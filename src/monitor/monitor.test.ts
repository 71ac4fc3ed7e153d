import { expect, test } from "vitest";
import { createLog } from "../log/index.ts";
import { LEVEL_NAMES, type Levels, METRIC_NAMES, type MetricName } from "../mqtt/index.ts";
import { ManualClock } from "../time/index.ts";
import { createMonitor, type MonitorTable } from "./index.ts";

class MemoryTable implements MonitorTable {
  readonly rows = new Map<string, Buffer>();
  writes = 0;

  async *entries(): AsyncIterable<readonly (readonly [string, Buffer])[]> {
    yield [...this.rows].sort(([a], [b]) => (a < b ? -1 : 1));
  }

  put(key: string, value: Buffer): void {
    this.rows.set(key, Buffer.from(value));
    this.writes++;
  }

  delete(key: string): void {
    this.rows.delete(key);
  }
}

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const START_MS = Date.UTC(2026, 0, 1);

/** A gateway whose counters go up at every call of `count`. */
function bench(clock = new ManualClock(START_MS), table = new MemoryTable()) {
  const totals = Object.fromEntries(METRIC_NAMES.map((name) => [name, 0])) as Record<
    MetricName,
    number
  >;
  const levels = { sessions: 3, live: 2 };
  const monitor = createMonitor({
    log: createLog({ level: "fatal" }),
    clock,
    store: { table: () => table },
    metrics: {
      counters: () => totals,
      levels: () =>
        Object.fromEntries(
          LEVEL_NAMES.map((name) => {
            const now = name === "live_connections" ? levels.live : levels.sessions;
            return [name, { now, max: now }];
          }),
        ) as Levels,
    },
  });
  const count = (name: MetricName, by: number): void => {
    totals[name] += by;
  };
  return { clock, table, monitor, levels, count };
}

test("the last hour is shown in 10 s steps that hold what was counted in them", async () => {
  const { clock, monitor, levels, count } = bench();
  await monitor.start();
  clock.advance(10 * SECOND);
  count("messages.received", 7);
  count("messages.dropped", 2);
  levels.live = 5;
  clock.advance(10 * SECOND);
  levels.live = 1;
  clock.advance(10 * SECOND);
  const series = monitor.series(3600);
  expect(series).toHaveLength(360);
  expect(series.slice(-4).map(({ atMs, sample }) => [atMs - START_MS, sample?.received])).toEqual([
    [-10 * SECOND, undefined],
    [0, 0],
    [10 * SECOND, 7],
    [20 * SECOND, 0],
  ]);
  expect(series.at(-2)?.sample).toMatchObject({ connections: 3, liveConnections: 5, dropped: 2 });
  expect(series.at(-1)?.sample).toMatchObject({ liveConnections: 1, dropped: 0 });
  await monitor.stop();
});

test("the step grows with the span, its deltas add up, its gauges are the newest", async () => {
  const { clock, monitor, levels, count } = bench();
  await monitor.start();
  for (let second = 0; second < 1800; second++) {
    levels.sessions = second;
    count("messages.sent", 1);
    clock.advance(SECOND);
  }
  for (const [spanMs, stepMs] of [
    [MINUTE, SECOND],
    [HOUR, 10 * SECOND],
    [DAY, MINUTE],
    [3 * DAY, 5 * MINUTE],
    [7 * DAY, 10 * MINUTE],
    [30 * DAY, 10 * MINUTE],
  ] as const) {
    const series = monitor.series(spanMs / SECOND);
    expect(series).toHaveLength(Math.min(spanMs, 7 * DAY) / stepMs);
    for (const [i, { atMs }] of series.entries()) {
      expect(atMs % stepMs).toBe(0);
      if (i > 0) expect(atMs - (series[i - 1]?.atMs ?? 0)).toBe(stepMs);
    }
    const total = series.reduce((sum, { sample }) => sum + (sample?.sent ?? 0), 0);
    expect(total).toBe(Math.min(spanMs, 1800 * SECOND) / SECOND);
    expect(series.findLast(({ sample }) => sample !== null)?.sample?.connections).toBe(1799);
  }
  const all = monitor.series(null);
  expect(all).toHaveLength(180);
  expect(all[0]?.atMs).toBe(START_MS);
  await monitor.stop();
});

test("rates are whole numbers, means of the last 5 seconds", async () => {
  const { clock, monitor, count } = bench();
  expect(monitor.rates().received).toBe(0);
  await monitor.start();
  clock.advance(20 * SECOND);
  count("messages.received", 18);
  clock.advance(SECOND);
  expect(monitor.rates()).toMatchObject({ received: 4, sent: 0 });
  clock.advance(6 * SECOND);
  expect(monitor.rates().received).toBe(0);
  await monitor.stop();
});

test("the history outlives a restart, by the minute", async () => {
  const first = bench();
  await first.monitor.start();
  for (let minute = 0; minute < 25; minute++) {
    first.count("messages.received", 60 + minute);
    first.clock.advance(MINUTE);
  }
  await first.monitor.stop();
  await first.monitor.stop();
  const second = bench(first.clock, first.table);
  first.clock.advance(2 * HOUR);
  await second.monitor.start();
  second.count("messages.received", 1000);
  first.clock.advance(MINUTE);
  const received = second.monitor
    .series(DAY / SECOND)
    .map(({ sample }) => sample?.received)
    .filter((value) => value !== undefined && value > 0);
  expect(received).toEqual([...Array.from({ length: 25 }, (_, minute) => 60 + minute), 1000]);
  await second.monitor.stop();
});

test("after a restart the minutes before it are spread over the steps of the newest hour", async () => {
  const first = bench();
  await first.monitor.start();
  first.count("messages.received", 61);
  first.clock.advance(MINUTE);
  await first.monitor.stop();
  const second = bench(first.clock, first.table);
  await second.monitor.start();
  const received = second.monitor.series(3600).map(({ sample }) => sample?.received);
  expect(received.filter((value) => value !== undefined)).toEqual([10, 10, 10, 10, 10, 11]);
  await second.monitor.stop();
});

test("a minute that is not over is spread over its steps that are", async () => {
  const first = bench();
  await first.monitor.start();
  first.clock.advance(MINUTE);
  first.count("messages.received", 9);
  first.clock.advance(25 * SECOND);
  await first.monitor.stop();
  const second = bench(first.clock, first.table);
  await second.monitor.start();
  const received = second.monitor.series(3600).map(({ sample }) => sample?.received);
  expect(received.slice(-2)).toEqual([4, 5]);
  await second.monitor.stop();
});

test("seven days are kept, in one small write every ten minutes", async () => {
  const { clock, monitor, table, count } = bench();
  const key = (ms: number) => String(ms).padStart(16, "0");
  const blocks = (7 * DAY) / (10 * MINUTE);
  for (let i = 0; i < blocks; i++) {
    table.rows.set(key(START_MS - i * 10 * MINUTE), Buffer.from("[[0,1,1,1,1,1,0,0,0,0,0]]"));
  }
  await monitor.start();
  expect(monitor.series(null)).toHaveLength(blocks);
  for (let minute = 0; minute < 30; minute++) {
    count("bytes.received", 1e9);
    clock.advance(MINUTE);
  }
  expect(table.writes).toBe(2);
  await monitor.stop();
  expect(table.writes).toBe(3);
  expect(table.rows.size).toBe(blocks);
  expect([...table.rows.keys()].sort()[0]).toBe(key(START_MS + 30 * MINUTE - 7 * DAY));
  expect(Math.max(...[...table.rows.values()].map(({ length }) => length))).toBeLessThan(600);
});

test("records of another making are removed, and the rest is taken over", async () => {
  const table = new MemoryTable();
  const clock = new ManualClock(START_MS + DAY);
  const key = (ms: number) => String(ms).padStart(16, "0");
  table.put(key(START_MS), Buffer.from("[[3,1,1,1,1,5,0,0,0,0,0]]"));
  table.put(key(START_MS + 10 * MINUTE), Buffer.from("[[3,-1]]"));
  table.put(key(START_MS + 20 * MINUTE), Buffer.from("{"));
  table.put(key(START_MS - 8 * DAY), Buffer.from("[]"));
  table.put(key(START_MS + 9 * DAY), Buffer.from("[]"));
  table.put("x", Buffer.from("[]"));
  const { monitor } = bench(clock, table);
  await monitor.start();
  expect([...table.rows.keys()]).toEqual([key(START_MS)]);
  const found = monitor.series(2 * (DAY / SECOND)).find(({ sample }) => sample !== null);
  expect(found).toMatchObject({ atMs: START_MS, sample: { received: 5 } });
  await monitor.stop();
});

test("a wall clock set back takes what it had stamped ahead with it", async () => {
  const { clock, monitor, table, count } = bench(new ManualClock(START_MS + 2 * HOUR));
  await monitor.start();
  count("messages.received", 5);
  clock.advance(30 * MINUTE);
  clock.jumpTo(START_MS);
  clock.advance(30 * SECOND);
  expect(table.rows.size).toBe(0);
  clock.advance(3 * HOUR);
  const total = monitor
    .series(DAY / SECOND)
    .reduce((sum, { sample }) => sum + (sample?.received ?? 0), 0);
  expect(total).toBe(0);
  await monitor.stop();
});

test("clearing forgets the history here and in the store", async () => {
  const { clock, monitor, table, count } = bench();
  await monitor.start();
  count("messages.received", 5);
  clock.advance(30 * MINUTE);
  monitor.clear();
  expect(table.rows.size).toBe(0);
  expect(monitor.series(DAY / SECOND).every(({ sample }) => sample === null)).toBe(true);
  expect(monitor.series(null)).toEqual([]);
  await monitor.stop();
});
