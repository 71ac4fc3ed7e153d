import { describe, expect, it } from "vitest";
import { type Message, type Origin, topic } from "../mqtt/index.ts";
import { ManualClock } from "../time/index.ts";
import { LoopBreaker } from "./loop-breaker.ts";

const BRIDGE: Origin = { kind: "client", clientId: "other", username: null, isBridge: true };
const SENSOR: Origin = { kind: "client", clientId: "sensor", username: null };

class Bench {
  readonly clock = new ManualClock();
  readonly cut: string[] = [];
  readonly sent: string[] = [];
  dropped = 0;
  readonly breaker = new LoopBreaker({
    clock: this.clock,
    random: () => 0,
    onCut: (rule, name) => this.cut.push(`${rule} ${name}`),
    onDropped: () => {
      this.dropped += 1;
    },
  });

  readonly waits: Promise<void>[] = [];

  pass(text: string, origin: Origin, back: () => void = () => {}, name = "a/b"): void {
    const message: Message = {
      topic: topic(name),
      payload: Buffer.from(text),
      qos: 1,
      retain: false,
      origin,
    };
    const wait = this.breaker.pass("up", message, () => {
      this.sent.push(`${name} ${text}`);
      back();
    });
    if (wait !== undefined) this.waits.push(wait);
  }

  /** A message that comes back `delayMs` after it was sent, `copies` times. */
  loop(text: string, origin: Origin, delayMs: number, copies = 1): void {
    this.pass(text, origin, () => {
      for (let i = 0; i < copies; i++) {
        this.clock.after(delayMs, () => this.loop(text, origin, delayMs, copies));
      }
    });
  }

  run(seconds: number): void {
    for (let ms = 0; ms < seconds * 1000; ms += 10) this.clock.advance(10);
  }
}

describe("loop breaker", () => {
  it.each([10, 100, 900, 3000])(
    "cuts the rule of a loop that takes %i ms, within 50 copies",
    (delayMs) => {
      const bench = new Bench();
      bench.loop("x", BRIDGE, delayMs);
      bench.run(200);
      expect(bench.cut).toEqual(["up a/b"]);
      expect(bench.breaker.isCut("up")).toBe(true);
      expect(bench.sent.length).toBeLessThan(50);
    },
  );

  it("cuts a loop that multiplies, and gives up what was held, counted", () => {
    const bench = new Bench();
    bench.loop("x", BRIDGE, 50, 3);
    bench.run(60);
    expect(bench.cut).toEqual(["up a/b"]);
    expect(bench.sent.length).toBeLessThan(100);
    expect(bench.dropped).toBeGreaterThan(0);
  });

  it("cuts both of two rules that send the same message round, and nothing breaks out meanwhile", () => {
    const bench = new Bench();
    const arrive = () => {
      const message: Message = {
        topic: topic("a/b"),
        payload: Buffer.from("x"),
        qos: 1,
        retain: false,
        origin: BRIDGE,
      };
      for (const rule of ["one", "two"]) {
        void bench.breaker.pass(rule, message, () => {
          bench.sent.push(rule);
          bench.clock.after(20, arrive);
        });
      }
    };
    arrive();
    bench.run(120);
    expect(bench.cut.toSorted()).toEqual(["one a/b", "two a/b"]);
    expect(bench.sent.length).toBeLessThan(100);
  });

  it("a bridge that repeats the same value loses nothing, and its order is kept", () => {
    const bench = new Bench();
    const expected: string[] = [];
    for (let n = 0; n < 3000; n++) {
      const text = n % 500 === 499 ? `other ${n}` : "same";
      bench.pass(text, BRIDGE);
      expected.push(`a/b ${text}`);
      bench.run(0.05);
    }
    bench.breaker.stop();
    expect(bench.cut).toEqual([]);
    expect(bench.sent).toEqual(expected);
  });

  it("a bridge that repeats itself a while and stops loses nothing either", async () => {
    const bench = new Bench();
    for (let n = 0; n < 40; n++) bench.pass("same", BRIDGE);
    bench.run(30);
    expect(bench.cut).toEqual([]);
    expect(bench.sent).toHaveLength(40);
    expect(bench.waits.length).toBeGreaterThan(0);
    await Promise.all(bench.waits);
  });

  it("a sensor is never held, however fast it repeats its value", () => {
    const bench = new Bench();
    for (let n = 0; n < 5000; n++) bench.pass("21.5", SENSOR);
    expect(bench.sent).toHaveLength(5000);
    expect(bench.waits).toEqual([]);
  });

  it("a sensor that repeats its value every 200 ms is never held", () => {
    const bench = new Bench();
    for (let n = 0; n < 500; n++) {
      bench.pass("21.5", SENSOR);
      expect(bench.sent).toHaveLength(n + 1);
      bench.run(0.2);
    }
  });

  it("a publisher that waits for each acknowledgement is delayed once and never cut", async () => {
    const bench = new Bench();
    const publisher = (async () => {
      for (let n = 0; n < 200; n++) {
        const before = bench.waits.length;
        bench.pass("same", SENSOR);
        await bench.waits[before];
      }
    })();
    let isOver = false;
    void publisher.then(() => {
      isOver = true;
    });
    for (let turn = 0; turn < 2000 && !isOver; turn++) {
      bench.clock.advance(5);
      // The publisher goes on in between.
      await new Promise((resolve) => setImmediate(resolve));
    }
    await publisher;
    expect(bench.cut).toEqual([]);
    expect(bench.sent).toHaveLength(200);
  });

  it("other topics of the rule go on while one is looked at", () => {
    const bench = new Bench();
    bench.loop("x", BRIDGE, 10);
    bench.run(1);
    bench.pass("1", SENSOR, () => {}, "other");
    expect(bench.sent.at(-1)).toBe("other 1");
  });

  it("cuts at the 20th marked message that comes back within a minute, not before", () => {
    const bench = new Bench();
    for (let n = 0; n < 19; n++) bench.breaker.returned("up", "a/b");
    bench.clock.advance(61_000);
    for (let n = 0; n < 19; n++) bench.breaker.returned("up", "a/b");
    expect(bench.cut).toEqual([]);
    bench.breaker.returned("up", "a/b");
    expect(bench.cut).toEqual(["up a/b"]);
  });

  it("a loop of messages too large to keep is found all the same", () => {
    const bench = new Bench();
    bench.loop("x".repeat(100_000), BRIDGE, 10);
    bench.run(20);
    expect(bench.cut).toEqual(["up a/b"]);
  });
});
