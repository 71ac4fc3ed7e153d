import { cpSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { OUTBOX_LANES, type Outbox, type OutboxEntry, topic } from "../../mqtt/index.ts";
import { ManualClock } from "../../time/index.ts";
import { nextTurn } from "../group-writer.ts";
import { openedStore, temporaryFolder } from "../open-store.testing.ts";
import type { LevelStore } from "../store.ts";
import { randomFrom } from "../workload.testing.ts";
import { laneOfRows } from "./laned-outbox.ts";
import { outboxMessage, UNBOUNDED } from "./outbox.testing.ts";
import type { OutboxConfig } from "./outbox-config.ts";

const CFG: OutboxConfig = { ...UNBOUNDED, backlogMessages: 5 };

const LANES = Array.from({ length: OUTBOX_LANES }, (_, lane) => lane);

async function newOutbox(cfg: Partial<OutboxConfig> = {}) {
  const path = join(temporaryFolder(), "db");
  const store = await openedStore(path);
  const bounds = { ...CFG, ...cfg };
  const outbox = store.outbox("cloud", bounds);
  let number = 0;
  /** Appends a message, and says in which lane it is. */
  const append = (name: string, isLive = true): number => {
    const lane = outbox.laneFor(topic(name), isLive);
    void outbox.append(outboxMessage(++number, { name }), 0, isLive);
    return lane;
  };
  return { path, store, bounds, outbox, append };
}

async function namesIn(outbox: Outbox, lane: number): Promise<string[]> {
  const names: string[] = [];
  for (let after = 0; ; ) {
    const entries = await outbox.take(after, 100, lane);
    if (entries.length === 0) return names;
    for (const { seq, message } of entries) {
      names.push(message.topic);
      after = seq;
    }
  }
}

test("what is live goes past a backlog unless its topic waits in it", async () => {
  const { outbox, append } = await newOutbox();
  expect(append("a")).toBe(0);
  for (let n = 0; n < 8; n++) append("a", false);
  expect(append("a")).toBe(0);
  expect(append("b")).toBe(1);
  // Nobody takes: what comes now is a part of the backlog.
  expect(append("c", false)).toBe(0);
  expect(append("c")).toBe(0);
  expect(append("b", false)).toBe(1);
  expect(await namesIn(outbox, 1)).toEqual(["b", "b"]);
  expect(LANES.map((lane) => outbox.depth(lane))).toEqual([12, 2, 0]);
  expect(outbox.status().messages).toBe(14);
});

test("topics return to the first lane when what they had in another is gone for good", async () => {
  const { outbox, store, append } = await newOutbox();
  for (let n = 0; n < 8; n++) append("a", false);
  expect(append("b")).toBe(1);
  await store.committed(true);
  for (const { seq } of await outbox.take(0, 100)) outbox.remove(seq);
  expect(append("b")).toBe(1);
  for (const { seq } of await outbox.take(0, 100, 1)) outbox.remove(seq);
  // Their removal is not durable yet: they may come back.
  expect(outbox.laneFor(topic("b"), true)).toBe(1);
  await store.committed(true);
  expect(outbox.laneFor(topic("b"), true)).toBe(0);
});

test("a second backlog, in the lane of what was live, is gone past too", async () => {
  const { append } = await newOutbox();
  for (let n = 0; n < 8; n++) append("a", false);
  for (let n = 0; n < 8; n++) append("b");
  expect(append("c")).toBe(2);
  expect(append("b")).toBe(1);
});

test("lanes keep their order, and topics their lane, over a restart", async () => {
  const { outbox, store, append, path, bounds } = await newOutbox();
  for (let n = 0; n < 8; n++) append(`a${n}`, false);
  for (let n = 0; n < 3; n++) append("b");
  const before = (await outbox.take(0, 100, 1)).map(({ seq }) => seq);
  await store.stop();
  const again = (await openedStore(path)).outbox("cloud", bounds);
  expect((await again.take(0, 100, 1)).map(({ seq }) => seq)).toEqual(before);
  expect(again.laneFor(topic("b"), true)).toBe(1);
  expect(again.laneFor(topic("a3"), true)).toBe(0);
  expect(again.status().messages).toBe(11);
  expect((await again.take(0, 1)).every(({ seq }) => !before.includes(seq))).toBe(true);
});

test("the bounds are those of all lanes together, and the oldest gives way", async () => {
  const { outbox, append } = await newOutbox({ maxMessages: 10 });
  for (let n = 0; n < 7; n++) append("a", false);
  for (let n = 0; n < 3; n++) append("b");
  append("b");
  append("a");
  expect(LANES.map((lane) => outbox.depth(lane))).toEqual([6, 4, 0]);
  expect(outbox.status()).toMatchObject({ messages: 10, dropped: { queue_full: 2 } });
  expect(outbox.gaps()).toMatchObject([{ topic: "a", count: 2 }]);
  for (const { seq } of await outbox.take(0, 5)) outbox.remove(seq);
  // What is taken is on its way: now the other lane has what waits longest.
  for (let n = 0; n < 9; n++) append("c");
  expect(outbox.gaps()).toMatchObject([
    { topic: "a", count: 2 },
    { topic: "b", count: 4 },
  ]);
});

test("gaps of all lanes are reported at once, behind the backlog", async () => {
  const { outbox, append, store } = await newOutbox({ maxMessages: 8 });
  for (let n = 0; n < 8; n++) append("a", false);
  for (let n = 0; n < 10; n++) append("b");
  expect(outbox.gaps().map(({ topic: name }) => name)).toContain("b");
  outbox.report([outboxMessage(1000, { name: "gap" })]);
  await store.committed(true);
  expect(outbox.gaps()).toEqual([]);
  expect(await namesIn(outbox, 0)).toEqual(["gap"]);
});

test("a message without a lane of its own to wait for is not told to wait", async () => {
  const { outbox, append } = await newOutbox();
  for (let n = 0; n < 8; n++) append("a", false);
  expect([outbox.isWaiting(topic("a")), outbox.isWaiting(topic("b"))]).toEqual([true, false]);
  append("b");
  expect(outbox.isWaiting(topic("b"))).toBe(true);
  await outbox.take(0, 10, 1);
  expect(outbox.isWaiting(topic("b"))).toBe(false);
});

test("names of rows say which lane they are of", () => {
  expect(laneOfRows("cloud")).toEqual({ name: "cloud", lane: 0 });
  expect(laneOfRows("cloud\x02lane2")).toEqual({ name: "cloud", lane: 2 });
  expect(laneOfRows("cloud\x02lane7")).toEqual({ name: "cloud\x02lane7", lane: 0 });
});

/** Publishes, sends, acknowledges, reconnects and crashes at random; each topic must stay in order. */
async function sail(seed: number): Promise<void> {
  const random = randomFrom(seed);
  const folder = temporaryFolder();
  const clock = new ManualClock();
  let path = `${folder}/0`;
  let store = await openedStore(path, { clock });
  let outbox = store.outbox("cloud", CFG);
  let cursors = LANES.map(() => 0);
  let unacknowledged: OutboxEntry[] = [];
  let isLive = false;
  let last = 0;
  const durable = new Set<number>();
  const arrived = new Set<number>();
  const highest = new Map<string, number>();

  /** Sent and not arrived, in the order of the line. */
  let line: OutboxEntry[] = [];
  const arrive = (entry: OutboxEntry) => {
    const number = Number.parseInt(entry.message.payload.toString("latin1"), 10);
    const name = entry.message.topic;
    if (!arrived.has(number)) {
      expect(number, `seed ${seed}: ${name}`).toBeGreaterThan(highest.get(name) ?? 0);
      highest.set(name, number);
    }
    arrived.add(number);
    unacknowledged.push(entry);
  };
  const sendSome = async (limit: number) => {
    const lane = random(OUTBOX_LANES);
    for (const entry of await outbox.take(cursors[lane] ?? 0, limit, lane)) {
      cursors[lane] = entry.seq;
      line.push(entry);
    }
  };
  const reconnect = () => {
    // Where the line breaks, what is behind is lost.
    for (const entry of line.splice(0, random(line.length + 1))) arrive(entry);
    line = [];
    cursors = LANES.map(() => 0);
    unacknowledged = [];
  };
  let crashes = 0;
  const crash = async (n: number) => {
    const dead = store;
    crashes = n;
    const from = path;
    path = `${folder}/${n}`;
    cpSync(from, path, { recursive: true });
    store = await openedStore(path, { clock });
    outbox = store.outbox("cloud", CFG);
    reconnect();
    isLive = false;
    await stopped(dead, clock);
  };

  for (let step = 0; step < 250; step++) {
    const dice = random(100);
    if (dice < 40) {
      for (let i = random(4); i >= 0; i--) {
        const number = ++last;
        const name = `t/${random(isLive ? 12 : 6)}`;
        const life = crashes;
        outbox.append(outboxMessage(number, { name, qos: 1 }), isLive ? 1 : 0, isLive).then(
          () => life === crashes && durable.add(number),
          () => {},
        );
      }
    } else if (dice < 70) {
      if (isLive) await sendSome(1 + random(5));
    } else if (dice < 85) {
      for (const entry of line.splice(0, random(8))) arrive(entry);
      for (let i = random(6); i >= 0 && unacknowledged.length > 0; i--) {
        const at = random(3) === 0 ? random(unacknowledged.length) : 0;
        for (const { seq } of unacknowledged.splice(at, 1)) outbox.remove(seq);
      }
    } else if (dice < 90) {
      isLive = !isLive;
      if (isLive) reconnect();
    } else if (dice < 97) {
      await settle(store, clock);
    } else {
      await nextTurn();
      await crash(crashes + 1);
    }
  }
  reconnect();
  for (const lane of LANES) {
    for (let after = 0; ; ) {
      const entries = await outbox.take(after, 50, lane);
      if (entries.length === 0) break;
      for (const entry of entries) {
        after = entry.seq;
        arrive(entry);
        outbox.remove(entry.seq);
      }
    }
  }
  expect([...durable].filter((number) => !arrived.has(number))).toEqual([]);
  expect(outbox.status()).toMatchObject({ messages: 0, bytes: 0 });
  await stopped(store, clock);
}

async function settle(store: LevelStore, clock: ManualClock): Promise<void> {
  await ended(
    store.committed(true).catch(() => {}),
    clock,
  );
}

async function stopped(store: LevelStore, clock: ManualClock): Promise<void> {
  await ended(store.stop(), clock);
}

async function ended(task: Promise<void>, clock: ManualClock): Promise<void> {
  let isOver = false;
  const over = task.finally(() => {
    isOver = true;
  });
  while (!isOver) {
    clock.advance(3000);
    await nextTurn();
  }
  await over;
}

test("through crashes and reconnects every topic stays in order, and nothing durable is lost", async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 0, max: 1e9 }), (seed) => sail(seed)),
    { numRuns: 20, endOnFailure: true },
  );
}, 60_000);
