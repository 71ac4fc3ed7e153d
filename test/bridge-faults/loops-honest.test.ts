import { setTimeout as delay } from "node:timers/promises";
import { connectAsync, type MqttClient } from "mqtt";
import { expect, onTestFinished } from "vitest";
import { faultTest, IS_LONG, scaled } from "../faults/fault-test.ts";
import { until } from "../helpers/until.ts";
import { back, build, connected, cutRules, isBack, type Topology } from "./topology.ts";

/** Three gateways in a row; `loop-breaker.test.ts` shows the same in every run, with its own clock. */
const HONEST: Topology = {
  name: "plant, site and cloud",
  gateways: [
    [{ to: 1, forwards: ["cmd/#", "sensor/#"] }],
    [
      { to: 2, forwards: ["cmd/#", "sensor/#"] },
      { to: 0, forwards: ["answer/#"] },
    ],
    [{ to: 1, forwards: ["answer/#"] }],
  ],
};

/** A gateway between a plant's mosquitto, a cloud and another gateway. */
const MIXED: Topology = {
  name: "plant, gateway, cloud and another gateway",
  gateways: [
    [
      {
        to: "cloud",
        forwards: ["sensor/#", "a/req", "b/req"],
        subscribes: ["a/res", "b/res", "beat/#"],
      },
      { to: 1, forwards: ["beat/#", "plant/#"] },
    ],
    [],
  ],
  cloud: [],
  relay: [...back, "topic plant/# out 1"],
};

/** Equal questions, answers and values: some 30 of them are asked about. */
const STEPS = scaled(200, 1000);

/** All that looks like a loop in {@link MIXED} has this long to be taken for one. */
const MIXED_MS = 60_000;

/** Equal messages that must each arrive, in time. */
class Traffic {
  readonly #sentMs: number[] = [];
  count = 0;
  worstMs = 0;

  get isComplete(): boolean {
    return this.#sentMs.length === 0;
  }

  sent(): void {
    this.#sentMs.push(performance.now());
  }

  came(): void {
    const sentMs = this.#sentMs.shift();
    if (sentMs === undefined) throw new Error("more came than were sent");
    this.count += 1;
    this.worstMs = Math.max(this.worstMs, Math.round(performance.now() - sentMs));
  }
}

async function clientAt(tcpPort: number | undefined): Promise<MqttClient> {
  const client = await connectAsync(`mqtt://127.0.0.1:${tcpPort}`);
  onTestFinished(() => client.endAsync(true));
  return client;
}

faultTest(
  "applications that answer each other, and sensors that repeat themselves, are never cut",
  { short: 120_000, long: 120_000 },
  async ({ report }) => {
    const built = await build(HONEST);
    const { machines } = built;
    const each = await connected(built);
    const [plant, , cloud] = await Promise.all(
      machines.map(({ tcpPort }) => connectAsync(`mqtt://127.0.0.1:${tcpPort}`)),
    );
    if (plant === undefined || cloud === undefined) throw new Error("no client");
    onTestFinished(async () => void (await Promise.all([plant.endAsync(), cloud.endAsync()])));
    let steps = 0;
    let values = 0;
    cloud.on("message", (name) => {
      if (name === "sensor/1") values += 1;
      if (name === "cmd/step") cloud.publish("answer/step", "done", { qos: 1 });
    });
    plant.on("message", () => {
      steps += 1;
      if (steps < STEPS) plant.publish("cmd/step", "next", { qos: 1 });
    });
    await cloud.subscribeAsync(["cmd/step", "sensor/1"], { qos: 1 });
    await plant.subscribeAsync("answer/step", { qos: 1 });
    const beganMs = performance.now();
    plant.publish("cmd/step", "next", { qos: 1 });
    for (let n = 0; n < STEPS; n++) await plant.publishAsync("sensor/1", "21.5", { qos: 1 });
    await until("all steps", () => steps === STEPS, 60_000);
    await until("all values", () => values === STEPS, 20_000);
    report({ steps, values, seconds: (performance.now() - beganMs) / 1000 });
    const found = await Promise.all(each.map((it) => cutRules(it.machine, it.bridge)));
    expect(found.flat()).toEqual([]);
  },
);

