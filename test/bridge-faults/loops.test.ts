import { setTimeout as delay } from "node:timers/promises";
import { connectAsync } from "mqtt";
import { expect, onTestFinished } from "vitest";
import { Canary, expectUndisturbed, songOf } from "../faults/canary.ts";
import { faultTest, IS_LONG } from "../faults/fault-test.ts";
import { freeTcpPort } from "../helpers/free-tcp-port.ts";
import { type Mosquitto, startMosquitto } from "../helpers/mosquitto.ts";
import { until } from "../helpers/until.ts";
import { Machine } from "./gateways.ts";

/** What one gateway sends to another, or to the cloud's mosquitto. */
interface Line {
  readonly to: number | "cloud";
  /** Rules to the filter's own topic, or to another. */
  readonly forwards?: readonly (string | readonly [from: string, to: string])[];
  readonly subscribes?: readonly string[];
  readonly version?: 4 | 5;
  readonly hasBridgeBit?: boolean;
}

interface Topology {
  readonly name: string;
  /** The bridges of each gateway. */
  readonly gateways: readonly (readonly Line[])[];
  /** Lines of mosquitto.conf, in which `PORT` is the first gateway's, and `RELAY` the relay's. */
  readonly cloud?: readonly string[];
  /** Those of a second mosquitto. */
  readonly relay?: readonly string[];
  /** Marked messages come back once each: some are needed to show a rule at fault. */
  readonly messages?: number;
  /** Each gateway's clients begin a word of their own, and all of them go round. */
  readonly isEverywhere?: true;
  /** No probe comes back: what goes round is proven by timing. */
  readonly isTimed?: true;
  readonly isShort?: true;
}

const all = ["x/#"];
const one = ["x/1"];
const back = ["connection back", "address 127.0.0.1:PORT", "restart_timeout 1"];

const TOPOLOGIES: readonly Topology[] = [
  {
    name: "two gateways both ways, MQTT 5",
    gateways: [[{ to: 1, forwards: all, version: 5 }], [{ to: 0, forwards: all, version: 5 }]],
    messages: 30,
    isShort: true,
  },
  {
    name: "two gateways both ways, MQTT 3.1.1",
    gateways: [[{ to: 1, forwards: all }], [{ to: 0, forwards: all }]],
  },
  {
    name: "two gateways both ways without the bridge bit",
    gateways: [
      [{ to: 1, forwards: all, hasBridgeBit: false }],
      [{ to: 0, forwards: all, hasBridgeBit: false }],
    ],
  },
  {
    name: "three in a ring, MQTT 5",
    gateways: [
      [{ to: 1, forwards: all, version: 5 }],
      [{ to: 2, forwards: all, version: 5 }],
      [{ to: 0, forwards: all, version: 5 }],
    ],
    messages: 30,
  },
  {
    name: "three in a ring, MQTT 3.1.1",
    gateways: [
      [{ to: 1, forwards: all }],
      [{ to: 2, forwards: ["x/+"] }],
      [{ to: 0, forwards: ["x/1"] }],
    ],
  },
  {
    name: "two both ways with overlapping filters, MQTT 3.1.1",
    gateways: [[{ to: 1, forwards: ["x/#", "x/+"] }], [{ to: 0, forwards: ["x/#", "x/+"] }]],
    isShort: true,
  },
  {
    name: "two both ways that rename",
    gateways: [[{ to: 1, forwards: [["x/1", "y/1"]] }], [{ to: 0, forwards: [["y/1", "x/1"]] }]],
  },
  {
    name: "a mosquitto that bridges back",
    gateways: [[{ to: "cloud", forwards: all }]],
    cloud: [...back, "topic x/# out 1"],
    isShort: true,
  },
  {
    name: "a mosquitto that bridges one level back and does not say so",
    gateways: [[{ to: "cloud", forwards: all }]],
    cloud: [...back, "try_private false", "topic x/+ out 0"],
  },
  {
    name: "up to mosquitto, down to another gateway, and across",
    gateways: [
      [{ to: "cloud", forwards: all }],
      [
        { to: "cloud", subscribes: all },
        { to: 0, forwards: all },
      ],
    ],
    cloud: [],
  },
  {
    name: "one topic through a mosquitto that bridges back",
    gateways: [[{ to: "cloud", forwards: one }]],
    cloud: [...back, "topic x/1 out 1"],
    isTimed: true,
  },
  {
    name: "one topic through a mosquitto that bridges back and does not say so",
    gateways: [[{ to: "cloud", forwards: all }]],
    cloud: [...back, "try_private false", "topic x/1 out 0"],
    isTimed: true,
    isShort: true,
  },
  {
    name: "one topic in a ring with two mosquittos",
    gateways: [[{ to: "cloud", forwards: one }]],
    cloud: ["connection on", "address 127.0.0.1:RELAY", "restart_timeout 1", "topic x/1 out 1"],
    relay: [...back, "topic x/1 out 1"],
    isTimed: true,
  },
  {
    name: "one topic through two gateways and a mosquitto",
    gateways: [
      [{ to: "cloud", forwards: one }],
      [
        { to: "cloud", subscribes: one },
        { to: 0, forwards: one },
      ],
    ],
    cloud: [],
    isTimed: true,
  },
  {
    name: "one topic through two gateways and a mosquitto, begun at both",
    gateways: [
      [{ to: "cloud", forwards: one }],
      [
        { to: "cloud", subscribes: one },
        { to: 0, forwards: one },
      ],
    ],
    cloud: [],
    isTimed: true,
    isEverywhere: true,
  },
];

