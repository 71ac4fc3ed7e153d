import { statSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { LoadedRetained, LoadedSession } from "../mqtt/index.ts";
import { ManualClock } from "../time/index.ts";
import { nextTurn } from "./group-writer.ts";
import { FaultyLevel } from "./leveldb/faulty-level.testing.ts";
import { listeningLog, openedStore, temporaryFolder } from "./open-store.testing.ts";
import { LevelStore } from "./store.ts";
import {
  describeEntry,
  entryFor,
  messageFor,
  recordFor,
  subscriptionFor,
} from "./workload.testing.ts";

async function newStore(options: Parameters<typeof openedStore>[1] = {}) {
  const path = join(temporaryFolder(), "db");
  return { path, store: await openedStore(path, options) };
}

async function reopened(store: LevelStore, path: string): Promise<LevelStore> {
  await store.stop();
  return openedStore(path);
}

async function collect<T>(batches: AsyncIterable<readonly T[]>): Promise<T[]> {
  const all: T[] = [];
  for await (const batch of batches) all.push(...batch);
  return all;
}

test("an entry that is removed before its group is committed is never written", async () => {
  const clock = new ManualClock();
  const { store } = await newStore({ clock });
  const session = store.session("a");
  session.put(recordFor(1));
  await store.committed(true);
  const before = store.status();
  for (let seq = 0; seq < 100; seq++) session.enqueue(entryFor(seq, seq, 50));
  const group = store.schedule(false);
  for (let seq = 0; seq < 100; seq++) session.dequeue(seq);
  expect(store.pendingOperations).toBe(0);
  clock.advance(20);
  await nextTurn();
  await nextTurn();
  expect(store.settledGroup).toBeGreaterThanOrEqual(group);
  const after = store.status();
  expect([after.commits, after.writes, after.cancelled]).toEqual([
    before.commits,
    before.writes,
    100,
  ]);
});

test("what is recorded is committed after the delay, or at the end of the turn when urgent", async () => {
  const clock = new ManualClock();
  const { store } = await newStore({ clock });
  await store.committed(true);
  const settled: number[] = [];
  store.onSettled((group, error) => {
    expect(error).toBeNull();
    settled.push(group);
  });
  store.session("a").put(recordFor(1));
  const first = store.schedule(false);
  clock.advance(19);
  await nextTurn();
  expect(settled).toEqual([]);
  clock.advance(1);
  await expect.poll(() => settled).toEqual([first]);
  store.session("a").put(recordFor(2));
  const second = store.schedule(true);
  store.session("a").put(recordFor(3));
  expect(store.schedule(true)).toBe(second);
  await expect.poll(() => settled).toEqual([first, second]);
  expect(second).toBe(first + 1);
  expect(store.schedule(true)).toBe(second);
});

test("a removal nobody waits for is committed by itself", async () => {
  const clock = new ManualClock();
  const { store, path } = await newStore({ clock });
  const session = store.session("a");
  session.put(recordFor(1));
  session.enqueue(entryFor(0, 1, 10));
  await store.committed(true);
  session.dequeue(0);
  clock.advance(500);
  await expect.poll(() => store.pendingOperations).toBe(0);
  const again = await reopened(store, path);
  expect(again.session("a").queue.count).toBe(0);
});

test("one commit is made at a time, and what comes meanwhile is the next group", async () => {
  const driver = new FaultyLevel();
  const { store } = await newStore({ driver });
  await store.committed(true);
  const gate = Promise.withResolvers<void>();
  driver.gate = gate.promise;
  const session = store.session("a");
  session.put(recordFor(1));
  const first = store.schedule(true);
  await expect.poll(() => driver.writes).toBe(2);
  for (let seq = 0; seq < 10; seq++) {
    session.enqueue(entryFor(seq, seq, 10));
    expect(store.schedule(true)).toBe(first + 1);
    await nextTurn();
  }
  expect(driver.writes).toBe(2);
  expect((await session.readQueue(0, 100, 1e6)).length).toBe(10);
  gate.resolve();
  await store.committed(true);
  expect(driver.writes).toBe(3);
});

test("an entry is there for readers at once, in order, whichever group it is in", async () => {
  const driver = new FaultyLevel();
  const { store } = await newStore({ driver });
  const session = store.session("a");
  session.put(recordFor(1));
  for (let seq = 0; seq < 3; seq++) session.enqueue(entryFor(seq, seq, 10));
  await store.committed(true);
  const gate = Promise.withResolvers<void>();
  driver.gate = gate.promise;
  for (let seq = 3; seq < 6; seq++) session.enqueue(entryFor(seq, seq, 10));
  const inFlight = store.committed(true);
  await nextTurn();
  for (let seq = 6; seq < 9; seq++) session.enqueue(entryFor(seq, seq, 10));
  session.dequeue(1);
  session.dequeue(4);
  session.dequeue(7);
  session.setReleased(2);
  session.setReleased(5);
  session.setReleased(8);
  const entries = await session.readQueue(0, 100, 1e6);
  expect(entries.map(({ seq, message }) => [seq, message === null])).toEqual([
    [0, false],
    [2, true],
    [3, false],
    [5, true],
    [6, false],
    [8, true],
  ]);
  expect((await session.readQueue(3, 2, 1e6)).map(({ seq }) => seq)).toEqual([3, 5]);
  gate.resolve();
  await inFlight;
  await store.committed(true);
  expect(await session.readQueue(0, 100, 1e6)).toEqual(entries);
});

test("a read ends with the entry that reaches the bytes asked for, and has at least one", async () => {
  const { store } = await newStore();
  const session = store.session("a");
  session.put(recordFor(1));
  for (let seq = 0; seq < 10; seq++) session.enqueue(entryFor(seq, seq, 100));
  for (const isCommitted of [false, true]) {
    if (isCommitted) await store.committed(true);
    expect(await session.readQueue(0, 100, 1)).toHaveLength(1);
    expect(await session.readQueue(0, 100, 250)).toHaveLength(3);
    expect(await session.readQueue(8, 100, 1e6)).toHaveLength(2);
    expect(await session.readQueue(10, 100, 1e6)).toHaveLength(0);
  }
});

test("a message for several sessions is stored once, until the last of them has it", async () => {
  const { store, path } = await newStore();
  const names = ["a", "b", "c"];
  const message = messageFor(1, 1000);
  for (const name of names) store.session(name).put(recordFor(1));
  await store.committed(true);
  const before = store.status().writes.queue.bytes;
  for (const name of names) store.session(name).enqueue({ ...entryFor(0, 1, 0), message });
  await store.committed(true);
  expect(store.status().writes.queue.bytes - before).toBeLessThan(1500);
  let again = await reopened(store, path);
  expect(again.status()).toMatchObject({ bodies: 1, queuedMessages: 3 });
  const sizes = names.map((name) => again.session(name).queue.bytes);
  expect(sizes).toEqual([1003, 1003, 1003]);
  for (const [i, name] of names.entries()) {
    const [entry] = await again.session(name).readQueue(0, 10, 1e6);
    expect(entry?.message?.payload).toEqual(message.payload);
    again.session(name).dequeue(0);
    await again.committed(true);
    expect(again.status().bodies).toBe(i === 2 ? 0 : 1);
  }
  again = await reopened(again, path);
  expect(again.status()).toMatchObject({ bodies: 0, queuedMessages: 0 });
});

test("a restart brings back sessions, subscriptions, markers, queues and retained messages", async () => {
  const { store, path } = await newStore();
  for (let i = 0; i < 600; i++) {
    const session = store.session(`client ${i}`);
    session.put(recordFor(i));
    for (let s = 0; s < i % 4; s++) session.putSubscription(subscriptionFor(`f/${s}/+`, s));
    if (i % 10 === 0) session.putInbound(i + 1);
    if (i % 3 === 0) session.enqueue(entryFor(i, i, 20));
  }
  for (let i = 0; i < 300; i++) store.putRetained(messageFor(i, 10, `r/${i}`));
  store.putRetained(messageFor(1000, 5000, "r/large"));
  const again = await reopened(store, path);
  const sessions = await collect<LoadedSession>(again.sessions());
  expect(sessions).toHaveLength(600);
  for (const { store: session, record, subscriptions, inbound } of sessions) {
    const i = Number(session.clientId.slice("client ".length));
    expect(record).toEqual(recordFor(i));
    expect(subscriptions).toHaveLength(i % 4);
    expect(inbound).toEqual(i % 10 === 0 ? [i + 1] : []);
    expect(session.queue.count).toBe(i % 3 === 0 ? 1 : 0);
    expect(session.queue.lastSeq).toBe(i % 3 === 0 ? i : -1);
    expect(again.session(session.clientId)).toBe(session);
  }
  const retained = await collect<LoadedRetained>(again.retained());
  expect(retained).toHaveLength(301);
  const large = retained.find(({ topic }) => topic === "r/large");
  expect(large).toMatchObject({ message: null, bytes: 5007, expiresAtMs: 1_000_000 });
  expect((await again.getRetained("r/large"))?.payload).toHaveLength(5000);
  expect(await again.getRetained("r/nothing")).toBeNull();
});

test("a session that is deleted and made again at once is empty, before and after a restart", async () => {
  const { store, path } = await newStore();
  const old = store.session("a");
  old.put(recordFor(1));
  old.putSubscription(subscriptionFor("f/#", 1));
  old.putInbound(9);
  for (let seq = 0; seq < 5000; seq++) old.enqueue(entryFor(seq, seq, 30));
  await store.committed(true);
  old.delete();
  const fresh = store.session("a");
  fresh.put(recordFor(2));
  fresh.enqueue(entryFor(0, 77, 30));
  old.enqueue(entryFor(9999, 1, 1));
  await store.committed(true);
  expect(fresh.queue).toMatchObject({ count: 1, firstSeq: 0 });
  expect(store.status().queuedMessages).toBe(1);
  const again = await reopened(store, path);
  const sessions = await collect<LoadedSession>(again.sessions());
  expect(
    sessions.map(({ record, subscriptions, inbound }) => [record, subscriptions, inbound]),
  ).toEqual([[recordFor(2), [], []]]);
  const entries = await again.session("a").readQueue(0, 10, 1e6);
  expect(entries.map(describeEntry)).toEqual([describeEntry(entryFor(0, 77, 30))]);
  // What a stop in the middle left is swept after the start.
  await again.idle();
  await again.committed(true);
  let rows = 0;
  for await (const batch of again.database.rows({ gte: Buffer.of(0x13), lt: Buffer.of(0x14) }))
    rows += batch.length;
  expect(rows).toBe(1);
});

test("an exact retained message is the newest recorded one, or none after its removal", async () => {
  const { store } = await newStore();
  store.putRetained(messageFor(1, 10, "t"));
  expect((await store.getRetained("t"))?.publishedMs).toBe(1);
  await store.committed(true);
  expect((await store.getRetained("t"))?.publishedMs).toBe(1);
  store.putRetained(messageFor(2, 10, "t"));
  expect((await store.getRetained("t"))?.publishedMs).toBe(2);
  store.deleteRetained("t");
  expect(await store.getRetained("t")).toBeNull();
  await store.committed(true);
  expect(await store.getRetained("t")).toBeNull();
});

test("writes are counted by cause, in bytes, records and fsyncs, and by day", async () => {
  const clock = new ManualClock();
  const { store, path } = await newStore({ clock });
  const session = store.session("a");
  session.put(recordFor(1));
  await store.committed(true);
  session.enqueue(entryFor(0, 1, 1000));
  await store.committed(true);
  session.putInbound(1);
  await store.committed(true);
  store.putRetained(messageFor(1, 100));
  await store.committed(true);
  session.dequeue(0);
  await store.committed(true);
  const { writes } = store.status();
  expect(writes.session).toMatchObject({ operations: 1, fsyncs: 1 });
  expect(writes.queue).toMatchObject({ operations: 1, fsyncs: 1 });
  expect(writes.queue.bytes).toBeGreaterThan(1000);
  expect(writes.queue.bytes).toBeLessThan(1120);
  expect(writes.inbound).toMatchObject({ operations: 1, fsyncs: 1 });
  expect(writes.retained).toMatchObject({ operations: 1, fsyncs: 1 });
  expect(writes.delete).toMatchObject({ operations: 1, fsyncs: 1 });
  await store.stop();
  const again = await openedStore(path, { clock });
  expect(again.status().writes.queue.operations).toBe(0);
  expect(again.status().writesToday.queue).toEqual(writes.queue);
  clock.advance(24 * 3600 * 1000);
  expect(again.status().writesToday.queue.bytes).toBe(0);
  expect(again.status().writesYesterday?.queue).toEqual(writes.queue);
});

test("durability os commits without fsync", async () => {
  const { store } = await newStore({ store: { durability: "os" } });
  store.session("a").put(recordFor(1));
  await store.committed(true);
  const { writes } = store.status();
  expect(Object.values(writes).reduce((sum, { fsyncs }) => sum + fsyncs, 0)).toBe(0);
});

test("gateway time goes on over a restart by the time the gateway was off", async () => {
  const clock = new ManualClock();
  const { store, path } = await newStore({ clock });
  clock.advance(10_000);
  expect(store.nowMs()).toBe(10_000);
  await store.stop();
  clock.advance(60_000);
  const again = await openedStore(path, { clock });
  expect(again.nowMs()).toBe(70_000);
  await again.stop();
  clock.jumpTo(0);
  expect((await openedStore(path, { clock })).nowMs()).toBe(70_000);
});

test("an idle store writes next to nothing", async () => {
  const clock = new ManualClock();
  const { store } = await newStore({ clock });
  await store.committed(true);
  const before = store.status();
  for (let minute = 0; minute < 24 * 60; minute++) {
    clock.advance(60_000);
    await nextTurn();
  }
  await store.committed(true);
  const { writesToday, commits } = store.status();
  expect(commits - before.commits).toBeLessThan(300);
  expect(Object.values(writesToday).reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThan(
    100_000,
  );
});

test("the folder is for its owner alone, and for one process at a time", async () => {
  const { store, path } = await newStore();
  expect(statSync(path).mode & 0o777).toBe(0o700);
  await expect(openedStore(path)).rejects.toMatchObject({ code: "STORE_IN_USE" });
  store.session("a").put(recordFor(1));
  await store.stop();
  await store.stop();
  expect(store.state).toBe("stopped");
  expect(store.status().setAside).toBeNull();
  const again = await openedStore(path);
  expect(await collect<LoadedSession>(again.sessions())).toHaveLength(1);
});

test("a status can be asked for before the start", () => {
  const store = newUnstarted();
  expect(store.state).toBe("stopped");
  expect(store.status()).toMatchObject({ state: "stopped", queuedMessages: 0 });
});

function newUnstarted(): LevelStore {
  return new LevelStore(
    { log: listeningLog().log, clock: new ManualClock() },
    { path: "/nowhere" },
  );
}

test("with 100,000 queued messages the store is ready in time, and read at full speed", async () => {
  const { store, path } = await newStore();
  const session = store.session("a");
  session.put(recordFor(1));
  for (let seq = 0; seq < 100_000; seq++) {
    session.enqueue(entryFor(seq, seq, 256));
    if (seq % 5000 === 0) await store.committed(true);
  }
  await store.stop();
  const startedMs = performance.now();
  const again = await openedStore(path);
  expect(performance.now() - startedMs).toBeLessThan(3000);
  expect(again.session("a").queue).toMatchObject({ count: 100_000, firstSeq: 0, lastSeq: 99_999 });
  const readMs = performance.now();
  let next = 0;
  for (;;) {
    const entries = await again.session("a").readQueue(next, 1000, 1e9);
    const last = entries.at(-1);
    if (last === undefined) break;
    expect([entries[0]?.seq, last.seq]).toEqual([next, next + 999]);
    next = last.seq + 1;
  }
  expect(next).toBe(100_000);
  // The aim is 300,000 entries a second; a machine that is busy otherwise may take ten times as long.
  expect(performance.now() - readMs).toBeLessThan(3300);
}, 60_000);

test("after a large drain the files shrink below twice the live data", async () => {
  const { store } = await newStore();
  const session = store.session("a");
  session.put(recordFor(1));
  const random = (seq: number) =>
    Buffer.from(Array.from({ length: 1000 }, (_, i) => (seq * 31 + i * i * 7) & 0xff));
  for (let seq = 0; seq < 40_000; seq++) {
    session.enqueue({
      ...entryFor(seq, 1, 0),
      message: { ...messageFor(1, 0), payload: random(seq) },
    });
    if (seq % 2000 === 0) await store.committed(true);
  }
  await store.committed(true);
  for (let seq = 0; seq < 36_000; seq++) session.dequeue(seq);
  await store.committed(true);
  await expect.poll(() => store.status().compactions, { timeout: 30_000 }).toBe(1);
  await expect
    .poll(() => store.status().bytesOnDisk, { timeout: 30_000 })
    .toBeLessThan(2 * session.queue.bytes + 5_000_000);
}, 90_000);
