import { expect, test } from "vitest";
import { ManualClock } from "../time/index.ts";
import { GatewayTime } from "./gateway-time.ts";

const DAY_MS = 24 * 3600 * 1000;

test("a jump of the wall clock moves nothing, and asks for a new mark", () => {
  const clock = new ManualClock();
  const time = new GatewayTime(clock, null);
  clock.advance(1000);
  expect(time.nowMs()).toBe(1000);
  expect(time.hasJumped()).toBe(false);
  for (const jumpMs of [3_600_000, -3_600_000, 3650 * DAY_MS, -3650 * DAY_MS]) {
    clock.jumpTo(clock.nowMs() + jumpMs);
    expect(time.nowMs()).toBe(1000);
    expect(time.hasJumped()).toBe(true);
    time.mark();
    expect(time.hasJumped()).toBe(false);
  }
});

test("the time the gateway was off counts when it is plausible", () => {
  const clock = new ManualClock();
  const before = new GatewayTime(clock, null);
  clock.advance(5000);
  const mark = before.mark();
  const after = (offMs: number) => {
    const later = new ManualClock(mark.wallMs + offMs);
    return new GatewayTime(later, mark).nowMs();
  };
  expect(after(0)).toBe(5000);
  expect(after(DAY_MS)).toBe(5000 + DAY_MS);
  expect(after(31 * DAY_MS)).toBe(5000 + 31 * DAY_MS);
  expect(after(31 * DAY_MS + 1)).toBe(5000);
  expect(after(-1)).toBe(5000);
  expect(after(-20_000 * DAY_MS)).toBe(5000);
});
