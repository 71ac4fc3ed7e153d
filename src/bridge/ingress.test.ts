import { describe, expect, it } from "vitest";
import type { BridgeConfig } from "../config/index.ts";
import { ManualClock } from "../time/index.ts";
import { subscription } from "./bridge.testing.ts";
import { MemoryBus } from "./bus.testing.ts";
import { Ingress, type SubscribingConnection } from "./ingress.ts";
import { LoopBreaker } from "./loop-breaker.ts";
import { Meter } from "./meter.ts";
import { Tallies } from "./tally.ts";

/** Refuses the filters it is told to, and writes down what it is asked. */
class TestConnection implements SubscribingConnection {
  readonly isSessionPresent: boolean;
  readonly limits = { hasSubscriptionIds: true };
  readonly asked: string[] = [];
  readonly unsubscribed: string[] = [];
  readonly failures: string[] = [];
  readonly #refused: ReadonlySet<string>;

  constructor(refused: readonly string[] = [], isSessionPresent = false) {
    this.#refused = new Set(refused);
    this.isSessionPresent = isSessionPresent;
  }

  subscribe: SubscribingConnection["subscribe"] = async (filters, { qos, noLocal, id }) => {
    const marks = `${qos}${noLocal ? " no-local" : ""}${id === null ? "" : ` id ${id}`}`;
    this.asked.push(`${filters.join(" ")} (${marks})`);
    return filters.map((filter) => (this.#refused.has(filter) ? 0x87 : qos));
  };

  unsubscribe(filters: readonly string[]): void {
    this.unsubscribed.push(...filters);
  }

  fail(reason: string): void {
    this.failures.push(reason);
  }
}

function bench(rules: BridgeConfig["subscription"], protocolVersion: 4 | 5 = 4) {
  const bus = new MemoryBus();
  const clock = new ManualClock();
  const refusals: string[] = [];
  const ingress = new Ingress(
    {
      clock,
      bus,
      tallies: new Tallies(clock),
      in: new Meter(clock),
      breaker: new LoopBreaker(
        {
          clock,
          onCut: () => {},
          onSuspected: () => {},
          onCleared: () => {},
          onDropped: () => {},
          sendProbe: () => {},
          watch: () => () => {},
        },
        { isAsking: true },
      ),
      onRefused: (reason) => refusals.push(reason),
    },
    { name: "cloud", protocolVersion, rules, me: "d1" },
  );
  const deliver = (topic: string, text: string, subscriptionIds: readonly number[] = []) =>
    ingress.deliver({
      topic,
      payload: Buffer.from(text),
      qos: 1,
      retain: false,
      properties: undefined,
      subscriptionIds,
    });
  return { bus, clock, refusals, ingress, deliver };
}

describe("subscribing at the cloud", () => {
  it("asks in one SUBSCRIBE per QoS, shared subscriptions without no-local [MQTT-3.8.3-4]", async () => {
    const { ingress } = bench([
      subscription("a/#"),
      subscription("b", "", { qos: 2 }),
      subscription("c"),
      subscription("$share/g/d"),
    ]);
    const cloud = new TestConnection();
    await ingress.subscribe(cloud);
    expect(cloud.asked).toEqual(["a/# c (1 no-local)", "b (2 no-local)", "$share/g/d (1)"]);
  });

  it("filters that cross get an identifier each in MQTT 5.0", async () => {
    const rules = [subscription("x"), subscription("a/+/c"), subscription("a/b/+")];
    const { ingress } = bench(rules, 5);
    const cloud = new TestConnection();
    await ingress.subscribe(cloud);
    expect(cloud.asked).toEqual([
      "x (1 no-local)",
      "a/+/c (1 no-local id 2)",
      "a/b/+ (1 no-local id 3)",
    ]);
  });

  it("a refusal is reported, and what the filter covered is asked for by itself", async () => {
    const { ingress, refusals } = bench([subscription("#"), subscription("a"), subscription("b")]);
    const cloud = new TestConnection(["#", "b"]);
    await ingress.subscribe(cloud);
    expect(cloud.asked).toEqual(["# (1 no-local)", "a b (1 no-local)"]);
    expect(refusals).toEqual([
      "subscription to # refused by the cloud: not authorised (0x87)",
      "subscription to b refused by the cloud: not authorised (0x87)",
    ]);
  });

  it("a kept session forgets the filters that are covered now", async () => {
    const { ingress } = bench([subscription("a/#"), subscription("a/b")]);
    const cloud = new TestConnection([], true);
    await ingress.subscribe(cloud);
    expect(cloud.unsubscribed).toEqual(["a/b"]);
  });

  it("a server that does not answer SUBSCRIBE is given up", async () => {
    const { ingress, clock } = bench([subscription("a")]);
    const cloud = new TestConnection();
    let end: (codes: null) => void = () => {};
    cloud.subscribe = () => new Promise((resolve) => (end = resolve));
    const subscribed = ingress.subscribe(cloud);
    clock.advance(30_000);
    expect(cloud.failures).toEqual(["the server did not answer SUBSCRIBE"]);
    end(null);
    await subscribed;
  });
});

describe("copies of one message", () => {
  const crossing = [subscription("a/+/c", "left"), subscription("a/b/+", "right")];

  it("MQTT 5.0: only the copy of the first rule's subscription counts", async () => {
    const { bus, ingress, deliver } = bench(crossing, 5);
    await ingress.subscribe(new TestConnection());
    await deliver("a/b/c", "1", [2]);
    await deliver("a/b/c", "1", [1]);
    await deliver("a/b/c", "2", [1, 2]);
    await deliver("a/b/x", "3", [2]);
    expect(bus.fromBridge()).toEqual(["left 1", "left 2", "right 3"]);
    expect(ingress.dropped.duplicate).toBe(1);
  });

  it("before 5.0 they are known by topic, payload and a second of time", async () => {
    const { bus, ingress, clock, deliver } = bench(crossing);
    await ingress.subscribe(new TestConnection());
    await deliver("a/b/c", "1");
    await deliver("a/b/c", "1");
    await deliver("a/b/c", "1");
    await deliver("a/b/c", "2");
    clock.advance(2000);
    await deliver("a/b/c", "2");
    await deliver("a/b/x", "3");
    await deliver("a/b/x", "3");
    expect(bus.fromBridge()).toEqual([
      "left 1",
      "left 1",
      "left 2",
      "left 2",
      "right 3",
      "right 3",
    ]);
    expect(ingress.dropped.duplicate).toBe(1);
  });
});

describe("publishing here", () => {
  it("counts what no rule fits, and what would be a system topic here", async () => {
    const { bus, ingress, deliver } = bench([
      subscription("$SYS/#"),
      subscription("x/+/y", "+/y"),
      subscription("ok"),
    ]);
    await deliver("other", "1");
    await deliver("$SYS/load", "2");
    await deliver("x/$SYS/y", "3");
    await deliver("ok", "4");
    expect(bus.fromBridge()).toEqual(["ok 4"]);
    expect(ingress.dropped).toMatchObject({ no_rule: 1, system_topic: 2 });
    expect(ingress.received).toBe(1);
  });
});
