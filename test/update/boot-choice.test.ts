import { execFileSync, spawnSync } from "node:child_process";
import {
  closeSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  BLOCK_BYTES,
  BLOCK_OFFSETS,
  type BootState,
  DEFAULT_STATE,
  encodeBlock,
  readPair,
} from "./boot-state.ts";

const PROGRAM = fileURLToPath(
  new URL("../../firmware-image/rootfs/usr/lib/tidegate/boot-choice", import.meta.url),
);

let directory = "";
let disk = "";

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "tidegate-boot-choice-"));
  disk = join(directory, "disk");
  writeFileSync(disk, Buffer.alloc(1024 * 1024));
  writeFileSync(join(directory, "cmdline"), "root=/dev/vda3 ro rauc.slot=B console=ttyAMA0\n");
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

function bootChoice(...args: readonly string[]): string {
  const env = {
    PATH: process.env["PATH"],
    TIDEGATE_DISK: disk,
    TIDEGATE_CMDLINE: join(directory, "cmdline"),
  };
  return execFileSync("sh", [PROGRAM, ...args], { env, encoding: "utf8" }).trimEnd();
}

function blocks(): [Buffer, Buffer] {
  const file = openSync(disk, "r");
  const read = (at: number) => {
    const block = Buffer.alloc(BLOCK_BYTES);
    readSync(file, block, 0, BLOCK_BYTES, at);
    return block;
  };
  const both: [Buffer, Buffer] = [read(BLOCK_OFFSETS[0]), read(BLOCK_OFFSETS[1])];
  closeSync(file);
  return both;
}

function put(index: 0 | 1, block: Buffer): void {
  const file = openSync(disk, "r+");
  writeSync(file, block, 0, block.length, BLOCK_OFFSETS[index]);
  closeSync(file);
}

const state = (change: Partial<BootState> = {}): BootState => ({ ...DEFAULT_STATE, ...change });

/** What the program says it has found, as the model would. */
function shown(): { block: number | null; state: BootState } {
  const found = new Map(
    bootChoice("show")
      .split("\n")
      .map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
  );
  const number = (name: string) => Number(found.get(name));
  const good = (name: string) => (number(name) === 1 ? 1 : 0);
  return {
    block: found.get("block") === "none" ? null : number("block"),
    state: {
      seq: Number.parseInt(found.get("TIDEGATE_SEQ") ?? "", 16),
      order: found.get("BOOT_ORDER") === "B A" ? "B A" : "A B",
      left: { A: number("BOOT_A_LEFT"), B: number("BOOT_B_LEFT") },
      good: { A: good("BOOT_A_GOOD"), B: good("BOOT_B_GOOD") },
    },
  };
}