interface Built {
  readonly machines: readonly Machine[];
  readonly bridges: readonly (readonly string[])[];
  readonly mosquitto: Mosquitto | null;
  readonly relay: Mosquitto | null;
}

async function build(topology: Topology): Promise<Built> {
  const { gateways } = topology;
  const ports = await Promise.all(gateways.map(() => freeTcpPort()));
  const start = async (conf: readonly string[] | undefined, relayPort = 0) => {
    const named = (line: string) =>
      line.replace("PORT", String(ports[0])).replace("RELAY", String(relayPort));
    return conf === undefined ? null : startMosquitto({ lines: conf.map(named) });
  };
  const relay = await start(topology.relay);
  const mosquitto = await start(topology.cloud, relay?.tcpPort);
  const portOf = (to: Line["to"]) => (to === "cloud" ? mosquitto?.tcpPort : ports[to]);
  const machines = await Promise.all(
    gateways.map((bridges, index) => {
      const configs = bridges.map((line, at) => [
        `line${at}`,
        {
          server: `mqtt://127.0.0.1:${portOf(line.to)}`,
          proto_ver: line.version ?? 4,
          bridge_bit: line.hasBridgeBit ?? true,
          backoff_max_s: 1,
          forwards: (line.forwards ?? []).map((rule) =>
            typeof rule === "string"
              ? { local_topic: rule }
              : { local_topic: rule[0], remote_topic: rule[1] },
          ),
          subscription: (line.subscribes ?? []).map((remote_topic) => ({ remote_topic })),
        },
      ]);
      return Machine.start(Object.fromEntries(configs), ports[index]);
    }),
  );
  const bridges = gateways.map((lines) => lines.map((_, at) => `line${at}`));
  return { machines, bridges, mosquitto, relay };
}

