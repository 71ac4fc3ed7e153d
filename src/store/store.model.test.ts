import fc from "fast-check";
import { expect, test } from "vitest";
import { ManualClock } from "../time/index.ts";
import { nextTurn } from "./group-writer.ts";
import {
  FaultyLevel,
  IO_ERROR,
  NO_SPACE,
  type WriteFault,
} from "./leveldb/faulty-level.testing.ts";
import { openedStore, temporaryFolder } from "./open-store.testing.ts";
import type { LevelStore } from "./store.ts";
import {
  applyTo,
  describeEntry,
  Model,
  pictureOf,
  randomFrom,
  recordsOf,
} from "./workload.testing.ts";

const FAULTS: readonly WriteFault[] = [
  { kind: "refused", reason: NO_SPACE },
  { kind: "written", reason: IO_ERROR },
  { kind: "refused", reason: IO_ERROR },
];

interface Run {
  readonly seed: number;
  readonly operations: number;
  readonly withFaults: boolean;
}

/** Runs random operations on a store and on its model, with reads, commits, faults and restarts in between. */
async function compare({ seed, operations, withFaults }: Run): Promise<void> {
  const random = randomFrom(seed);
  const path = `${temporaryFolder()}/db`;
  const clock = new ManualClock();
  const driver = new FaultyLevel();
  const model = new Model();
  let store = await openedStore(path, { clock, driver });
  let fault: WriteFault | null = null;
  driver.onWrite = () => fault;

  for (let version = 1; version <= operations; version++) {
    const operation = model.next(random, version);
    applyTo(store, model, operation);
    model.apply(operation);
    const dice = random(100);
    if (dice < 25) await expectSummaries(store, model);
    else if (dice < 35) await expectSomeRead(store, model, random);
    else if (dice < 50) void store.committed(random(2) === 0).catch(() => {});
    else if (dice < 60) await settle(store, clock);
    else if (dice < 64 && withFaults) fault = FAULTS[random(FAULTS.length)] ?? null;
    else if (dice < 70) fault = null;
    else if (dice < 72) {
      fault = null;
      await recovered(store, clock);
      await store.stop();
      store = await openedStore(path, { clock, driver });
      expect(await pictureOf(store), `seed ${seed}, after ${version}`).toEqual(model.picture());
    }
  }
  fault = null;
  await recovered(store, clock);
  await expectSummaries(store, model);
  await store.stop();
  store = await openedStore(path, { clock, driver });
  expect(await pictureOf(store), `seed ${seed}, at the end`).toEqual(model.picture());
  expect(driver.writesAfterFailure).toBe(0);
  await expectNoOrphans(store, clock, model);
  await store.stop();
}

/** Waits until everything recorded so far is committed, or has failed once. */
async function settle(store: LevelStore, clock: ManualClock): Promise<void> {
  let isDone = false;
  const done = store
    .committed(true)
    .catch(() => {})
    .finally(() => {
      isDone = true;
    });
  do {
    clock.advance(3000);
    await nextTurn();
  } while (!isDone);
  await done;
}

async function recovered(store: LevelStore, clock: ManualClock): Promise<void> {
  for (let i = 0; i < 20; i++) {
    await settle(store, clock);
    if (store.state === "ready") return;
  }
  throw new Error(`the store did not recover: ${store.status().trouble}`);
}

async function expectSummaries(store: LevelStore, model: Model): Promise<void> {
  expect(await recordsOf(store)).toEqual(model.picture().records);
  for (const [clientId, { queue }] of model.sessions) {
    const session = store.session(clientId);
    expect(session.queue.count).toBe(queue.size);
    const seqs = [...queue.keys()];
    expect(session.queue.firstSeq).toBe(seqs.length === 0 ? -1 : Math.min(...seqs));
    const bytes = seqs.map((seq) => session.bytesOf(seq));
    expect(session.queue.bytes).toBe(bytes.reduce((sum, size) => sum + size, 0));
    const entries = await session.readQueue(0, 1_000_000, 1e12);
    expect(entries.map(describeEntry)).toEqual(model.queuePicture(clientId));
  }
}

async function expectSomeRead(
  store: LevelStore,
  model: Model,
  random: (below: number) => number,
): Promise<void> {
  for (const [clientId, { queue }] of model.sessions) {
    const from = random(Math.max(1, queue.size * 2));
    const max = 1 + random(10);
    const entries = await store.session(clientId).readQueue(from, max, 1e12);
    const expected = model
      .queuePicture(clientId)
      .filter((text) => Number.parseInt(text, 10) >= from);
    expect(entries.map(describeEntry)).toEqual(expected.slice(0, max));
  }
}

/** Everything that is on disk belongs to something. */
async function expectNoOrphans(store: LevelStore, clock: ManualClock, model: Model): Promise<void> {
  let isIdle = false;
  const idle = store.idle().then(() => {
    isIdle = true;
  });
  while (!isIdle) await settle(store, clock);
  await idle;
  const counts = new Map<number, number>();
  for await (const rows of store.database.rows({ gte: Buffer.of(0x10), lt: Buffer.of(0x20) })) {
    for (const [key] of rows) counts.set(key[0] ?? 0, (counts.get(key[0] ?? 0) ?? 0) + 1);
  }
  const sum = (of: (session: (typeof sessions)[number]) => number) =>
    sessions.reduce((total, session) => total + of(session), 0);
  const sessions = [...model.sessions.values()];
  expect({
    sessions: counts.get(0x10) ?? 0,
    subscriptions: counts.get(0x11) ?? 0,
    inbound: counts.get(0x12) ?? 0,
    queue: counts.get(0x13) ?? 0,
    retained: counts.get(0x14) ?? 0,
    records: counts.get(0x16) ?? 0,
    bodies: counts.get(0x1f) ?? 0,
  }).toEqual({
    sessions: sessions.length,
    subscriptions: sum((session) => session.subscriptions.size),
    inbound: sum((session) => session.inbound.size),
    queue: sum((session) => session.queue.size),
    retained: model.retained.size,
    records: model.records.size,
    bodies: store.status().bodies,
  });
}

test("random operations leave the store as they leave a plain model, restarts in between", async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 0, max: 1e9 }), (seed) =>
      compare({ seed, operations: 150, withFaults: false }),
    ),
    { numRuns: 20, endOnFailure: true },
  );
}, 60_000);

test("failed writes, whether they reached the disk or not, lose and invent nothing", async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 0, max: 1e9 }), (seed) =>
      compare({ seed, operations: 150, withFaults: true }),
    ),
    { numRuns: 30, endOnFailure: true },
  );
}, 60_000);
