import { describe, expect, it } from "vitest";
import { createBackoff } from "./backoff.ts";
import { systemClock } from "./clock.ts";
import { ManualClock } from "./manual-clock.ts";

describe("createBackoff", () => {
  it("doubles up to the cap and starts again after a reset", () => {
    const backoff = createBackoff({ minMs: 1000, maxMs: 5000, random: () => 1 });
    const delays = [1, 2, 3, 4, 5].map(() => backoff.nextMs());
    expect(delays).toEqual([1000, 2000, 4000, 5000, 5000]);
    backoff.reset();
    expect(backoff.nextMs()).toBe(1000);
  });

  it("takes off at most half at random", () => {
    const shortest = createBackoff({ minMs: 1000, maxMs: 5000, random: () => 0 });
    expect(shortest.nextMs()).toBe(500);
    const real = createBackoff({ minMs: 1000, maxMs: 1000 });
    for (let i = 0; i < 1000; i++) {
      const delayMs = real.nextMs();
      expect(delayMs).toBeGreaterThanOrEqual(500);
      expect(delayMs).toBeLessThanOrEqual(1000);
    }
  });
});

describe("ManualClock", () => {
  it("runs tasks in due order and leaves cancelled ones alone", () => {
    const clock = new ManualClock();
    const seen: string[] = [];
    clock.after(20, () => seen.push(`after ${clock.monotonicMs()}`));
    clock.every(8, () => seen.push(`every ${clock.monotonicMs()}`));
    clock.after(5, () => seen.push("never")).cancel();
    clock.advance(20);
    expect(seen).toEqual(["every 8", "every 16", "after 20"]);
  });

  it("moves the wall clock alone when it jumps", () => {
    const clock = new ManualClock(0);
    clock.advance(5);
    clock.jumpTo(1_000_000);
    expect([clock.nowMs(), clock.monotonicMs()]).toEqual([1_000_000, 5]);
  });
});

describe("systemClock", () => {
  it("never runs backwards and calls what it was asked to call", async () => {
    const before = systemClock.monotonicMs();
    await new Promise<void>((resolve) => {
      const timer = systemClock.every(1, () => {
        timer.cancel();
        systemClock.after(1, resolve);
      });
      setTimeout(() => {}, 50);
    });
    expect(systemClock.monotonicMs()).toBeGreaterThan(before);
  });
});
