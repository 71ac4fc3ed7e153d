import { describe, expect, test } from "vitest";
import { ManualClock } from "../time/index.ts";
import { isLoopback, plainAddress } from "./address.ts";
import { Admission } from "./admission.ts";

const LIMITS = {
  max_connections: 1000,
  max_connections_per_address: 500,
  max_connects_per_address_per_s: 100,
};

describe("admission", () => {
  test("the total is shared by all and is free again after a connection left", () => {
    const admission = new Admission(new ManualClock(), { ...LIMITS, max_connections: 2 });
    expect(admission.enter("192.0.2.1", null)).toBeNull();
    expect(admission.enter("127.0.0.1", null)).toBeNull();
    expect(admission.enter("192.0.2.2", null)).toBe("max_connections");
    admission.leave("127.0.0.1");
    expect(admission.enter("192.0.2.2", null)).toBeNull();
  });

  test("one address holds no more than its share, others are not affected", () => {
    const admission = new Admission(new ManualClock(), {
      ...LIMITS,
      max_connections_per_address: 2,
    });
    expect(admission.enter("192.0.2.1", null)).toBeNull();
    expect(admission.enter("192.0.2.1", null)).toBeNull();
    expect(admission.enter("192.0.2.1", null)).toBe("max_connections_per_address");
    expect(admission.enter("192.0.2.2", null)).toBeNull();
    admission.leave("192.0.2.1");
    expect(admission.enter("192.0.2.1", null)).toBeNull();
  });

  test("new connections per second and address are limited by a bucket that refills", () => {
    const clock = new ManualClock();
    const admission = new Admission(clock, { ...LIMITS, max_connects_per_address_per_s: 4 });
    const burst = Array.from({ length: 6 }, () => admission.enter("192.0.2.1", null));
    expect(burst.filter((reason) => reason === null)).toHaveLength(4);
    expect(burst.at(-1)).toBe("max_connects_per_address");
    clock.advance(250);
    expect(admission.enter("192.0.2.1", null)).toBeNull();
    expect(admission.enter("192.0.2.1", null)).toBe("max_connects_per_address");
    clock.advance(60_000);
    const later = Array.from({ length: 5 }, () => admission.enter("192.0.2.1", null));
    expect(later.filter((reason) => reason === null)).toHaveLength(4);
  });

  test("hammering on a full bucket does not keep it empty", () => {
    const clock = new ManualClock();
    const admission = new Admission(clock, { ...LIMITS, max_connects_per_address_per_s: 10 });
    let admitted = 0;
    for (let i = 0; i < 1000; i++) {
      if (admission.enter("192.0.2.1", null) === null) admitted++;
      clock.advance(10);
    }
    expect(admitted).toBeGreaterThanOrEqual(100);
    expect(admitted).toBeLessThanOrEqual(111);
  });

  test("loopback is exempt from the limits per address, not from the others", () => {
    const admission = new Admission(new ManualClock(), {
      max_connections: 3,
      max_connections_per_address: 1,
      max_connects_per_address_per_s: 1,
    });
    expect(admission.enter("127.0.0.1", null)).toBeNull();
    expect(admission.enter("127.0.0.1", null)).toBeNull();
    expect(admission.enter("::1", null)).toBeNull();
    expect(admission.enter("::1", null)).toBe("max_connections");
    admission.leave("::1");
    expect(admission.enter("::1", "listener_max_connections")).toBe("listener_max_connections");
  });

  test("addresses that come once are forgotten after a second", () => {
    const clock = new ManualClock();
    const admission = new Admission(clock, LIMITS);
    for (let i = 0; i < 20_000; i++) {
      const address = `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`;
      admission.enter(address, null);
      admission.leave(address);
      clock.advance(1);
    }
    expect(admission.remembered).toBeLessThanOrEqual(1001);
  });
});

describe("addresses", () => {
  test("IPv4-mapped addresses are shown as plain IPv4, others stay", () => {
    expect(plainAddress("::ffff:192.0.2.7")).toBe("192.0.2.7");
    expect(plainAddress("192.0.2.7")).toBe("192.0.2.7");
    expect(plainAddress("2001:db8::7")).toBe("2001:db8::7");
    expect(plainAddress("::ffff:0:1")).toBe("::ffff:0:1");
  });

  test("loopback is 127.0.0.0/8 and ::1 only", () => {
    expect(["127.0.0.1", "127.9.9.9", "::1"].every(isLoopback)).toBe(true);
    expect(["128.0.0.1", "::", "fe80::1", "1270::1"].some(isLoopback)).toBe(false);
  });
});
