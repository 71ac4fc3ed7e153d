import fc from "fast-check";
import { expect, test } from "vitest";
import type { OutboxEntry } from "../../mqtt/index.ts";
import { ManualClock } from "../../time/index.ts";
import { nextTurn } from "../group-writer.ts";
import {
  FaultyLevel,
  IO_ERROR,
  NO_SPACE,
  type WriteFault,
} from "../leveldb/faulty-level.testing.ts";
import { openedStore, temporaryFolder } from "../open-store.testing.ts";
import type { LevelStore } from "../store.ts";
import { randomFrom } from "../workload.testing.ts";
import { contentOf, outboxMessage, UNBOUNDED } from "./outbox.testing.ts";

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

type Fate = "open" | "durable" | "refused" | "removed";

/** Appends, takes, removes, fails and restarts at random; what is there must be what is owed. */
async function compare({ seed, operations, withFaults }: Run): Promise<void> {
  const random = randomFrom(seed);
  const path = `${temporaryFolder()}/db`;
  const clock = new ManualClock();
  const driver = new FaultyLevel();
  let fault: WriteFault | null = null;
  driver.onWrite = () => fault;
  let store = await openedStore(path, { clock, driver });
  let outbox = store.outbox("cloud", UNBOUNDED);
  /** By the number in the payload. */
  const fates = new Map<number, Fate>();
  let taken: OutboxEntry[] = [];
  let cursor = 0;
  let last = 0;

  const check = async (when: string) => {
    const numbers = (await contentOf(outbox)).map(({ number }) => number);
    const label = `seed ${seed}, ${when}`;
    expect(numbers, label).toEqual([...numbers].sort((a, b) => a - b));
    const expected = [...fates].filter(([, fate]) => fate === "durable").map(([n]) => n);
    expect(numbers, label).toEqual(expected);
    expect(outbox.status().messages, label).toBe(expected.length);
  };

  for (let step = 0; step < operations; step++) {
    const dice = random(100);
    if (dice < 45) {
      for (let i = random(5); i >= 0; i--) {
        const number = ++last;
        const qos = random(4) === 0 ? 2 : 1;
        const size = random(20) === 0 ? 70_000 : random(600);
        fates.set(number, "open");
        outbox.append(outboxMessage(number, { qos, size }), 30 * random(2)).then(
          () => fates.get(number) === "open" && fates.set(number, "durable"),
          () => fates.set(number, "refused"),
        );
      }
    } else if (dice < 65) {
      const more = await outbox.take(cursor, 1 + random(6));
      for (const { seq } of more) expect(seq).toBeGreaterThan(cursor);
      taken.push(...more);
      cursor = more.at(-1)?.seq ?? cursor;
    } else if (dice < 80 && taken.length > 0) {
      const [entry] = taken.splice(random(4) === 0 ? random(taken.length) : 0, 1);
      if (entry !== undefined) {
        outbox.remove(entry.seq);
        outbox.remove(entry.seq);
        fates.set(numberOf(entry), "removed");
      }
    } else if (dice < 84) {
      taken = [];
      cursor = 0;
    } else if (dice < 92) {
      await settle(store, clock);
    } else if (dice < 95 && withFaults) {
      fault = FAULTS[random(FAULTS.length)] ?? null;
    } else if (dice < 98) {
      fault = null;
    } else {
      fault = null;
      await recovered(store, clock);
      await check("before a restart");
      await store.stop();
      store = await openedStore(path, { clock, driver });
      outbox = store.outbox("cloud", UNBOUNDED);
      taken = [];
      cursor = 0;
      await check("after a restart");
    }
  }
  fault = null;
  await recovered(store, clock);
  await check("at the end");
  for (const { seq } of await outbox.take(0, 1e9)) outbox.remove(seq);
  await settle(store, clock);
  await settle(store, clock);
  expect(outbox.status()).toMatchObject({ messages: 0, bytes: 0, oldestAgeMs: null });
  expect(outbox.waiting).toBe(0);
  expect(await rowsOf(store, 0x19)).toBe(0);
  await store.stop();
}

function numberOf({ message }: OutboxEntry): number {
  return Number.parseInt(message.payload.toString("latin1"), 10);
}

async function rowsOf(store: LevelStore, table: number): Promise<number> {
  let count = 0;
  const range = { gte: Buffer.of(table), lt: Buffer.of(table + 1) };
  for await (const rows of store.database.rows(range)) count += rows.length;
  return count;
}

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
  await nextTurn();
}

async function recovered(store: LevelStore, clock: ManualClock): Promise<void> {
  for (let i = 0; i < 20; i++) {
    await settle(store, clock);
    if (store.state !== "ready") continue;
    // What failed meanwhile has been told by now; what was open then is durable after this.
    await settle(store, clock);
    return;
  }
  throw new Error(`the store did not recover: ${store.status().trouble}`);
}

test("random appends, takes and removals leave what is owed, in order, restarts in between", async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 0, max: 1e9 }), (seed) =>
      compare({ seed, operations: 150, withFaults: false }),
    ),
    { numRuns: 20, endOnFailure: true },
  );
}, 60_000);

test("failed writes, whether they reached the disk or not, keep what was accepted and nothing else", async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 0, max: 1e9 }), (seed) =>
      compare({ seed, operations: 150, withFaults: true }),
    ),
    { numRuns: 30, endOnFailure: true },
  );
}, 60_000);
