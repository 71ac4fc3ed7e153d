import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createLog } from "../log/index.ts";
import type { Message } from "../mqtt/index.ts";
import { ManualClock } from "../time/index.ts";
import { type AlarmSettings, type Alarms, createAlarms } from "./index.ts";
import { MemoryTable } from "./memory-table.testing.ts";

const HOUR_MS = 3_600_000;
const NOW_MS = Date.UTC(2026, 0, 1);

let clock: ManualClock;
let table: MemoryTable;
let published: Message[];
let lines: string[];
let settings: AlarmSettings;
let started: Alarms[];
/** Gateway time when the process last started. */
let gatewayMs: number;

beforeEach(() => {
  clock = new ManualClock(NOW_MS);
  table = new MemoryTable();
  published = [];
  lines = [];
  settings = { actions: ["log", "publish"], size_limit: 1000, validity_period_s: 86_400 };
  started = [];
  gatewayMs = 0;
});

afterEach(async () => {
  for (const alarms of started) await alarms.stop();
});

function build(): Alarms {
  const log = createLog({ level: "info" }, { write: (line) => void lines.push(line) });
  const bus = { publish: async (message: Message) => void published.push(message) };
  const baseMs = gatewayMs - clock.monotonicMs();
  const store = { table: () => table, nowMs: () => baseMs + clock.monotonicMs() };
  const alarms = createAlarms({ log, clock, bus, store }, { node: "n1", settings: () => settings });
  started.push(alarms);
  return alarms;
}

async function start(): Promise<Alarms> {
  const alarms = build();
  await alarms.start();
  return alarms;
}

/** The process ends and comes back `offMs` later by gateway time, with any wall clock. */
async function restart(alarms: Alarms, offMs: number, wallMs: number): Promise<Alarms> {
  await alarms.stop();
  gatewayMs += clock.monotonicMs() + offMs;
  clock = new ManualClock(wallMs);
  return start();
}

const told = () =>
  published.map(({ topic, payload }) => [topic, JSON.parse(payload.toString())] as const);

describe("an alarm", () => {
  it("is told once in the log and on $SYS, however often it is raised", async () => {
    const alarms = await start();
    for (let i = 0; i < 3; i++) alarms.raise("high_temperature", "It is hot.", { temp_c: 81 });
    expect(told()).toEqual([
      [
        "$SYS/brokers/n1/alarms/activate",
        {
          name: "high_temperature",
          message: "It is hot.",
          details: { temp_c: 81 },
          activate_at: NOW_MS * 1000,
          deactivate_at: "infinity",
          activated: true,
        },
      ],
    ]);
    expect(published[0]).toMatchObject({ qos: 0, retain: false, origin: { kind: "system" } });
    expect(lines.filter((line) => line.includes("alarm raised"))).toHaveLength(1);
  });

  it("that is cleared is told again and stands in the history with its times", async () => {
    const alarms = await start();
    alarms.raise("a", "A.");
    clock.advance(5000);
    expect(alarms.active()).toMatchObject([{ name: "a", deactivatedAtMs: null, durationMs: 5000 }]);
    alarms.clear("a");
    alarms.clear("a");
    clock.advance(5000);
    expect(alarms.active()).toEqual([]);
    expect(alarms.history()).toEqual([
      {
        name: "a",
        message: "A.",
        details: {},
        activatedAtMs: NOW_MS,
        deactivatedAtMs: NOW_MS + 5000,
        durationMs: 5000,
      },
    ]);
    expect(told().map(([name, { activated }]) => [name, activated])).toEqual([
      ["$SYS/brokers/n1/alarms/activate", true],
      ["$SYS/brokers/n1/alarms/deactivate", false],
    ]);
  });

  it("whose message changes is told again and keeps its beginning", async () => {
    const alarms = await start();
    alarms.raise("certificate_expiry/tls", "30 days are left.");
    clock.advance(1000);
    alarms.raise("certificate_expiry/tls", "7 days are left.");
    expect(alarms.active()).toMatchObject([
      { message: "7 days are left.", activatedAtMs: NOW_MS, durationMs: 1000 },
    ]);
    expect(published).toHaveLength(2);
  });

  it("goes only where the settings say, from the change of the settings on", async () => {
    const alarms = await start();
    settings = { ...settings, actions: [] };
    alarms.raise("a", "A.");
    expect([published.length, lines.length]).toEqual([0, 0]);
    settings = { ...settings, actions: ["publish"] };
    alarms.clear("a");
    expect([published.length, lines.length]).toEqual([1, 0]);
  });

  it("raised before the start is told at the start", async () => {
    const alarms = build();
    alarms.raise("a", "A.");
    expect(published).toEqual([]);
    await alarms.start();
    expect(told()).toHaveLength(1);
    expect(table.rows.size).toBe(1);
  });

  it("is ended by force when it is active, and only then", async () => {
    const alarms = await start();
    alarms.raise("a", "A.");
    expect([alarms.forceClear("b"), alarms.forceClear("a"), alarms.forceClear("a")]).toEqual([
      false,
      true,
      false,
    ]);
  });

  it("of any name and length is bounded and harms nothing", async () => {
    const alarms = await start();
    alarms.raise("__proto__", "x".repeat(5000), { ["__proto__"]: "y".repeat(5000) });
    alarms.raise("n".repeat(1000), "\ud800");
    expect(alarms.active().map(({ name, message }) => [name.length, message.length])).toEqual([
      [256, 1],
      [9, 1024],
    ]);
    alarms.clear("n".repeat(1000));
    expect(alarms.active()).toHaveLength(1);
    expect(Object.getPrototypeOf({})).toBe(Object.prototype);
  });
});

