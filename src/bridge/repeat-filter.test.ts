import { array, assert, boolean, integer, property, record } from "fast-check";
import { describe, expect, it } from "vitest";
import { createLog } from "../log/index.ts";
import { ManualClock } from "../time/index.ts";
import { createRepeatFilter, type MarkTable } from "./repeat-filter.ts";
import { SeqWindow } from "./seq-window.ts";

const EPOCH = "0123456789abcdef";

class MemoryTable implements MarkTable {
  readonly rows = new Map<string, Buffer>();
  async *entries() {
    yield [...this.rows];
  }
  put(key: string, value: Buffer): void {
    this.rows.set(key, value);
  }
  delete(key: string): void {
    this.rows.delete(key);
  }
}

function filter(table = new MemoryTable()) {
  const clock = new ManualClock();
  const log = createLog({ level: "fatal" }, { write: () => {} });
  const repeats = createRepeatFilter({ log, clock, table });
  const take = (seq: number, client = "gw1", epoch = EPOCH) =>
    repeats.take(client, [["tidegate-seq", `${epoch}.${seq}`]]);
  return { clock, table, repeats, take };
}

describe("filter of repeated messages", () => {
  it("takes a message once, and knows it again when it is safe", () => {
    const { repeats, take } = filter();
    const first = take(7);
    expect(first?.before).toBeNull();
    first?.settle(true);
    expect(take(7)?.before).toBe("safe");
    expect(repeats.repeats()).toBe(1);
  });

  it("a repetition of what is not safe yet waits for it, and shares its fate", async () => {
    const { take } = filter();
    const first = take(7);
    const again = take(7)?.before;
    expect(again).toBeInstanceOf(Promise);
    first?.settle(false);
    await expect(again).rejects.toThrow("refused");
    expect(take(7)?.before).toBeNull();
  });

  it("messages without a mark, or with a damaged one, pass", () => {
    const { repeats } = filter();
    expect(repeats.take("gw1", undefined)).toBeNull();
    for (const mark of ["", "1", `${EPOCH}.`, `${EPOCH}.-1`, `${EPOCH}.1e3`, `xyz.${1}`]) {
      expect(repeats.take("gw1", [["tidegate-seq", mark]])).toBeNull();
    }
  });

  it("nobody can spoil the marks of another client, nor an outbox those of the one before", () => {
    const { take } = filter();
    take(7)?.settle(true);
    expect(take(7, "gw2")?.before).toBeNull();
    expect(take(7, "gw1", "f".repeat(16))?.before).toBeNull();
  });

  it("knows after a restart what was safe before it, and takes what was not", async () => {
    const before = filter();
    for (const seq of [1, 2, 3, 5]) before.take(seq)?.settle(true);
    before.take(6);
    before.take(8)?.settle(true);
    before.clock.advance(1000);
    const after = filter(before.table);
    await after.repeats.start();
    const known = [1, 2, 3, 4, 5, 6, 7, 8, 9].filter((seq) => after.take(seq)?.before === "safe");
    expect(known).toEqual([1, 2, 3, 5, 8]);
  });

  it("writes its marks together, not one by one", () => {
    const { clock, table, take } = filter();
    let writes = 0;
    const put = table.put.bind(table);
    table.put = (key, value) => {
      writes += 1;
      put(key, value);
    };
    for (let seq = 1; seq <= 1000; seq++) take(seq)?.settle(true);
    clock.advance(1000);
    expect(writes).toBe(1);
    expect(table.rows.get(`${EPOCH} gw1`)?.length).toBeLessThan(50);
  });

  it("a damaged record costs the marks in it, nothing else", async () => {
    const table = new MemoryTable();
    table.put(`${EPOCH} gw1`, Buffer.from("[1,"));
    const { repeats, take } = filter(table);
    await repeats.start();
    expect(take(1)?.before).toBeNull();
  });
});

describe("window of numbers", () => {
  it("whatever order numbers come in, none is taken for known that was not safe", () => {
    assert(
      property(
        array(record({ seq: integer({ min: 0, max: 40 }), isSafe: boolean() }), { maxLength: 200 }),
        (steps) => {
          let window = new SeqWindow();
          const safe = new Set<number>();
          for (const [index, { seq, isSafe }] of steps.entries()) {
            const before = window.take(seq);
            if (before === "safe") expect(safe.has(seq)).toBe(true);
            if (before !== null) continue;
            window.settle(seq, isSafe);
            if (isSafe) safe.add(seq);
            if (index % 17 === 0) window = SeqWindow.read(window.text()) ?? window;
          }
        },
      ),
    );
  });

  it("a sender that begins anew far below is taken, however high it was", () => {
    const window = new SeqWindow();
    for (let seq = 0; seq < 10_000; seq++) window.settle(seq, window.take(seq) === null);
    expect(window.take(9000)).toBe("safe");
    expect(window.take(10)).toBeNull();
    window.settle(10, true);
    expect(window.take(11)).toBeNull();
    expect(window.take(10)).toBe("safe");
  });

  it("a jump of the numbers is remembered in a few bytes", () => {
    const window = new SeqWindow();
    for (const seq of [1, 1_000_000, 1_000_001]) window.settle(seq, window.take(seq) === null);
    expect(window.text().length).toBeLessThan(60);
    expect(window.take(999_000)).toBeNull();
  });
});
