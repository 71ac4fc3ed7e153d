import { describe, expect, it } from "vitest";
import { type Message, type Origin, topic } from "../mqtt/index.ts";
import { ManualClock } from "../time/index.ts";
import { LoopBreaker, type LoopRule } from "./loop-breaker.ts";
import { createMapping } from "./mapping.ts";
import { type Line, Network } from "./network.testing.ts";

const all = ["x/#"];

const LOOPS: Readonly<Record<string, readonly Line[]>> = {
  "two both ways": [
    { from: "a", to: "b", filters: all },
    { from: "b", to: "a", filters: all },
  ],
  "two both ways, exact topics": [
    { from: "a", to: "b", filters: ["x/1"] },
    { from: "b", to: "a", filters: ["x/1"] },
  ],
  "two both ways, overlapping filters": [
    { from: "a", to: "b", filters: ["x/#", "x/+"] },
    { from: "b", to: "a", filters: ["x/#", "x/+"] },
  ],
  "two both ways, three overlapping filters and a topic": [
    { from: "a", to: "b", filters: ["x/#", "x/+", "+/1", "x/1"] },
    { from: "b", to: "a", filters: all },
  ],
  "two both ways that rename": [
    { from: "a", to: "b", filters: [{ pattern: "x/#", target: "" }, "y/#"] },
    { from: "b", to: "a", filters: [{ pattern: "x/1", target: "y/1" }] },
    { from: "b", to: "a", filters: [{ pattern: "y/1", target: "x/1" }] },
  ],
  "a link of three seconds": [
    { from: "a", to: "b", filters: all, delayMs: 3000 },
    { from: "b", to: "a", filters: all, delayMs: 10 },
  ],
  "three in a ring": [
    { from: "a", to: "b", filters: all },
    { from: "b", to: "c", filters: ["x/+"] },
    { from: "c", to: "a", filters: ["x/1"] },
  ],
  "three in a ring, both ways round": [
    { from: "a", to: "b", filters: all },
    { from: "b", to: "c", filters: all },
    { from: "c", to: "a", filters: all },
    { from: "b", to: "a", filters: all },
    { from: "c", to: "b", filters: all },
    { from: "a", to: "c", filters: all },
  ],
  "another make of broker that sends everything back": [
    { from: "a", to: "b", filters: all },
    { from: "b", to: "a", filters: all, isPlain: true },
  ],
  "another make that sends one level back": [
    { from: "a", to: "b", filters: all },
    { from: "b", to: "a", filters: ["x/+"], isPlain: true },
  ],
  "another make that does not say it is a bridge": [
    { from: "a", to: "b", filters: ["x/+"] },
    { from: "b", to: "a", filters: ["x/+"], isPlain: true, isSilent: true },
  ],
  "another make that sends one topic back": [
    { from: "a", to: "b", filters: all },
    { from: "b", to: "a", filters: ["x/1"], isPlain: true, delayMs: 45 },
  ],
  "another make that sends one topic back and does not say it is a bridge": [
    { from: "a", to: "b", filters: ["x/1"] },
    { from: "b", to: "a", filters: ["x/1"], isPlain: true, isSilent: true },
  ],
  "another make that sends one topic back after a second and a half": [
    { from: "a", to: "b", filters: all },
    { from: "b", to: "a", filters: ["x/1"], isPlain: true, delayMs: 1500 },
  ],
  "another make that sends one topic back, to overlapping filters": [
    { from: "a", to: "b", filters: ["x/#", "x/+"] },
    { from: "b", to: "a", filters: ["x/1"], isPlain: true, delayMs: 45 },
  ],
  "another make that sends one topic back on two ways": [
    { from: "a", to: "b", filters: ["x/1"] },
    { from: "b", to: "a", filters: ["x/1"], isPlain: true },
    { from: "b", to: "c", filters: ["x/1"], isPlain: true },
    { from: "c", to: "a", filters: ["x/1"], isPlain: true, isSilent: true },
  ],
  "a ring of one topic with two of another make": [
    { from: "a", to: "b", filters: ["x/1"] },
    { from: "b", to: "c", filters: ["x/1"], isPlain: true },
    { from: "c", to: "a", filters: ["x/1"], isPlain: true },
  ],
  "a ring of one topic with another make after each of two gateways": [
    { from: "a", to: "b", filters: ["x/1"] },
    { from: "b", to: "c", filters: ["x/1"], isPlain: true },
    { from: "c", to: "d", filters: ["x/1"] },
    { from: "d", to: "a", filters: ["x/1"], isPlain: true },
  ],
  "a cloud of two brokers that a third gateway reads": [
    { from: "a", to: "b", filters: all },
    { from: "b", to: "c", filters: all, isPlain: true, isSilent: true },
    { from: "c", to: "d", filters: all, isPull: true },
    { from: "d", to: "a", filters: all, isSilent: true },
  ],
};