for (const topology of TOPOLOGIES.filter(({ isShort }) => IS_LONG || isShort === true)) {
  faultTest(
    `a loop is cut within 100 copies and ${secondsFor(topology)} s, and the rule is named: ${topology.name}`,
    { short: 60_000, long: 60_000 },
    async ({ report }) => {
      const { machines, bridges, relay } = await build(topology);
      const [first] = machines;
      if (first === undefined) throw new Error("no gateway");
      const each = machines.flatMap((machine, at) =>
        (bridges[at] ?? []).map((bridge) => ({ machine, bridge })),
      );
      await Promise.all(
        each.map(({ machine, bridge }) =>
          until(
            "the links",
            async () => (await machine.status(bridge))["state"] === "connected",
            20_000,
          ),
        ),
      );
      if (topology.cloud?.length) await until("mosquitto's bridge", () => isBack(first), 20_000);
      await relay?.child.waitForOutput(/ as \S+\.on /);
      const client = await connectAsync(`mqtt://127.0.0.1:${first.tcpPort}`);
      onTestFinished(() => client.endAsync(true));
      let copies = 0;
      client.on("message", (name) => {
        if (name === "x/1") copies += 1;
      });
      await client.subscribeAsync("x/#", { qos: 1 });
      const canary = await Canary.start(first.tcpPort);
      const sent = topology.messages ?? 1;
      const beganMs = performance.now();
      for (let n = 0; n < sent; n++) await client.publishAsync("x/1", String(n), { qos: 1 });
      const others = topology.isEverywhere ? machines.slice(1) : [];
      await Promise.all(others.map(({ tcpPort }) => sayOnce(tcpPort, `word of ${tcpPort}`)));
      const cut = await until(
        "a rule that is cut",
        async () => {
          const found = await Promise.all(each.map((it) => cutRules(it.machine, it.bridge)));
          return found.flat()[0];
        },
        1000 * secondsFor(topology),
      );
      const atCut = copies;
      const seconds = (performance.now() - beganMs) / 1000;
      // What was held elsewhere while a probe was under way comes out, and comes to an end.
      await delay(1500);
      const quiet = copies;
      await delay(300);
      const measured = await canary.stop();
      const figures = { messages: sent, copiesAtCut: atCut, copies, rule: cut, seconds };
      report({ ...figures, ...songOf(measured) });
      expect(cut).toMatch(/^line\d-forward-\d$/);
      expect(copies / (sent + others.length)).toBeLessThan(100);
      expect(copies).toBe(quiet);
      const outputs = machines.map((machine) => machine.output()).join("\n");
      expect(outputs).toContain("a rule of a bridge sends messages round in circles and was cut");
      expect(outputs).toContain(`bridge_loop_${cut}`);
      expectUndisturbed(measured);
    },
  );
}

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

if (IS_LONG) {
  faultTest(
    "applications that answer each other, and sensors that repeat themselves, are never cut",
    { short: 120_000, long: 120_000 },
    async ({ report }) => {
      const { machines, bridges } = await build(HONEST);
      const each = machines.flatMap((machine, at) =>
        (bridges[at] ?? []).map((bridge) => ({ machine, bridge })),
      );
      for (const { machine, bridge } of each) {
        const isUp = async () => (await machine.status(bridge))["state"] === "connected";
        await until("the links", isUp, 20_000);
      }
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
        if (steps < 1000) plant.publish("cmd/step", "next", { qos: 1 });
      });
      await cloud.subscribeAsync(["cmd/step", "sensor/1"], { qos: 1 });
      await plant.subscribeAsync("answer/step", { qos: 1 });
      const beganMs = performance.now();
      plant.publish("cmd/step", "next", { qos: 1 });
      for (let n = 0; n < 1000; n++) await plant.publishAsync("sensor/1", "21.5", { qos: 1 });
      await until("all steps", () => steps === 1000, 60_000);
      await until("all values", () => values === 1000, 20_000);
      report({ steps, values, seconds: (performance.now() - beganMs) / 1000 });
      const found = await Promise.all(each.map((it) => cutRules(it.machine, it.bridge)));
      expect(found.flat()).toEqual([]);
    },
  );
}

function secondsFor({ isTimed }: Topology): number {
  return isTimed ? 20 : 10;
}

async function sayOnce(tcpPort: number, text: string): Promise<void> {
  const client = await connectAsync(`mqtt://127.0.0.1:${tcpPort}`);
  await client.publishAsync("x/1", text, { qos: 1 });
  await client.endAsync();
}

/** Mosquitto's own bridge has come. */
async function isBack(machine: Machine): Promise<boolean> {
  const ids = await machine.clientIds();
  return ids.some((id) => id.endsWith(".back"));
}

async function cutRules(machine: Machine, bridge: string): Promise<string[]> {
  const { rules } = (await machine.status(bridge)) as {
    rules?: readonly { readonly name: string; readonly state: string }[];
  };
  return (rules ?? []).filter((it) => it.state === "cut").map((it) => it.name);
}
