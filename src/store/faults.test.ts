import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { GatewayError } from "../errors/index.ts";
import { ManualClock } from "../time/index.ts";
import { FaultyLevel, IO_ERROR, NO_SPACE } from "./leveldb/faulty-level.testing.ts";
import { listeningLog, openedStore, temporaryFolder } from "./open-store.testing.ts";
import { entryFor, messageFor, recordFor } from "./workload.testing.ts";

async function faultyStore() {
  const path = join(temporaryFolder(), "db");
  const driver = new FaultyLevel();
  const clock = new ManualClock();
  const { log, lines } = listeningLog();
  const store = await openedStore(path, { driver, clock, log });
  await store.committed(true);
  return { path, driver, clock, store, lines };
}

test.each([
  { reason: NO_SPACE, kind: "refused" as const, code: "STORE_FULL" },
  { reason: IO_ERROR, kind: "refused" as const, code: "STORE_WRITE_FAILED" },
  { reason: IO_ERROR, kind: "written" as const, code: "STORE_WRITE_FAILED" },
])("a commit that fails ($kind, $code) rejects its own group and is made up for", async (fault) => {
  const { path, driver, clock, store, lines } = await faultyStore();
  const session = store.session("a");
  session.put(recordFor(1));
  session.enqueue(entryFor(0, 1, 10));
  driver.onWrite = () => fault;
  const first = store.committed(true);
  const states: string[] = [];
  store.onState((state) => states.push(state));
  await expect(first).rejects.toMatchObject({ code: fault.code });
  expect(store.state).toBe("failing");
  expect(store.admit(10)).toBe(fault.code);
  expect(store.pendingOperations).toBeGreaterThan(0);
  session.enqueue(entryFor(1, 2, 10));
  const second = store.committed(true);
  driver.onWrite = () => null;
  clock.advance(3000);
  await second;
  expect(store.state).toBe("ready");
  expect(store.admit(10)).toBeNull();
  expect(states).toEqual(["failing", "ready"]);
  expect(lines.filter(({ level }) => level === "error")).toHaveLength(1);
  await store.stop();
  const again = await openedStore(path);
  const entries = await again.session("a").readQueue(0, 10, 1e6);
  expect(entries.map(({ seq }) => seq)).toEqual([0, 1]);
});

test("what was refused and is taken back is gone, although the disk had it", async () => {
  const { path, driver, clock, store } = await faultyStore();
  const session = store.session("a");
  session.put(recordFor(1));
  await store.committed(true);
  driver.onWrite = () => ({ kind: "written", reason: IO_ERROR });
  const large = messageFor(1, 9000);
  session.enqueue({ ...entryFor(0, 1, 0), message: large });
  session.putInbound(7);
  await expect(store.committed(true)).rejects.toThrow();
  session.dequeue(0);
  session.deleteInbound(7);
  driver.onWrite = () => null;
  const done = store.committed(true);
  clock.advance(3000);
  await done;
  expect(store.status()).toMatchObject({ queuedMessages: 0, bodies: 0 });
  await store.stop();
  const again = await openedStore(path);
  expect(again.session("a").queue.count).toBe(0);
  expect(again.status().queuedMessages).toBe(0);
  for await (const batch of again.sessions()) expect(batch[0]?.inbound).toEqual([]);
  for await (const rows of again.database.rows({ gte: Buffer.of(0x1f), lt: Buffer.of(0x20) })) {
    expect(rows).toEqual([]);
  }
});

test("every n-th write failing loses nothing that was acknowledged, and no write goes to a broken log", async () => {
  for (const [i, kind] of (["refused", "written"] as const).entries()) {
    const { path, driver, clock, store } = await faultyStore();
    driver.onWrite = (write) => (write % (3 + i) === 0 ? { kind, reason: IO_ERROR } : null);
    const session = store.session("a");
    session.put(recordFor(1));
    const acknowledged: number[] = [];
    for (let seq = 0; seq < 120; seq++) {
      session.enqueue(entryFor(seq, seq, 40));
      let isDone = false;
      const done = store
        .committed(true)
        .then(() => acknowledged.push(seq))
        .catch((err: GatewayError) => expect(err.code).toBe("STORE_WRITE_FAILED"))
        .finally(() => {
          isDone = true;
        });
      while (!isDone) {
        clock.advance(100);
        await new Promise((resolve) => setImmediate(resolve));
      }
      await done;
    }
    expect(acknowledged.length).toBeGreaterThan(60);
    expect(driver.writesAfterFailure).toBe(0);
    driver.onWrite = () => null;
    await store.stop();
    const again = await openedStore(path);
    const present = (await again.session("a").readQueue(0, 1000, 1e6)).map(({ seq }) => seq);
    expect(present).toEqual(expect.arrayContaining(acknowledged));
    expect(present).toEqual([...present].sort((a, b) => a - b));
  }
});