const PLANT_TO_CLOUD: readonly Line[] = [
  { from: "plant", to: "site", filters: ["cmd/#"] },
  { from: "site", to: "cloud", filters: ["cmd/#"] },
  { from: "cloud", to: "site", filters: ["answer/#"] },
  { from: "site", to: "plant", filters: ["answer/#"] },
];

describe("loop breaker", () => {
  it.each(Object.entries(LOOPS))("cuts a loop within 100 copies: %s", (name, lines) => {
    const network = new Network(lines);
    void network.send("a", "x/1", "same");
    network.run(name.includes("second") ? 200 : 20);
    const sent = new Set(lines.map(({ from, to }) => `${from}>${to}`));
    expect(network.cut.length).toBeGreaterThan(0);
    // Nothing goes round any more.
    const before = network.copies("a");
    network.run(60);
    expect(network.copies("a")).toBe(before);
    for (const broker of ["a", "b", "c", "d"]) expect(network.copies(broker)).toBeLessThan(100);
    // Messages still go one way at least.
    expect(new Set(network.cut.map((rule) => rule.split(" ")[0])).size).toBeLessThan(sent.size);
  });

  it("a loop through one single topic that began elsewhere is told of, but not cut until a word of here comes back", () => {
    const network = new Network([
      { from: "a", to: "b", filters: all },
      { from: "b", to: "a", filters: ["x/1"], isPlain: true, delayMs: 45 },
    ]);
    void network.send("b", "x/1", "same");
    network.run(60);
    expect(network.cut).toEqual([]);
    expect(network.suspected).toEqual(["a>b x/#"]);
    expect(network.cleared).toEqual([]);
    const before = network.copies("a");
    void network.send("a", "x/1", "word of here");
    network.run(20);
    expect(network.cut).toEqual(["a>b x/#"]);
    const words = network.seen.get("a")?.filter(({ text }) => text === "word of here");
    expect(words?.length).toBeLessThan(100);
    expect(network.copies("a") - before).toBeLessThan(200);
    expect(network.cleared).toEqual(["a>b x/#"]);
  });

  it("of two that ask about one loop only one is cut, whoever asks first", () => {
    for (let n = 0; n < 50; n++) {
      const network = new Network([
        { from: "a", to: "b", filters: ["x/#", "x/+"], delayMs: 1 + (n % 7) },
        { from: "b", to: "a", filters: ["x/#", "x/+"], delayMs: 1 + (n % 5) },
      ]);
      void network.send(n % 2 === 0 ? "a" : "b", "x/1", "same");
      network.run(5);
      expect(new Set(network.cut.map((rule) => rule.split(" ")[0])).size).toBe(1);
    }
  });

  it("cuts a loop in which hundreds of messages go round, within 100 copies of each", () => {
    const network = new Network(LOOPS["two both ways"] ?? []);
    for (let n = 0; n < 300; n++) void network.send("a", `x/${n % 30}`, `value ${n}`);
    network.run(5);
    expect(network.cut).toHaveLength(1);
    expect(network.copies("a") / 300).toBeLessThan(100);
  });

  it("two values that take turns on a topic are found too", () => {
    const network = new Network(LOOPS["three in a ring"] ?? []);
    void network.send("a", "x/1", "on");
    void network.send("a", "x/1", "off");
    network.run(5);
    expect(network.cut).toHaveLength(1);
  });

  it("applications that answer each other with the same words are never cut and lose nothing", () => {
    const network = new Network(PLANT_TO_CLOUD);
    let rounds = 0;
    network.listen("cloud", "cmd/step", () => void network.send("cloud", "answer/step", "done"));
    network.listen("plant", "answer/step", () => {
      rounds += 1;
      if (rounds < 10_000) void network.send("plant", "cmd/step", "next");
    });
    void network.send("plant", "cmd/step", "next");
    network.run(600);
    expect(rounds).toBe(10_000);
    expect(network.cut).toEqual([]);
    expect(network.dropped).toBe(0);
    // Delayed a few times, and asked about a few times.
    expect(network.held).toBeLessThan(20);
    expect(network.probes).toBeLessThan(100);
  });

  it("a bridge that repeats a value loses nothing, and its order is kept", () => {
    const network = new Network([
      { from: "a", to: "b", filters: all, isPlain: true },
      { from: "b", to: "c", filters: all },
    ]);
    const expected: string[] = [];
    for (let n = 0; n < 3000; n++) {
      const text = n % 500 === 499 || n === 40 ? `other ${n}` : "same";
      void network.send("a", "x/1", text);
      expected.push(text);
      network.run(0.05);
    }
    network.run(10);
    expect(network.suspected).toEqual([]);
    expect(network.cut).toEqual([]);
    expect(network.dropped).toBe(0);
    expect(network.held).toBeGreaterThan(0);
    expect(network.seen.get("c")?.map(({ text }) => text)).toEqual(expected);
  });

  it("what a bridge sends that waits for each acknowledgement is late once, and complete", async () => {
    const message = {
      topic: topic("x/1"),
      payload: Buffer.from("same"),
      qos: 1 as const,
      retain: false,
    };
    const bench = new Bench();
    let sent = 0;
    const publisher = (async () => {
      for (; sent < 200; sent++) await bench.pass({ ...message, origin: BRIDGE });
    })();
    for (let turn = 0; turn < 2000 && sent < 200; turn++) {
      bench.clock.advance(5);
      // The publisher goes on in between.
      await new Promise((resolve) => setImmediate(resolve));
    }
    await publisher;
    expect(bench.cut).toEqual([]);
    expect(bench.sent).toBe(200);
  });

  it.each(["plant", "site"])(
    "applications that answer each other are not cut either when somebody else at the %s began",
    (beginning) => {
      const network = new Network(PLANT_TO_CLOUD);
      let rounds = 0;
      network.listen("cloud", "cmd/step", () => void network.send("cloud", "answer/step", "done"));
      network.listen("plant", "answer/step", () => {
        rounds += 1;
        if (rounds < 10_000) void network.send("plant", "cmd/step", "next", "worker");
      });
      void network.send(beginning, "cmd/step", "next", "operator");
      network.run(600);
      expect(rounds).toBe(10_000);
      expect(network.cut).toEqual([]);
      expect(network.dropped).toBe(0);
      expect(network.worstMs).toBeLessThan(2500);
      expect(network.held).toBeLessThan(40);
    },
  );

  it.each([
    { name: "a bridge", isPlain: true },
    { name: "a bridge that does not say so", isPlain: true, isSilent: true },
  ])(
    "$name that goes on with what another began waits for its own gap and 0.3 s",
    ({ isPlain, isSilent }) => {
      for (const gapMs of [20, 100, 1000]) {
        const network = new Network([
          { from: "a", to: "b", filters: all, isPlain, ...(isSilent && { isSilent }) },
          { from: "b", to: "c", filters: all },
        ]);
        void network.send("b", "x/1", "1", "first");
        for (let n = 0; n < 300; n++) {
          void network.send("a", "x/1", "1");
          network.run(gapMs / 1000);
        }
        network.run(10);
        expect(network.cut).toEqual([]);
        expect(network.dropped).toBe(0);
        expect(network.copies("c")).toBe(301);
        expect(network.held).toBeGreaterThan(0);
        expect(network.worstMs).toBeLessThanOrEqual(300 + (gapMs > 300 ? 1 : 4) * gapMs + 200);
      }
    },
  );

  it("a publisher that goes on at random with what another began is not taken for a loop", () => {
    const random = randomOf(1);
    for (const meanS of [0.05, 0.3, 1.5]) {
      const network = new Network(
        [
          { from: "a", to: "b", filters: all, isPlain: true },
          { from: "b", to: "c", filters: all },
        ],
        random,
      );
      for (let run = 0; run < 20; run++) {
        void network.send("b", "x/1", `${run}`, "first");
        for (let n = 0; n < 100; n++) {
          void network.send("a", "x/1", `${run}`);
          network.run(Math.min(9, -meanS * Math.log(1 - random())));
        }
      }
      network.run(20);
      expect(network.cut).toEqual([]);
      expect(network.copies("c")).toBe(2020);
    }
  });

  it("a publisher that waits for each acknowledgement is not taken for a loop because it waits", async () => {
    const bench = new Bench();
    void bench.pass(messageOf("same", BRIDGE));
    let acknowledged = 0;
    const publisher = (async () => {
      for (; acknowledged < 200; acknowledged++) await bench.pass(messageOf("same", SENSOR));
    })();
    for (let turn = 0; turn < 20_000 && acknowledged < 200; turn++) {
      bench.clock.advance(5);
      // The publisher goes on in between.
      await new Promise((resolve) => setImmediate(resolve));
    }
    await publisher;
    expect(bench.cut).toEqual([]);
    expect(bench.sent).toBe(201);
  });

  it("a loop of one topic is cut beside busy topics, but not where answers may come down all the time", () => {
    const lines: readonly Line[] = [
      { from: "a", to: "b", filters: ["x/1"] },
      { from: "b", to: "a", filters: ["x/1"], isPlain: true, delayMs: 45 },
      { from: "c", to: "a", filters: ["down/#"], isPlain: true },
    ];
    const run = (busy: (network: Network, n: number) => void) => {
      const network = new Network(lines);
      void network.send("a", "x/1", "same");
      for (let n = 0; n < 2000; n++) {
        busy(network, n);
        network.run(0.01);
      }
      return network;
    };
    const cut = run((network, n) => {
      void network.send("a", `here/${n % 5}`, `${n}`);
      if (n % 50 === 0) void network.send("c", "down/1", `${n}`);
    });
    expect(cut.cut).toEqual(["a>b x/1"]);
    expect(cut.copies("b")).toBeLessThan(100);
    const told = run((network, n) => void network.send("c", "down/1", `${n}`));
    expect(told.cut).toEqual([]);
    expect(told.suspected).toContain("a>b x/1");
  });

  it("gateways that try at the same time cut one rule, each word begun at another of them", () => {
    for (const gateways of [2, 3]) {
      const names = ["a", "b", "c"].slice(0, gateways);
      const lines = names.flatMap((name, at): Line[] => {
        const next = names[(at + 1) % gateways] ?? "";
        const back = { from: `to ${next}`, to: next, filters: ["x/1"], isPlain: true };
        return [{ from: name, to: `to ${next}`, filters: ["x/1"] }, back];
      });
      const seconds: number[] = [];
      const copies: number[] = [];
      for (let seed = 1; seed <= 20; seed++) {
        const network = new Network(lines, randomOf(seed));
        for (const name of names) void network.send(name, "x/1", `from ${name}`);
        let passed = 0;
        for (; passed < 120 && network.cut.length === 0; passed += 0.1) network.run(0.1);
        network.run(30);
        expect(network.cut).toHaveLength(1);
        seconds.push(passed);
        copies.push(network.copies("a") / gateways);
      }
      expect(Math.max(...copies)).toBeLessThan(100);
      expect(Math.max(...seconds)).toBeLessThan(20);
    }
  });

  it("a sensor is never held, however fast it repeats its value, and asked about once in an hour", () => {
    const network = new Network([{ from: "a", to: "b", filters: all }]);
    for (let n = 0; n < 20_000; n++) {
      void network.send("a", "x/1", "21.5");
      network.run(0.02);
    }
    network.run(1);
    expect(network.held).toBe(0);
    expect(network.copies("b")).toBe(20_000);
    expect(network.probes).toBeLessThan(6);
  });

  it("a sensor that repeats its value each second is not asked about at all", () => {
    const network = new Network([{ from: "a", to: "b", filters: all }]);
    for (let n = 0; n < 500; n++) {
      void network.send("a", "x/1", "21.5");
      network.run(1);
    }
    expect(network.probes).toBe(0);
  });

  it("retained messages that come again with every connection of a bridge stay what they are", () => {
    const network = new Network([
      { from: "a", to: "b", filters: all, isPlain: true },
      { from: "b", to: "c", filters: all },
    ]);
    for (let connection = 0; connection < 100; connection++) {
      for (let n = 0; n < 50; n++) void network.send("a", `x/${n}`, "kept");
      network.run(3);
    }
    network.run(10);
    expect(network.cut).toEqual([]);
    expect(network.copies("c")).toBe(5000);
    expect(network.probes).toBeLessThan(1000);
  });

  it("other topics of the rule go on while one is asked about", () => {
    const bench = new Bench();
    for (let n = 0; n < 20; n++) void bench.pass(messageOf("same", BRIDGE));
    expect(bench.sent).toBe(15);
    void bench.pass(messageOf("1", BRIDGE, "x/2"));
    expect(bench.sent).toBe(16);
    bench.clock.advance(6000);
    expect(bench.sent).toBe(21);
  });

  it("what follows on a topic waits behind what is held there, and all goes when it stops", async () => {
    const bench = new Bench();
    const waits: (void | Promise<void>)[] = [];
    for (let n = 0; n < 20; n++) waits.push(bench.pass(messageOf("same", BRIDGE)));
    waits.push(bench.pass(messageOf("newest", SENSOR)));
    expect(bench.sent).toBe(15);
    bench.breaker.stop();
    for (const wait of waits) await wait;
    expect(bench.texts.slice(-2)).toEqual(["same", "newest"]);
  });

  it("a trial lets one message go without its acknowledgement, keeps the order, and ends when it stops", async () => {
    const bench = new Bench();
    const waits: (void | Promise<void>)[] = [bench.pass(messageOf("same", SENSOR))];
    for (let n = 0; n < 20; n++) {
      bench.clock.advance(10);
      waits.push(bench.pass(messageOf("same", BRIDGE)));
    }
    waits.push(bench.pass(messageOf("newest", SENSOR)));
    expect(bench.sent).toBe(15);
    bench.clock.advance(400);
    expect(bench.sent).toBe(16);
    let isAcknowledged = false;
    const eldest = Promise.resolve(waits[15]).then(() => {
      isAcknowledged = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect(isAcknowledged).toBe(false);
    bench.breaker.stop();
    await Promise.all([...waits, eldest]);
    expect(bench.sent).toBe(22);
    expect(bench.texts.at(-1)).toBe("newest");
    expect(bench.cut).toEqual([]);
  });

  it("a probe that nobody here sent proves nothing, and goes round once for each rule", () => {
    const bench = new Bench();
    const probe = messageOf(
      "tidegate looks for a loop: 0123456789abcdef.1",
      BRIDGE,
      "x/1/tidegate-loop-probe",
    );
    for (let n = 0; n < 100; n++) bench.breaker.probe(RULE, probe);
    bench.breaker.probe(RULE, messageOf("nonsense", SENSOR, "x/1/tidegate-loop-probe"));
    expect(bench.cut).toEqual([]);
    expect(bench.probes.length).toBeLessThan(20);
    expect(bench.probes[0]).toBe("x/1/tidegate-loop-probe");
  });

  it("nothing is asked and nothing held where that is switched off", () => {
    const bench = new Bench(false);
    for (let n = 0; n < 100; n++) void bench.pass(messageOf("same", BRIDGE));
    expect(bench.sent).toBe(100);
    expect(bench.probes).toEqual([]);
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
});

const BRIDGE: Origin = { kind: "client", clientId: "other", username: null, isBridge: true };
const SENSOR: Origin = { kind: "client", clientId: "sensor", username: null };

const RULE: LoopRule = {
  name: "up",
  filter: "x/#",
  map: createMapping({ pattern: "x/#", target: "", prefix: "", suffix: "" }),
};

function messageOf(text: string, origin: Origin, name = "x/1"): Message {
  return { topic: topic(name), payload: Buffer.from(text), qos: 1, retain: false, origin };
}

/** Numbers in [0, 1) that follow from a seed. */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** One breaker with one rule. */
class Bench {
  readonly clock = new ManualClock();
  readonly cut: string[] = [];
  readonly probes: string[] = [];
  readonly texts: string[] = [];
  readonly breaker: LoopBreaker;

  constructor(isAsking = true) {
    this.breaker = new LoopBreaker(
      {
        clock: this.clock,
        onCut: (rule, name) => this.cut.push(`${rule} ${name}`),
        onSuspected: () => {},
        onCleared: () => {},
        onDropped: () => {},
        sendProbe: (name) => this.probes.push(name),
        watch: () => () => {},
      },
      { isAsking },
    );
  }

  get sent(): number {
    return this.texts.length;
  }

  pass(message: Message): void | Promise<void> {
    return this.breaker.pass(RULE, message, () => {
      this.texts.push(message.payload.toString());
    });
  }
}
