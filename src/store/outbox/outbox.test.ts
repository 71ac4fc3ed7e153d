import { cpSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ManualClock } from "../../time/index.ts";
import { nextTurn } from "../group-writer.ts";
import { FaultyLevel, NO_SPACE } from "../leveldb/faulty-level.testing.ts";
import { openedStore, temporaryFolder } from "../open-store.testing.ts";
import { contentOf, outboxMessage, UNBOUNDED } from "./outbox.testing.ts";
import type { OutboxConfig } from "./outbox-config.ts";

async function newOutbox(cfg: Partial<OutboxConfig> = {}) {
  const path = join(temporaryFolder(), "db");
  const clock = new ManualClock();
  const driver = new FaultyLevel();
  const store = await openedStore(path, { clock, driver });
  await store.committed(true);
  const bounds = { ...UNBOUNDED, ...cfg };
  return { path, clock, driver, store, bounds, outbox: store.outbox("cloud", bounds) };
}

/** The outbox as it is found when power goes now. */
async function afterCrash(path: string) {
  const copy = join(temporaryFolder(), "db");
  cpSync(path, copy, { recursive: true });
  return (await openedStore(copy)).outbox("cloud", UNBOUNDED);
}

async function numbersIn(outbox: Parameters<typeof contentOf>[0]): Promise<number[]> {
  return (await contentOf(outbox)).map(({ number }) => number);
}

test("what the cloud acknowledges within the commit delay is never written", async () => {
  const { store, clock, outbox } = await newOutbox();
  outbox.append(outboxMessage(0)).catch(() => {});
  for (const { seq } of await outbox.take(0, 10)) outbox.remove(seq);
  // The first message has numbers set aside.
  await store.committed(true);
  const before = store.status().writes;
  const appended: Promise<void>[] = [];
  let cursor = 0;
  for (let number = 1; number <= 1000; number++) {
    appended.push(outbox.append(outboxMessage(number)));
    for (const { seq } of await outbox.take(cursor, 10)) {
      cursor = seq;
      outbox.remove(seq);
    }
  }
  await Promise.all(appended);
  clock.advance(500);
  await nextTurn();
  await store.committed(true);
  expect(store.status().writes).toEqual(before);
  expect(store.status().cancelled).toBe(1001);
});

test("an append is answered when its commit is durable, at once if it is urgent", async () => {
  const { store, clock, outbox } = await newOutbox();
  let isDone = false;
  const done = outbox.append(outboxMessage(1)).then(() => {
    isDone = true;
  });
  await nextTurn();
  expect(isDone).toBe(false);
  clock.advance(20);
  await done;
  const before = store.status().commits;
  await outbox.append(outboxMessage(2), 0);
  expect(store.status().commits).toBe(before + 1);
});

test("a message that could not be stored is refused and not kept; QoS 0 is kept for the next commit", async () => {
  const { store, clock, driver, outbox } = await newOutbox();
  driver.onWrite = () => ({ kind: "refused", reason: NO_SPACE });
  void outbox.append(outboxMessage(1, { qos: 0 }));
  await expect(outbox.append(outboxMessage(2), 0)).rejects.toMatchObject({ code: "STORE_FULL" });
  expect(outbox.status().messages).toBe(1);
  // While commits fail nothing more is taken.
  await expect(outbox.append(outboxMessage(3), 0)).rejects.toMatchObject({ code: "STORE_FULL" });
  await outbox.append(outboxMessage(4, { qos: 0 }));
  expect(outbox.status().dropped.store_full).toBe(1);
  driver.onWrite = () => null;
  clock.advance(3000);
  await store.committed(true);
  expect(await numbersIn(outbox)).toEqual([1]);
});

test("sequences grow over a restart, also of an outbox that was never written", async () => {
  const { store, path, outbox, bounds } = await newOutbox();
  void outbox.append(outboxMessage(1)).catch(() => {});
  const [first] = await outbox.take(0, 1);
  outbox.remove(first?.seq ?? 0);
  await store.committed(true);
  await store.stop();
  const again = await openedStore(path);
  const next = again.outbox("cloud", bounds);
  await next.append(outboxMessage(2), 0);
  const [second] = await next.take(0, 1);
  expect(second?.seq).toBeGreaterThan(first?.seq ?? Number.POSITIVE_INFINITY);
});

test("QoS 2 is handed out only when it is durable, and holds up what is behind it", async () => {
  const { outbox } = await newOutbox();
  const first = outbox.append(outboxMessage(1));
  const second = outbox.append(outboxMessage(2, { qos: 2 }));
  void outbox.append(outboxMessage(3));
  expect((await outbox.take(0, 10)).length).toBe(1);
  await outbox.append(outboxMessage(4), 0);
  await Promise.all([first, second]);
  expect(await numbersIn(outbox)).toEqual([1, 2, 3, 4]);
});

