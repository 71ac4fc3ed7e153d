import { describe, expect, it } from "vitest";
import { ManualClock } from "./manual-clock.ts";
import { createStamper } from "./stamp.ts";

const TODAY_MS = Date.UTC(2026, 5, 1);

function device(startMs: number, isSynchronised: boolean | null) {
  const clock = new ManualClock(startMs);
  const state = { isSynchronised };
  const stamper = createStamper({
    clock,
    uptimeMs: () => 5000 + clock.monotonicMs(),
    bootId: () => "b-1",
    isSynchronised: () => state.isSynchronised,
  });
  return { clock, state, stamper };
}

describe("a stamp", () => {
  it("of a clock that is set is the time alone", () => {
    const { stamper } = device(TODAY_MS, true);
    expect(stamper.stamp()).toEqual({ ts: TODAY_MS });
    expect(stamper.origin()).toBeNull();
  });

  it("before that carries a mark, boot id and uptime, whatever the clock shows", () => {
    for (const startMs of [0, Date.UTC(2000, 0, 1), TODAY_MS]) {
      const { clock, stamper } = device(startMs, false);
      clock.advance(250);
      expect(stamper.stamp()).toEqual({
        ts: startMs + 250,
        synced: false,
        boot_id: "b-1",
        uptime_ms: 5250,
      });
    }
  });

  it("is corrected by the start of the device once the clock is set", () => {
    const { clock, state, stamper } = device(0, false);
    clock.advance(1000);
    const early = stamper.stamp();
    expect(stamper.origin()).toBeNull();
    clock.advance(60_000);
    clock.jumpTo(TODAY_MS);
    state.isSynchronised = true;
    const origin = stamper.origin();
    expect(origin?.boot_id).toBe(early.boot_id);
    expect((origin?.started_at ?? 0) + (early.uptime_ms ?? 0)).toBe(TODAY_MS - 60_000);
    expect(stamper.stamp()).toEqual({ ts: TODAY_MS });
  });

  it("where nobody knows is believed from the year of this software on", () => {
    expect(device(TODAY_MS, null).stamper.isTrusted()).toBe(true);
    expect(device(Date.UTC(2025, 11, 31), null).stamper.isTrusted()).toBe(false);
  });
});
