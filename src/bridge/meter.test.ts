import { describe, expect, it } from "vitest";
import { ManualClock } from "../time/index.ts";
import { Forecast } from "./forecast.ts";
import { Meter } from "./meter.ts";
import { OutboxAlarm } from "./outbox-alarm.ts";

function run(clock: ManualClock, seconds: number, perSecond: () => void): void {
  for (let s = 0; s < seconds; s++) {
    perSecond();
    clock.advance(1000);
  }
}

describe("rates of a bridge", () => {
  it("tells the rate of the last 10 s, of 5 minutes, and the highest", () => {
    const clock = new ManualClock();
    const meter = new Meter(clock);
    run(clock, 60, () => {
      for (let i = 0; i < 20; i++) meter.mark();
    });
    expect(meter.rates().now).toBeCloseTo(20, 0);
    expect(meter.rates().last5m).toBeCloseTo(20, 0);
    clock.advance(30_000);
    expect(meter.rates()).toMatchObject({ now: 0 });
    expect(meter.rates().max).toBeCloseTo(20, 0);
    clock.advance(3_600_000);
    expect(meter.rates().last5m).toBe(0);
    expect(meter.total).toBe(1200);
  });
});

describe("forecast of an outbox", () => {
  it("says when the first bound is met at the rate of the last minutes, and nothing while it drains", () => {
    const clock = new ManualClock();
    let messages = 0;
    const forecast = new Forecast(
      clock,
      () => ({
        messages,
        bytes: messages * 10,
        oldestAgeMs: null,
        dropped: { queue_full: 0, too_large: 0, too_old: 0, store_full: 0 },
      }),
      () => {},
    );
    forecast.start();
    const bounds = { maxMessages: 100_000, maxBytes: 1_000_000_000 };
    expect(forecast.fullInS(bounds)).toBeNull();
    run(clock, 100, () => {
      messages += 10;
    });
    expect(forecast.fullInS(bounds)).toBeGreaterThan(9500);
    expect(forecast.fullInS(bounds)).toBeLessThan(10_300);
    expect(forecast.fullInS({ ...bounds, maxBytes: 20_000 })).toBeLessThan(110);
    run(clock, 400, () => {
      messages -= 2;
    });
    expect(forecast.fullInS(bounds)).toBeNull();
    forecast.stop();
  });

  it("rings at 50, 80 and 95 %, once each, and is over 5 % below", () => {
    const rung: string[] = [];
    const alarm = new OutboxAlarm(
      {
        raise: (_, message) => rung.push(message),
        clear: () => rung.push("clear"),
      },
      "cloud",
    );
    for (const percent of [10, 50, 49, 52, 79.9, 80, 96, 93, 78, 44, 49]) alarm.look(percent, 7200);
    expect(rung).toEqual([
      "the outbox of bridge cloud is 50 % full, full in 2 h at this rate",
      "clear",
      "the outbox of bridge cloud is 80 % full, full in 2 h at this rate",
      "clear",
      "the outbox of bridge cloud is 95 % full, full in 2 h at this rate",
      "clear",
      "the outbox of bridge cloud is 50 % full, full in 2 h at this rate",
      "clear",
    ]);
  });
});
