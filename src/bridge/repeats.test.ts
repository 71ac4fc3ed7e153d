import { expect, it } from "vitest";
import { createLog } from "../log/index.ts";
import { ManualClock } from "../time/index.ts";
import { createRepeatLog } from "./repeats.ts";

it("trouble is logged once, then as a count per period, each kind for itself", () => {
  const clock = new ManualClock();
  const lines: Record<string, unknown>[] = [];
  const log = createLog({ level: "info" }, { write: (line) => lines.push(JSON.parse(line)) });
  const repeats = createRepeatLog({ log, clock });
  for (let i = 0; i < 100; i++) {
    repeats.say("warn", "refused", { attempt: i }, "bridge cannot connect");
    repeats.say("warn", "reset", {}, "bridge cannot connect");
    clock.advance(1000);
  }
  expect(lines).toHaveLength(2);
  clock.advance(600_000);
  repeats.say("warn", "refused", { attempt: 100 }, "bridge cannot connect");
  expect(lines).toHaveLength(3);
  expect(lines[2]).toMatchObject({ attempt: 100, repeated: 99 });
});

it("texts from the network do not make it grow: the oldest kind is forgotten", () => {
  const lines: string[] = [];
  const log = createLog({ level: "info" }, { write: (line) => lines.push(line) });
  const repeats = createRepeatLog({ log, clock: new ManualClock() });
  for (let i = 0; i < 65; i++) repeats.say("warn", String(i), {}, "x");
  repeats.say("warn", "64", {}, "x");
  expect(lines).toHaveLength(65);
  repeats.say("warn", "0", {}, "x");
  expect(lines).toHaveLength(66);
});
