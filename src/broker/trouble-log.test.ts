import { expect, test } from "vitest";
import { createLog } from "../log/index.ts";
import { ManualClock } from "../time/index.ts";
import { TroubleLog } from "./trouble-log.ts";

function setUp() {
  const lines: string[] = [];
  const clock = new ManualClock();
  const log = createLog({ level: "info" }, { write: (line) => void lines.push(line) });
  return { lines, clock, trouble: new TroubleLog(log, clock) };
}

test("the first of a kind is a line, the rest of its minute one more", () => {
  const { lines, clock, trouble } = setUp();
  for (let n = 0; n < 1000; n++) trouble.report("not authorised", { clientId: `c${n}` });
  expect(lines).toHaveLength(1);
  expect(lines[0]).toContain('"clientId":"c0"');
  clock.advance(60_000);
  expect(lines).toHaveLength(2);
  expect(lines[1]).toContain('"repeats":999');
  clock.advance(600_000);
  expect(lines).toHaveLength(2);
  trouble.report("not authorised", {});
  expect(lines).toHaveLength(3);
});

test("kinds that a hostile client makes up are bounded", () => {
  const { lines, trouble } = setUp();
  for (let n = 0; n < 1000; n++) trouble.report(`made up ${n}`, {});
  expect(lines.length).toBeLessThan(70);
});