describe("bounds", () => {
  it("the history keeps the newest of size_limit", async () => {
    settings = { ...settings, size_limit: 3 };
    const alarms = await start();
    for (const name of ["a", "b", "c", "d", "e"]) {
      alarms.raise(name, "It was.");
      alarms.clear(name);
    }
    expect(alarms.history().map(({ name }) => name)).toEqual(["e", "d", "c"]);
    expect([...table.rows.keys()]).toHaveLength(3);
  });

  it("an alarm leaves the history after validity_period_s", async () => {
    const alarms = await start();
    alarms.raise("a", "A.");
    clock.advance(23 * HOUR_MS);
    alarms.clear("a");
    clock.advance(23 * HOUR_MS);
    expect(alarms.history()).toHaveLength(1);
    clock.advance(2 * HOUR_MS);
    expect(alarms.history()).toEqual([]);
    expect(table.rows.size).toBe(0);
  });

  it("no more than 1,000 are active, the rest is said once in the log", async () => {
    const alarms = await start();
    for (let i = 0; i < 1005; i++) alarms.raise(`a${i}`, "A.");
    expect(alarms.active()).toHaveLength(1000);
    expect(lines.filter((line) => line.includes("too many alarms"))).toHaveLength(1);
    alarms.clear("a0");
    alarms.raise("a1004", "A.");
    expect(alarms.active()).toHaveLength(1000);
  });
});

describe("over a restart", () => {
  it("an active alarm stays with its beginning when its source raises it again", async () => {
    let alarms = await start();
    alarms.raise("a", "A.", { x: 1 });
    clock.advance(1000);
    alarms = await restart(alarms, 500, NOW_MS + 1500);
    expect(alarms.active()).toMatchObject([{ name: "a", activatedAtMs: NOW_MS, durationMs: 1500 }]);
    alarms.raise("a", "A.");
    clock.advance(10 * 60_000);
    expect(alarms.active()).toMatchObject([{ name: "a", details: { x: 1 } }]);
    expect(published).toHaveLength(1);
  });

  it("an active alarm that nobody raises again is over after two minutes", async () => {
    let alarms = await start();
    alarms.raise("a", "A.");
    alarms = await restart(alarms, 0, NOW_MS);
    clock.advance(119_000);
    expect(alarms.active()).toHaveLength(1);
    clock.advance(2000);
    expect([alarms.active().length, alarms.history().length]).toEqual([0, 1]);
  });

  it("a latched alarm stays until somebody ends it", async () => {
    let alarms = await start();
    alarms.raise("store_set_aside", "The store was damaged.", {}, { isLatched: true });
    alarms = await restart(alarms, 0, NOW_MS);
    clock.advance(HOUR_MS);
    alarms = await restart(alarms, 0, NOW_MS);
    clock.advance(HOUR_MS);
    expect(alarms.active()).toHaveLength(1);
    expect(alarms.forceClear("store_set_aside")).toBe(true);
    alarms = await restart(alarms, 0, NOW_MS);
    expect(alarms.active()).toEqual([]);
  });

  it("the history stays, in order, and goes on", async () => {
    let alarms = await start();
    for (let i = 0; i < 12; i++) {
      alarms.raise(`a${i}`, "A.");
      alarms.clear(`a${i}`);
    }
    alarms = await restart(alarms, 0, NOW_MS);
    alarms.raise("last", "A.");
    alarms.clear("last");
    const names = alarms.history().map(({ name }) => name);
    expect(names).toEqual(["last", ...Array.from({ length: 12 }, (_, i) => `a${11 - i}`)]);
    alarms.clearHistory();
    alarms = await restart(alarms, 0, NOW_MS);
    expect(alarms.history()).toEqual([]);
  });

  it("records that cannot be read are removed, the others are there", async () => {
    let alarms = await start();
    alarms.raise("a", "A.");
    alarms.raise("b", "B.");
    alarms.clear("b");
    for (const [i, text] of ["", "{", "null", "[]", '{"name":1}', "\0\0"].entries()) {
      table.put(`active/x${i}`, Buffer.from(text));
      table.put(`history/${i}`, Buffer.from(text));
    }
    table.put("history/no number", table.rows.get("active/a") ?? Buffer.alloc(0));
    alarms = await restart(alarms, 0, NOW_MS);
    expect([alarms.active().length, alarms.history().length]).toEqual([1, 1]);
    expect(table.rows.size).toBe(2);
  });
});

describe("a wall clock that is set (F6)", () => {
  it.each([
    ["from 1970 to today", 0, NOW_MS],
    ["ten years forward", NOW_MS, NOW_MS + 10 * 365 * 24 * HOUR_MS],
    ["ten years back", NOW_MS, NOW_MS - 10 * 365 * 24 * HOUR_MS],
  ])("%s ends no alarm, empties no history, and shortens no duration", async (_, before, after) => {
    clock = new ManualClock(before);
    let alarms = await start();
    alarms.raise("old", "It was.");
    alarms.clear("old");
    alarms.raise("a", "A.");
    clock.advance(60_000);
    clock.jumpTo(after);
    clock.advance(60_000);
    expect(alarms.active()).toMatchObject([{ name: "a", durationMs: 120_000 }]);
    expect(alarms.history()).toHaveLength(1);
    alarms = await restart(alarms, 1000, after);
    clock.advance(60_000);
    expect(alarms.active()).toMatchObject([{ durationMs: 181_000, activatedAtMs: before }]);
    expect(alarms.history()).toHaveLength(1);
  });
});
