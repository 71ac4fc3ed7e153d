import { expect, onTestFinished, test } from "vitest";
import { createLog } from "../log/index.ts";
import { type Message, type QoS, topic } from "../mqtt/index.ts";
import { ManualClock } from "../time/index.ts";
import { createDelayed, type DelayedConfig, type DelayedTable } from "./index.ts";

const log = createLog({ level: "fatal" }, { write: () => undefined });
const DEFAULTS: DelayedConfig = { enable: true, maxMessages: 0, maxBytes: 67_108_864 };

/** What the store keeps; it can be told to fail. */
class MemoryTable implements DelayedTable {
  readonly rows = new Map<string, Buffer>();
  isFailing = false;

  async *entries() {
    yield [...this.rows].sort(([a], [b]) => (a < b ? -1 : 1));
  }

  put(key: string, value: Buffer): void {
    this.rows.set(key, value);
  }

  delete(key: string): void {
    this.rows.delete(key);
  }

  async committed(): Promise<void> {
    if (this.isFailing) throw new Error("disk failure");
  }
}

function message(name: string, text = "x", more: Partial<Message> = {}): Message {
  const origin = { kind: "client", clientId: "c", username: "u" } as const;
  return { topic: topic(name), payload: Buffer.from(text), qos: 1, retain: false, origin, ...more };
}

async function open(table = new MemoryTable(), cfg = DEFAULTS, clock = new ManualClock()) {
  const out: Message[] = [];
  const store = { takes: true, fails: false };
  const delayed = createDelayed(
    {
      log,
      clock,
      table,
      gatewayMs: () => clock.monotonicMs(),
      release(released) {
        if (!store.takes) return null;
        if (store.fails) return Promise.reject(new Error("commit failed"));
        out.push(released);
        return Promise.resolve();
      },
    },
    cfg,
  );
  await delayed.start();
  onTestFinished(() => delayed.stop());
  const topics = () => out.map((released) => released.topic);
  return { delayed, clock, table, out, topics, store };
}

