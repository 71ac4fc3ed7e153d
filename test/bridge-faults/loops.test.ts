import { setTimeout as delay } from "node:timers/promises";
import { connectAsync } from "mqtt";
import { expect, onTestFinished } from "vitest";
import { Canary, expectUndisturbed, songOf } from "../faults/canary.ts";
import { faultTest, IS_LONG } from "../faults/fault-test.ts";
import { until } from "../helpers/until.ts";
import { back, build, connected, cutRules, isBack, type Topology } from "./topology.ts";

const all = ["x/#"];
const one = ["x/1"];

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

for (const topology of TOPOLOGIES.filter(({ isShort }) => IS_LONG || isShort === true)) {
  faultTest(
    `a loop is cut within 100 copies and ${secondsFor(topology)} s, and the rule is named: ${topology.name}`,
    { short: 60_000, long: 60_000 },
    async ({ report }) => {
      const built = await build(topology);
      const { machines, relay } = built;
      const [first] = machines;
      if (first === undefined) throw new Error("no gateway");
      const each = await connected(built);
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
      // What was held elsewhere while a probe or a trial was under way comes out, and comes to an end.
      await delay(topology.isEverywhere ? 15_000 : 1500);
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

function secondsFor({ isTimed }: Topology): number {
  return isTimed ? 20 : 10;
}

async function sayOnce(tcpPort: number, text: string): Promise<void> {
  const client = await connectAsync(`mqtt://127.0.0.1:${tcpPort}`);
  await client.publishAsync("x/1", text, { qos: 1 });
  await client.endAsync();
}