describe("the state blocks", () => {
  it("a card without any starts with slot A and three attempts each", () => {
    expect(shown()).toEqual({ block: null, state: DEFAULT_STATE });
    expect(bootChoice("get-primary")).toBe("A");
  });

  it("the valid block with the newer counter counts, also where the counter has wrapped", () => {
    const pairs: readonly [number, number, 0 | 1][] = [
      [1, 2, 1],
      [2, 1, 0],
      [7, 7, 0],
      [0xffffffff, 0, 1],
      [0, 0xffffffff, 0],
      [0x7fffffff, 0x80000000, 1],
      [0xfffffff0, 5, 1],
    ];
    for (const [first, second, counts] of pairs) {
      put(0, encodeBlock(state({ seq: first, left: { A: 1, B: 2 } })));
      put(1, encodeBlock(state({ seq: second, left: { A: 2, B: 1 } })));
      expect(shown().block, `${first}, ${second}`).toBe(counts);
      expect(shown()).toEqual(readPair(blocks()));
    }
  });

  it("a block torn or changed at any byte leaves the other one to count", () => {
    const before = encodeBlock(state({ seq: 8, order: "B A" }));
    const older = encodeBlock(state({ seq: 7 }));
    const next = encodeBlock(state({ seq: 9, left: { A: 0, B: 2 } }));
    put(0, before);
    const cuts = [0, 1, 3, 4, 5, 15, 16, 17, 40, 60, 80, 84, 85, 86, 512, 4096, 8191];
    for (const at of cuts) {
      put(1, Buffer.concat([next.subarray(0, at), older.subarray(at)]));
      const isWhole = at > 90;
      // Only from the texts' end on are the new block and the torn one the same bytes.
      expect(shown().block, `torn at ${at}`).toBe(isWhole ? 1 : 0);
      const garbled = Buffer.from(next);
      garbled[at] = (garbled[at] ?? 0) ^ 0x20;
      put(1, garbled);
      expect(shown().block, `changed at ${at}`).toBe(0);
    }
  });

  it("garbage, and a card too short for blocks, count as no block", () => {
    put(0, Buffer.alloc(BLOCK_BYTES, 0xff));
    put(1, Buffer.alloc(BLOCK_BYTES, "TIDEGATE_SEQ=5\0"));
    expect(shown()).toEqual({ block: null, state: DEFAULT_STATE });
    writeFileSync(disk, Buffer.alloc(512 * 1024 + 100));
    expect(shown()).toEqual({ block: null, state: DEFAULT_STATE });
  });

  it("a write goes to the block that does not count, one higher, and leaves the other as it was", () => {
    put(0, encodeBlock(state({ seq: 0xffffffff })));
    put(1, encodeBlock(state({ seq: 0xfffffffe })));
    const [first] = blocks();
    bootChoice("set-state", "A", "good");
    const expected = state({ seq: 0, left: { A: 6, B: 3 }, good: { A: 1, B: 0 } });
    expect(blocks()).toEqual([first, encodeBlock(expected)]);
    bootChoice("set-primary", "B");
    expect(blocks()).toEqual([
      encodeBlock({ ...expected, seq: 1, order: "B A" }),
      encodeBlock(expected),
    ]);
  });

  it("what changes nothing writes nothing", () => {
    bootChoice("set-state", "A", "good");
    const before = blocks();
    bootChoice("set-state", "A", "good");
    bootChoice("set-primary", "A");
    expect(blocks()).toEqual(before);
  });

  it("killed at any moment of a write, the state is the one before or the one after", () => {
    bootChoice("set-state", "A", "good");
    for (let delayMs = 2; delayMs <= 60; delayMs += 4) {
      const before = shown().state;
      const other = before.order === "A B" ? "B" : "A";
      spawnSync("sh", [PROGRAM, "set-primary", other], {
        env: { PATH: process.env["PATH"], TIDEGATE_DISK: disk, TMPDIR: directory },
        timeout: delayMs,
        killSignal: "SIGKILL",
      });
      const after = shown().state;
      const orders = [before.order, other === "B" ? "B A" : "A B"];
      expect(orders).toContain(after.order);
      expect(after.good.A).toBe(1);
    }
  });
});

describe("the choice", () => {
  it("an update is a slot refused while it is written, then asked first, on trial", () => {
    bootChoice("set-state", "A", "good");
    bootChoice("set-state", "B", "bad");
    expect(bootChoice("get-state", "B")).toBe("bad");
    expect(bootChoice("get-primary")).toBe("A");
    bootChoice("set-primary", "B");
    expect(bootChoice("get-primary")).toBe("B");
    expect(bootChoice("get-state", "B")).toBe("good");
    expect(shown().state).toMatchObject({ left: { A: 6, B: 3 }, good: { A: 1, B: 0 } });
  });

  it("a slot asked first without attempts left gives way to the other", () => {
    put(0, encodeBlock(state({ seq: 1, order: "B A", left: { A: 3, B: 0 } })));
    expect(bootChoice("get-primary")).toBe("A");
    put(1, encodeBlock(state({ seq: 2, order: "B A", left: { A: 0, B: 0 } })));
    expect(bootChoice("get-primary")).toBe("B");
  });

  it("tells the slot that runs, and refuses what makes no sense", () => {
    expect(bootChoice("get-current")).toBe("B");
    for (const args of [["set-primary"], ["set-primary", "C"], ["set-state", "A", "fine"], ["x"]]) {
      expect(() => bootChoice(...args)).toThrow();
    }
    writeFileSync(join(directory, "cmdline"), "root=/dev/vda2 rauc.slot=AB\n");
    expect(() => bootChoice("get-current")).toThrow();
    expect(blocks()[0]).toEqual(Buffer.alloc(BLOCK_BYTES));
  });
});
