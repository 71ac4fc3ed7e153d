import { setTimeout as delay } from "node:timers/promises";
import { connectAsync } from "mqtt";
import { expect, onTestFinished } from "vitest";
import { Canary, expectUndisturbed, songOf } from "../faults/canary.ts";
import { faultTest, IS_LONG } from "../faults/fault-test.ts";
import { freeTcpPort } from "../helpers/free-tcp-port.ts";
import { until } from "../helpers/until.ts";
import { Machine } from "./gateways.ts";

/** Gateway i sends everything below its filters to gateway `to[i]`. */
interface Topology {
  readonly name: string;
  readonly to: readonly number[];
  readonly filters: readonly string[];
  readonly version: 4 | 5;
}

const TOPOLOGIES: readonly Topology[] = [
  { name: "two gateways both ways, MQTT 5", to: [1, 0], filters: ["x/#"], version: 5 },
  { name: "two gateways both ways, MQTT 3.1.1", to: [1, 0], filters: ["x/#"], version: 4 },
  { name: "three in a ring, MQTT 5", to: [1, 2, 0], filters: ["x/#"], version: 5 },
  { name: "three in a ring, MQTT 3.1.1", to: [1, 2, 0], filters: ["x/#"], version: 4 },
  {
    name: "two both ways with overlapping filters, MQTT 3.1.1",
    to: [1, 0],
    filters: ["x/#", "x/+"],
    version: 4,
  },
];

async function build({ to, filters, version }: Topology): Promise<readonly Machine[]> {
  const ports = await Promise.all(to.map(() => freeTcpPort()));
  return Promise.all(
    to.map((target, index) => {
      const next = {
        server: `mqtt://127.0.0.1:${ports[target]}`,
        proto_ver: version,
        backoff_max_s: 1,
        forwards: filters.map((local_topic) => ({ local_topic })),
      };
      return Machine.start({ next }, ports[index]);
    }),
  );
}

/**
 * The short form takes the one with marks. Without marks a loop is watched for most of a minute before
 * its rule is cut, which `src/bridge/loop-breaker.test.ts` shows with a clock of its own.
 */
const SHORT = TOPOLOGIES.filter(({ name }) => name === "two gateways both ways, MQTT 5");

for (const topology of IS_LONG ? TOPOLOGIES : SHORT) {
  faultTest(
    `a loop is cut within 100 copies, and the rule is named: ${topology.name}`,
    { short: 60_000, long: 180_000 },
    async ({ report }) => {
      const machines = await build(topology);
      const [first] = machines;
      if (first === undefined) throw new Error("no gateway");
      await Promise.all(
        machines.map((machine) =>
          until(
            "the links",
            async () => (await machine.status("next"))["state"] === "connected",
            20_000,
          ),
        ),
      );
      const client = await connectAsync(`mqtt://127.0.0.1:${first.tcpPort}`);
      onTestFinished(() => client.endAsync(true));
      let copies = 0;
      client.on("message", () => {
        copies += 1;
      });
      await client.subscribeAsync("x/#", { qos: 1 });
      const canary = await Canary.start(first.tcpPort);
      // Marked messages come back once each: some are needed to show a rule at fault.
      const sent = topology.version === 5 ? 30 : 1;
      for (let n = 0; n < sent; n++) await client.publishAsync("x/1", String(n), { qos: 1 });
      const cut = await until(
        "a rule that is cut",
        async () => {
          const found = await Promise.all(machines.map((machine) => cutRules(machine)));
          return found.flat()[0];
        },
        120_000,
      );
      const atCut = copies;
      await delay(500);
      const measured = await canary.stop();
      report({ topology: topology.name, messages: sent, copies, rule: cut, ...songOf(measured) });
      expect(cut).toMatch(/^next-forward-\d$/);
      expect(atCut / sent).toBeLessThan(100);
      expect(copies - atCut).toBeLessThan(50);
      const outputs = machines.map((machine) => machine.output()).join("\n");
      expect(outputs).toContain("a rule of a bridge sends messages round in circles and was cut");
      expect(outputs).toContain(`bridge_loop_${cut}`);
      expectUndisturbed(measured);
    },
  );
}

async function cutRules(machine: Machine): Promise<string[]> {
  const { rules } = (await machine.status("next")) as {
    rules?: readonly { readonly name: string; readonly state: string }[];
  };
  return (rules ?? []).filter((it) => it.state === "cut").map((it) => it.name);
}