/** Lets promises settle. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

test("messages leave when they are due, in order of time and then of arrival", async () => {
  const { delayed, clock, topics } = await open();
  await delayed.add(message("late"), 2000);
  await delayed.add(message("first"), 1000);
  await delayed.add(message("second"), 1000);
  clock.advance(999);
  expect(topics()).toEqual([]);
  clock.advance(1);
  expect(topics()).toEqual(["first", "second"]);
  clock.advance(1000);
  expect(topics()).toEqual(["first", "second", "late"]);
  expect(delayed.status()).toEqual({ count: 0, bytes: 0 });
});

test("a wall clock that is set neither releases nor holds back a message (F6)", async () => {
  const { delayed, clock, topics } = await open();
  await delayed.add(message("a"), 5000);
  for (const years of [10, -50, 0]) {
    clock.jumpTo(Date.UTC(2026 + years, 0, 1));
    clock.advance(1000);
    expect(topics()).toEqual([]);
  }
  clock.advance(2000);
  expect(topics()).toEqual(["a"]);
});

test("everything of a message comes through a restart", async () => {
  const { delayed, table, clock } = await open();
  const full = message("a/b", "grüß", {
    qos: 2 as QoS,
    retain: true,
    properties: {
      contentType: "text/plain",
      correlationData: Buffer.from([0, 255, 1]),
      userProperties: [["k", "v"]],
      messageExpiryInterval: 60,
    },
  });
  await delayed.add(full, 5000);
  await delayed.stop();
  const again = await open(table, DEFAULTS, clock);
  expect([...again.delayed.list()]).toMatchObject([{ delayS: 5, remainingMs: 5000 }]);
  clock.advance(5000);
  expect(again.out).toEqual([full]);
  expect(table.rows.size).toBe(0);
});

test("what fell due while the gateway was off is published soon after the start", async () => {
  const { delayed, table, clock } = await open();
  await delayed.add(message("t"), 1000);
  await delayed.stop();
  clock.advance(10_000);
  const again = await open(table, DEFAULTS, clock);
  clock.advance(0);
  expect(again.topics()).toEqual(["t"]);
});

test("what is added before the start is kept once, and nothing is taken after the stop", async () => {
  const clock = new ManualClock();
  const table = new MemoryTable();
  const out: string[] = [];
  const delayed = createDelayed(
    {
      log,
      clock,
      table,
      gatewayMs: () => clock.monotonicMs(),
      release: (released) => Promise.resolve(void out.push(released.topic)),
    },
    DEFAULTS,
  );
  await delayed.add(message("early"), 0);
  await delayed.start();
  clock.advance(1);
  expect(out).toEqual(["early"]);
  await delayed.stop();
  expect(delayed.add(message("late"), 0)).toBeNull();
});

test("a publisher hears of a failed commit, and the message is not kept", async () => {
  const { delayed, table } = await open();
  table.isFailing = true;
  await expect(delayed.add(message("t"), 1000)).rejects.toThrow("disk failure");
  expect(delayed.status().count).toBe(0);
  expect(table.rows.size).toBe(0);
});

test.each(["takes", "fails"] as const)(
  "a message that cannot be stored when it is due stays and is tried again (%s)",
  async (how) => {
    const { delayed, clock, topics, table, store } = await open();
    await delayed.add(message("t"), 1000);
    store[how] = how === "fails";
    clock.advance(1000);
    await settled();
    expect(topics()).toEqual([]);
    expect(table.rows.size).toBe(1);
    store[how] = how !== "fails";
    clock.advance(1000);
    await settled();
    expect(topics()).toEqual(["t"]);
    expect(table.rows.size).toBe(0);
  },
);

test("the bounds hold in messages and bytes, and follow the settings", async () => {
  const { delayed } = await open(undefined, { ...DEFAULTS, maxMessages: 1 });
  expect(await delayed.add(message("a"), 1000)).toBeUndefined();
  expect(delayed.add(message("b"), 1000)).toBeNull();
  delayed.configure({ enable: false, maxMessages: 0, maxBytes: 1000 });
  expect(delayed.isEnabled).toBe(false);
  expect(delayed.add(message("c", "x".repeat(1000)), 1000)).toBeNull();
  expect(await delayed.add(message("d"), 1000)).toBeUndefined();
});

test("a message can be looked at and taken back by id or topic", async () => {
  const { delayed, clock, topics, table } = await open();
  await delayed.add(message("a"), 1000);
  await delayed.add(message("b"), 1000);
  await delayed.add(message("b"), 2000);
  const [first] = delayed.list();
  expect(first?.id).toMatch(/^[0-9A-F]{32}$/);
  expect(delayed.get(first?.id ?? "")?.message.topic).toBe("a");
  expect(await delayed.remove(first?.id ?? "")).toBe(true);
  expect(await delayed.remove(first?.id ?? "")).toBe(false);
  expect(await delayed.removeTopic("b")).toBe(2);
  clock.advance(5000);
  expect(topics()).toEqual([]);
  expect(table.rows.size).toBe(0);
});

test("a hundred thousand messages wait and leave without holding the loop", async () => {
  const count = 100_000;
  const { delayed, clock, out } = await open();
  for (let n = 0; n < count; n++) void delayed.add(message(`t/${n}`), 1000 + (n % 1000));
  let worstMs = 0;
  while (out.length < count) {
    const before = out.length;
    const startedMs = performance.now();
    clock.advance(100);
    worstMs = Math.max(
      worstMs,
      (performance.now() - startedMs) / Math.max(1, (out.length - before) / 50),
    );
    await settled();
  }
  // One slice of fifty; the loop has its turn after each.
  expect(worstMs).toBeLessThan(50);
  expect(delayed.status()).toEqual({ count: 0, bytes: 0 });
});
