import { beforeEach, describe, expect, it } from "vitest";
import { ManualClock } from "../time/index.ts";
import { CommitLoop, type CommitSource } from "./commit-loop.ts";

let clock: ManualClock;
/** Operations of each commit, with the time it started. */
let commits: { readonly atMs: number; readonly operations: number }[];
let source: CommitSource & { openOperations: number };
/** Until when the operations that have patience have it; they are among the open ones. */
let patient: number[];

beforeEach(() => {
  clock = new ManualClock();
  commits = [];
  patient = [];
  source = {
    openOperations: 0,
    patience: () => ({ operations: patient.length, untilMs: Math.min(...patient) }),
    async commit(isAll) {
      const left = isAll ? [] : patient.filter((untilMs) => untilMs > clock.monotonicMs());
      const operations = this.openOperations - left.length;
      if (operations > 0) commits.push({ atMs: clock.monotonicMs(), operations });
      patient = left;
      this.openOperations = left.length;
    },
  };
});

const settled = async () => {
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
};

function open(minIntervalMs: number) {
  const loop = new CommitLoop({ clock, source }, { delayMs: 20, minIntervalMs });
  const record = (operations = 1) => {
    for (let i = 0; i < operations; i++) {
      source.openOperations += 1;
      loop.recorded();
    }
  };
  const at = async (ms: number) => {
    clock.advance(ms - clock.monotonicMs());
    await settled();
  };
  /** Records something that has patience until then. */
  const wait = (untilMs: number) => {
    patient.push(untilMs);
    record();
    loop.scheduleBy(untilMs);
  };
  /** The oldest of those is superfluous now. */
  const cancel = () => {
    patient.shift();
    source.openOperations -= 1;
  };
  return { loop, record, wait, cancel, at };
}

describe("patience", () => {
  it("commits nothing as long as each operation is superfluous in time, however many come", async () => {
    const { wait, cancel, at } = open(0);
    for (let ms = 0; ms < 3000; ms += 10) {
      await at(ms);
      if (patient.length === 6) cancel();
      wait(ms + 100);
    }
    expect(commits).toEqual([]);
    await at(3039);
    expect(commits).toEqual([]);
    await at(3040);
    expect(commits).toEqual([{ atMs: 3040, operations: 1 }]);
    await at(5000);
    expect(commits.reduce((sum, { operations }) => sum + operations, 0)).toBe(6);
  });

  it("is not lost by a commit of something else, which does not take along what has it", async () => {
    const { loop, record, wait, at } = open(0);
    wait(150);
    await at(10);
    record();
    await Promise.all([loop.committed(true), settled()]);
    expect(commits).toEqual([{ atMs: 10, operations: 1 }]);
    await at(149);
    expect(commits).toHaveLength(1);
    await at(150);
    expect(commits.slice(1)).toEqual([{ atMs: 150, operations: 1 }]);
  });

  it("that is shorter than that of others ends first", async () => {
    const { wait, at } = open(0);
    wait(200);
    wait(50);
    await at(50);
    expect(commits).toEqual([{ atMs: 50, operations: 1 }]);
    await at(200);
    expect(commits).toHaveLength(2);
  });

  it("ends with the store", async () => {
    const { loop, wait } = open(0);
    wait(200);
    await Promise.all([loop.stop(), settled()]);
    expect(commits).toEqual([{ atMs: 0, operations: 1 }]);
  });
});

describe("a bound on commits a second", () => {
  it("holds small groups apart, and what comes meanwhile goes together", async () => {
    const { loop, record, at } = open(100);
    const done: number[] = [];
    for (let ms = 0; ms <= 300; ms += 10) {
      await at(ms);
      record();
      void loop.committed(true).then(() => done.push(ms));
      await settled();
    }
    await at(400);
    expect(commits).toEqual([
      { atMs: 0, operations: 1 },
      { atMs: 100, operations: 9 },
      { atMs: 200, operations: 10 },
      { atMs: 300, operations: 10 },
      { atMs: 400, operations: 1 },
    ]);
    expect(done).toHaveLength(31);
  });

  it("does not delay what comes after a pause", async () => {
    const { loop, record, at } = open(100);
    for (const ms of [0, 150, 1000]) {
      await at(ms);
      record();
      await Promise.all([loop.committed(true), settled()]);
    }
    expect(commits.map(({ atMs }) => atMs)).toEqual([0, 150, 1000]);
  });

  it("does not delay a group that is worth it", async () => {
    const { loop, record, at } = open(100);
    record();
    await Promise.all([loop.committed(true), settled()]);
    await at(10);
    record(200);
    const second = loop.committed(true);
    await settled();
    expect(commits).toHaveLength(1);
    record(56);
    await second;
    expect(commits).toMatchObject([{}, { atMs: 10, operations: 256 }]);
  });

  it("does not delay the end", async () => {
    const { loop, record } = open(1000);
    record();
    await Promise.all([loop.committed(true), settled()]);
    record();
    const waiting = loop.committed(true);
    await loop.stop();
    await waiting;
    expect(commits).toHaveLength(2);
  });

  it("is none unless it is set", async () => {
    const { loop, record } = open(0);
    for (let i = 0; i < 5; i++) {
      record();
      await Promise.all([loop.committed(true), settled()]);
    }
    expect(commits).toHaveLength(5);
  });
});