test("what has patience is not written along with others, and never when it is removed in time", async () => {
  const { store, clock, path, outbox } = await newOutbox();
  await outbox.append(outboxMessage(1), 0);
  let isSafe = false;
  const patient = outbox.append(outboxMessage(2), 200).then(() => {
    isSafe = true;
  });
  // Somebody else's commit, soon after.
  store.deleteRetained("t/none");
  clock.advance(10);
  await store.committed(true);
  expect(isSafe).toBe(false);
  expect(await numbersIn(await afterCrash(path))).toEqual([1]);
  const [, second] = await outbox.take(0, 10);
  outbox.remove(second?.seq ?? 0);
  await patient;
  const before = store.status().writes;
  clock.advance(1000);
  await nextTurn();
  await store.committed(true);
  expect(store.status().writes).toEqual(before);
});

test("patience that ends without an answer has the message written, and what came before it", async () => {
  const { clock, path, outbox } = await newOutbox();
  const safe: number[] = [];
  const append = async (number: number, patienceMs: number) => {
    await outbox.append(outboxMessage(number), patienceMs);
    safe.push(number);
  };
  void append(1, 200);
  void append(2, 100);
  void append(3, 300);
  clock.advance(99);
  await nextTurn();
  expect(safe).toEqual([]);
  clock.advance(1);
  await expect.poll(() => safe).toEqual([1, 2]);
  expect(await numbersIn(await afterCrash(path))).toEqual([1, 2]);
  void append(4, 0);
  await expect.poll(() => safe).toEqual([1, 2, 3, 4]);
  expect(await numbersIn(await afterCrash(path))).toEqual([1, 2, 3, 4]);
});

test("a store that stops writes what has patience, too", async () => {
  const { store, path, bounds, outbox } = await newOutbox();
  const appended = outbox.append(outboxMessage(1), 1000);
  await store.stop();
  await appended;
  const again = (await openedStore(path)).outbox("cloud", bounds);
  expect(await numbersIn(again)).toEqual([1]);
});

test("what the cloud has received is noted until it is removed, over restarts", async () => {
  const { store, path, outbox, bounds } = await newOutbox();
  for (let number = 1; number <= 4; number++)
    void outbox.append(outboxMessage(number, { qos: 2 }), 0);
  await store.committed(true);
  const entries = await outbox.take(0, 10);
  const [first = 0, second = 0, third = 0] = entries.map(({ seq }) => seq);
  await outbox.setReceived(first, true);
  await outbox.setReceived(second, true);
  await outbox.setReceived(third, true);
  await outbox.setReceived(second, false);
  outbox.remove(third);
  await outbox.setReceived(third, true);
  await store.stop();
  const again = await openedStore(path);
  const same = again.outbox("cloud", { ...bounds, maxMessages: 2 });
  expect((await same.take(0, 10)).map(({ seq, isReceived }) => [seq, isReceived])).toEqual([
    [first, true],
    [second, false],
    [entries[3]?.seq, false],
  ]);
  await again.stop();
  const last = await openedStore(path);
  // What the cloud has is not dropped, although the outbox is too full.
  const full = last.outbox("cloud", { ...bounds, maxMessages: 1 });
  await full.append(outboxMessage(9), 0);
  await expect.poll(() => full.status().dropped.queue_full).toBeGreaterThan(0);
  expect((await full.take(0, 10)).map(({ seq }) => seq)).toContain(first);
});

test("the time a message has waited goes on over a restart", async () => {
  const { store, path, outbox, clock, bounds } = await newOutbox();
  await outbox.append(outboxMessage(1), 0);
  clock.advance(10_000);
  expect(outbox.status().oldestAgeMs).toBe(10_000);
  await store.stop();
  const again = await openedStore(path, { clock });
  const [entry] = await again.outbox("cloud", bounds).take(0, 1);
  const waitedMs = clock.monotonicMs() - (entry?.appendedAtMs ?? 0);
  expect(waitedMs).toBeGreaterThanOrEqual(10_000);
  expect(waitedMs).toBeLessThan(20_000);
});