// Looked at for a minute each, which only the long form has.
if (IS_LONG) {
  faultTest(
    "what only looks like a loop of one topic is never cut, and late by little",
    { short: 180_000, long: 180_000 },
    async ({ report }) => {
      const built = await build(MIXED);
      const { machines, mosquitto, relay } = built;
      const each = await connected(built);
      const [gateway, other] = machines;
      if (gateway === undefined) throw new Error("no gateway");
      await until("the plant's bridge", () => isBack(gateway), 20_000);
      const here = await clientAt(gateway.tcpPort);
      const operator = await clientAt(gateway.tcpPort);
      const [lonely, follower] = [await clientAt(gateway.tcpPort), await clientAt(gateway.tcpPort)];
      const cloud = await clientAt(mosquitto?.tcpPort);
      const plant = await clientAt(relay?.tcpPort);
      const far = await clientAt(other?.tcpPort);
      const traffic: Record<string, Traffic> = {};
      const of = (name: string) => (traffic[name] ??= new Traffic());
      const say = async (client: MqttClient, name: string, text: string, retain = false) => {
        of(name).sent();
        await client.publishAsync(name, text, { qos: 1, retain });
      };
      let isOver = false;
      const talk = (topic: string) => {
        const ask = () => (isOver ? Promise.resolve() : say(here, `${topic}/req`, "next"));
        cloud.on("message", (name) => {
          if (name === `${topic}/req`) void cloud.publishAsync(`${topic}/res`, "done", { qos: 1 });
        });
        here.on("message", (name) => {
          if (name !== `${topic}/res`) return;
          of(`${topic}/req`).came();
          setTimeout(() => void ask(), 20);
        });
      };
      talk("a");
      talk("b");
      cloud.on("message", (name) => {
        if (name.startsWith("sensor/") && !name.endsWith("probe")) of(name).came();
      });
      far.on("message", (name) => {
        if (!name.endsWith("probe")) of(name).came();
      });
      await cloud.subscribeAsync(["a/req", "b/req", "sensor/#"], { qos: 1 });
      await here.subscribeAsync(["a/res", "b/res"], { qos: 1 });
      await far.subscribeAsync(["beat/#", "plant/#"], { qos: 1 });
      // What others go on with begins with somebody else.
      await say(here, "a/req", "next");
      for (const name of ["b/req", "sensor/begun", "plant/begun"]) {
        await say(operator, name, name === "b/req" ? "next" : "1");
      }
      const repeat = async (periodMs: number, send: () => Promise<void>) => {
        while (!isOver) {
          await Promise.all([send(), delay(periodMs)]);
        }
      };
      const repeated = [
        repeat(100, () => say(lonely, "sensor/alone", "1")),
        repeat(100, () => say(follower, "sensor/begun", "1")),
        repeat(100, () => say(plant, "plant/alone", "1")),
        repeat(100, () => say(plant, "plant/begun", "1")),
        repeat(200, () => say(cloud, "beat/1", "alive", true)),
      ];
      await delay(MIXED_MS);
      isOver = true;
      await Promise.all(repeated);
      const isComplete = () => Object.values(traffic).every((it) => it.isComplete);
      await until("all", isComplete, 20_000);
      for (const [name, { count, worstMs }] of Object.entries(traffic)) {
        report({ topic: name, messages: count, worstMs });
      }
      const found = await Promise.all(each.map((it) => cutRules(it.machine, it.bridge)));
      expect(found.flat()).toEqual([]);
      expect(traffic["sensor/alone"]?.worstMs).toBeLessThan(1000);
      for (const { count, worstMs } of Object.values(traffic)) {
        expect(count).toBeGreaterThan(100);
        expect(worstMs).toBeLessThan(4000);
      }
    },
  );

  faultTest(
    "a loop of one topic that began elsewhere is told of in log, status, $SYS and alarms, and cut once a word of here goes round",
    { short: 180_000, long: 180_000 },
    async ({ report }) => {
      const built = await build({
        name: "one topic, begun elsewhere",
        gateways: [[{ to: "cloud", forwards: ["x/1"] }]],
        cloud: [...back, "topic x/1 out 1"],
      });
      const [gateway] = built.machines;
      if (gateway === undefined) throw new Error("no gateway");
      await connected(built);
      await until("mosquitto's bridge", () => isBack(gateway), 20_000);
      const here = await clientAt(gateway.tcpPort);
      const cloud = await clientAt(built.mosquitto?.tcpPort);
      const heard: string[] = [];
      here.on("message", (name, payload) => {
        if (name.startsWith("$SYS/")) heard.push(`${name} ${payload}`);
      });
      await here.subscribeAsync(["$SYS/brokers/+/alarms/#", "$SYS/brokers/+/bridges/#"]);
      const beganMs = performance.now();
      await cloud.publishAsync("x/1", "word of the cloud", { qos: 1 });
      const isTold = async () =>
        String((await gateway.status("line0"))["last_error"]).includes("may send messages round");
      await until("the warning", isTold, 90_000);
      const toldS = (performance.now() - beganMs) / 1000;
      expect(await cutRules(gateway, "line0")).toEqual([]);
      expect(gateway.output()).toContain("may send messages round in circles, it was not cut");
      const isHeard = (kind: string, text: string) => () =>
        heard.some((each) => each.includes(kind) && each.includes(text));
      const alarm = "bridge_loop_suspected_line0-forward-1";
      await until("the alarm", isHeard("/alarms/activate", alarm), 5000);
      await until("$SYS", isHeard("/bridges/line0", "may send messages round"), 15_000);
      await here.publishAsync("x/1", "word of here", { qos: 1 });
      const saidMs = performance.now();
      const isCut = async () => (await cutRules(gateway, "line0")).length > 0;
      await until("the cut", isCut, 30_000);
      report({ toldS, cutS: (performance.now() - saidMs) / 1000 });
      await until("the end of the alarm", isHeard("/alarms/deactivate", alarm), 5000);
    },
  );
}