test("while the folder cannot be opened again reads fail, and afterwards all is well", async () => {
  const { driver, clock, store } = await faultyStore();
  const session = store.session("a");
  session.put(recordFor(1));
  session.enqueue(entryFor(0, 1, 10));
  await store.committed(true);
  session.enqueue(entryFor(1, 1, 10));
  driver.onWrite = () => ({ kind: "refused", reason: IO_ERROR });
  await expect(store.committed(true)).rejects.toThrow();
  // The old handle still reads.
  expect(await session.readQueue(0, 10, 1e6)).toHaveLength(2);
  driver.onOpen = () => IO_ERROR;
  const second = store.committed(true);
  clock.advance(3000);
  await expect(second).rejects.toMatchObject({ code: "STORE_WRITE_FAILED" });
  await expect(session.readQueue(0, 10, 1e6)).rejects.toMatchObject({ code: "STORE_READ_FAILED" });
  driver.onOpen = () => null;
  driver.onWrite = () => null;
  const third = store.committed(true);
  clock.advance(3000);
  await third;
  expect(await session.readQueue(0, 10, 1e6)).toHaveLength(2);
  expect(store.status().trouble).toBeNull();
});

test("a read that fails says so and can be tried again", async () => {
  const { driver, store } = await faultyStore();
  const session = store.session("a");
  session.put(recordFor(1));
  session.enqueue(entryFor(0, 1, 10));
  store.putRetained(messageFor(1, 10, "t"));
  await store.committed(true);
  driver.onRead = () => IO_ERROR;
  await expect(session.readQueue(0, 10, 1e6)).rejects.toMatchObject({ code: "STORE_READ_FAILED" });
  await expect(store.getRetained("t")).rejects.toMatchObject({ code: "STORE_READ_FAILED" });
  driver.onRead = () => null;
  expect(await session.readQueue(0, 10, 1e6)).toHaveLength(1);
});

test("below the free-disk reserve and at the bound of its files the store takes no messages", async () => {
  const path = join(temporaryFolder(), "db");
  const full = await openedStore(path, { store: { free_reserve_bytes: 1_099_511_627_776 } });
  const { volumeBytes, reserveBytes } = full.status();
  expect(reserveBytes).toBe(Math.max(Math.floor(volumeBytes * 0.05), 25_165_824));
  await full.stop();
  const bounded = await openedStore(path, { store: { max_bytes: 16_777_216 } });
  expect(bounded.admit(1000)).toBeNull();
  expect(bounded.admit(17_000_000)).toBe("STORE_FULL");
  const session = bounded.session("a");
  session.put(recordFor(1));
  for (let seq = 0; bounded.admit(100_000) === null; seq++) {
    const message = { ...messageFor(seq, 0), payload: randomBytes(100_000) };
    session.enqueue({ ...entryFor(seq, seq, 0), message });
    await bounded.committed(true);
    expect(seq).toBeLessThan(170);
  }
  expect(bounded.status().bytesOnDisk).toBeGreaterThan(16_500_000);
  // Removals are taken, and make room.
  for (const { seq } of await session.readQueue(0, 1000, 1e9)) session.dequeue(seq);
  await bounded.committed(true);
  await expect.poll(() => bounded.admit(1_000_000), { timeout: 30_000 }).toBeNull();
}, 60_000);

test("a stop while nothing can be written ends, and tells who waits", async () => {
  const { driver, store } = await faultyStore();
  driver.onWrite = () => ({ kind: "refused", reason: NO_SPACE });
  store.session("a").put(recordFor(1));
  const waiting = store.committed(true);
  const stopped = store.stop();
  await expect(waiting).rejects.toMatchObject({ code: "STORE_FULL" });
  await stopped;
  await expect(store.committed(true)).rejects.toMatchObject({ code: "STORE_WRITE_FAILED" });
});