test("drop_oldest keeps the newest, and never drops what is on its way", async () => {
  const { outbox, store } = await newOutbox({ maxMessages: 100 });
  for (let number = 1; number <= 20; number++) void outbox.append(outboxMessage(number), 0);
  await store.committed(true);
  expect((await outbox.take(0, 10)).length).toBe(10);
  for (let number = 21; number <= 400; number++) {
    void outbox.append(outboxMessage(number), 0);
    if (number % 7 === 0) await store.committed(true);
    expect(outbox.status().messages).toBeLessThanOrEqual(100 + 7);
  }
  await store.committed(true);
  await expect.poll(() => outbox.status().messages).toBe(100);
  const numbers = await numbersIn(outbox);
  expect(numbers.slice(0, 10)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  expect(numbers.slice(10)).toEqual(Array.from({ length: 90 }, (_, i) => 311 + i));
  expect(outbox.status().dropped.queue_full).toBe(300);
});

test("drop_newest keeps the oldest, and answers the publisher all the same", async () => {
  const { outbox, store } = await newOutbox({ maxMessages: 10, policy: "drop_newest" });
  for (let number = 1; number <= 30; number++) void outbox.append(outboxMessage(number), 0);
  await store.committed(true);
  await outbox.append(outboxMessage(31), 0);
  expect(await numbersIn(outbox)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  expect(outbox.status().dropped.queue_full).toBe(21);
});

test("the bound in bytes holds, and a message larger than it is dropped alone", async () => {
  const { outbox, store } = await newOutbox({ maxBytes: 1030 });
  await outbox.append(outboxMessage(1, { size: 2000 }), 0);
  for (let number = 2; number <= 20; number++) {
    await outbox.append(outboxMessage(number, { size: 100 }), 0);
  }
  await store.committed(true);
  const { bytes, dropped } = outbox.status();
  expect(bytes).toBe(1030);
  expect(dropped).toMatchObject({ too_large: 1, queue_full: 9 });
  expect(await numbersIn(outbox)).toEqual([11, 12, 13, 14, 15, 16, 17, 18, 19, 20]);
});

test("keep_last_per_topic spares the last message of each topic, over a restart too", async () => {
  const { outbox, store, path, bounds } = await newOutbox({
    maxMessages: 20,
    policy: "keep_last_per_topic",
  });
  const rare = (n: number) => outboxMessage(n, { name: `rare/${n}` });
  for (let number = 1; number <= 5; number++) await outbox.append(rare(number), 0);
  for (let number = 6; number <= 60; number++) {
    await outbox.append(outboxMessage(number, { name: "busy" }), 0);
  }
  await store.stop();
  const again = await openedStore(path);
  const same = again.outbox("cloud", bounds);
  for (let number = 61; number <= 100; number++) {
    await same.append(outboxMessage(number, { name: "busy" }), 0);
  }
  await expect.poll(() => same.status().messages).toBe(20);
  const found = await contentOf(same);
  expect(found.filter(({ topic }) => topic !== "busy").map(({ number }) => number)).toEqual([
    1, 2, 3, 4, 5,
  ]);
  const busy = found.filter(({ topic }) => topic === "busy").map(({ number }) => number);
  expect(busy).toEqual(Array.from({ length: 15 }, (_, i) => 86 + i));
});

test("keep_last_per_topic gives up the oldest when every message is the last of its topic", async () => {
  const { outbox } = await newOutbox({ maxMessages: 10, policy: "keep_last_per_topic" });
  for (let number = 1; number <= 2000; number++) {
    await outbox.append(outboxMessage(number, { name: `own/${number}` }), 0);
  }
  expect(outbox.status().messages).toBe(10);
  expect(outbox.status().dropped.queue_full).toBe(1990);
});

test("what waits too long is dropped, on disk and in memory", async () => {
  const { outbox, store, clock } = await newOutbox({ maxAgeMs: 60_000 });
  for (let number = 1; number <= 1500; number++) void outbox.append(outboxMessage(number));
  await store.committed(true);
  clock.advance(59_000);
  await outbox.append(outboxMessage(1501), 0);
  expect(outbox.status().messages).toBe(1501);
  clock.advance(2000);
  await expect.poll(() => outbox.status().messages).toBe(1);
  expect(outbox.status().dropped.too_old).toBe(1500);
  expect(await numbersIn(outbox)).toEqual([1501]);
});

test("a gap is kept by topic over a restart, and is gone once it is reported", async () => {
  const { outbox, store, clock, path, bounds } = await newOutbox({ maxMessages: 2 });
  const fromMs = clock.nowMs();
  for (let number = 1; number <= 9; number++) {
    await outbox.append(outboxMessage(number), 0);
    clock.advance(1000);
  }
  expect(outbox.gaps()).toEqual([
    { topic: "t/1", fromMs, toMs: fromMs + 6000, count: 3 },
    { topic: "t/2", fromMs: fromMs + 1000, toMs: fromMs + 4000, count: 2 },
    { topic: "t/0", fromMs: fromMs + 2000, toMs: fromMs + 5000, count: 2 },
  ]);
  await store.stop();
  const again = await openedStore(path, { clock });
  const same = again.outbox("cloud", bounds);
  expect(same.gaps().map(({ topic, count }) => `${topic} ${count}`)).toEqual([
    "t/0 2",
    "t/1 3",
    "t/2 2",
  ]);
  same.report([outboxMessage(100, { name: "gap" })]);
  expect(same.gaps()).toEqual([]);
  await again.committed(true);
  await again.stop();
  const third = await openedStore(path, { clock });
  const last = third.outbox("cloud", bounds);
  expect(last.gaps()).toEqual([]);
  // The report stays although the outbox is full.
  await last.append(outboxMessage(10), 0);
  await last.append(outboxMessage(11), 0);
  expect((await contentOf(last)).map(({ topic }) => topic)).toContain("gap");
});

test("gaps of very many topics are bounded", async () => {
  const { outbox } = await newOutbox({ maxMessages: 1 });
  for (let number = 1; number <= 1000; number++) {
    void outbox.append(outboxMessage(number, { name: `many/${number}` })).catch(() => {});
  }
  const gaps = outbox.gaps();
  expect(gaps).toHaveLength(257);
  expect(gaps.find(({ topic }) => topic === null)?.count).toBe(999 - 256);
});

test("a discarded outbox leaves nothing on disk, and begins anew", async () => {
  const { outbox, store, path, bounds } = await newOutbox({ maxMessages: 2000 });
  const other = store.outbox("cloud2", bounds);
  await other.append(outboxMessage(1), 0);
  for (let number = 1; number <= 3000; number++) void outbox.append(outboxMessage(number));
  await store.committed(true);
  for (const { seq } of await outbox.take(0, 100)) if (seq % 2 === 0) outbox.remove(seq);
  await store.discardOutbox("cloud");
  expect(outbox.status()).toMatchObject({ messages: 0, bytes: 0 });
  expect(await numbersIn(outbox)).toEqual([]);
  await outbox.append(outboxMessage(5), 0);
  expect(await numbersIn(outbox)).toEqual([5]);
  await store.discardOutbox("cloud");
  await store.stop();
  const again = await openedStore(path);
  for (const table of [0x17, 0x18, 0x19]) {
    for await (const rows of again.database.rows({
      gte: Buffer.of(table),
      lt: Buffer.of(table + 1),
    })) {
      expect(rows.every(([key]) => key.includes("cloud2"))).toBe(true);
    }
  }
  expect(await numbersIn(again.outbox("cloud2", bounds))).toEqual([1]);
});

test("a chunk that cannot be read costs its messages alone", async () => {
  const { outbox, store, path, bounds } = await newOutbox();
  for (let number = 1; number <= 10; number++) await outbox.append(outboxMessage(number), 0);
  const range = { gte: Buffer.of(0x19), lt: Buffer.of(0x1a) };
  const [[key, value] = []] = await store.database.read((handle) =>
    handle.iterator(range).nextv(1),
  );
  if (key === undefined || value === undefined) throw new Error("there is no chunk");
  value.writeUInt8(value.readUInt8(20) ^ 1, 20);
  const batch = store.database.batch();
  batch.put(key, value);
  await store.database.write(batch, true);
  expect(await numbersIn(outbox)).toEqual([2, 3, 4, 5, 6, 7, 8, 9, 10]);
  await store.stop();
  const again = await openedStore(path);
  const same = again.outbox("cloud", bounds);
  expect(await numbersIn(same)).toEqual([2, 3, 4, 5, 6, 7, 8, 9, 10]);
  expect(same.status().messages).toBe(9);
});

test("a long backlog is ready at once after a restart, and drains in order", async () => {
  const path = join(temporaryFolder(), "db");
  const store = await openedStore(path);
  const outbox = store.outbox("cloud", UNBOUNDED);
  const BACKLOG = 100_000;
  for (let number = 1; number <= BACKLOG; number++) {
    void outbox.append(outboxMessage(number, { size: 200 }));
    if (number % 2000 === 0) await store.committed(true);
  }
  await store.stop();
  const startedMs = performance.now();
  const again = await openedStore(path);
  const openMs = performance.now() - startedMs;
  const same = again.outbox("cloud", UNBOUNDED);
  expect(same.status().messages).toBe(BACKLOG);
  expect(openMs).toBeLessThan(3000);
  let next = 1;
  for (let after = 0; next <= BACKLOG; ) {
    const entries = await same.take(after, 1000);
    for (const { seq, message } of entries) {
      expect(message.payload.toString("latin1", 0, String(next).length)).toBe(String(next));
      next++;
      after = seq;
      same.remove(seq);
    }
  }
  await again.committed(true);
  expect(same.status()).toMatchObject({ messages: 0, bytes: 0 });
});
