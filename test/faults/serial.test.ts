import { setTimeout as delay } from "node:timers/promises";
import { describe, expect } from "vitest";
import { TEST_CONFIG } from "../helpers/gateway-process.ts";
import { connectDevice } from "../helpers/mqtt.ts";
import { PseudoDevice } from "../helpers/pseudo-device.ts";
import { until } from "../helpers/until.ts";
import { Canary, expectUndisturbed, songOf } from "./canary.ts";
import { faultTest, scaled } from "./fault-test.ts";
import { cpuMsOf, FaultyGateway } from "./gateway.ts";

/** A device is back under its name within this time. */
const BACK_MS = 5000;

const configOf = (ports: Readonly<Record<string, object>>) =>
  `${TEST_CONFIG}\nserial: ${JSON.stringify(ports)}\n`;

describe("serial devices", () => {
  faultTest(
    "come back under their name within 5 s of every re-plug, idle, reading or in the middle of a frame",
    { short: 60_000, long: 1_800_000 },
    async ({ random, report }) => {
      const device = await PseudoDevice.plugged();
      const config = configOf({ meter: { device: device.path, down_topic: "down" } });
      const life = await new FaultyGateway({ config }).start();
      const listener = await connectDevice(life.ports.tcp, { subscribe: ["serial/meter/up"] });
      const cycles = scaled(4, 200);
      let slowestMs = 0;
      for (let cycle = 1; cycle <= cycles; cycle++) {
        const how = random.int(0, 2);
        if (how === 1) device.say(`${"reading ".repeat(random.int(0, 1999))}\n`);
        if (how === 2) device.say("half a fr");
        if (how === 2) await listener.client.publishAsync("down", "x".repeat(2000), { qos: 1 });
        await device.unplug();
        const { received } = listener;
        await device.plug();
        const pluggedMs = performance.now();
        const mark = `cycle ${cycle}`;
        await until(
          mark,
          async () => {
            // What is said before the port is open again is said to nobody.
            device.say(`${mark}\n`);
            await delay(50);
            return received.some(({ payload }) => payload === mark);
          },
          BACK_MS,
        );
        slowestMs = Math.max(slowestMs, performance.now() - pluggedMs);
      }
      expect(life.isAlive()).toBe(true);
      report({ cycles, slowestBackMs: Math.round(slowestMs) });
    },
  );

  faultTest(
    "that are alike and exchanged are told apart by where they are plugged in",
    { short: 30_000, long: 30_000 },
    async () => {
      const [one, two] = [await PseudoDevice.plugged("left"), await PseudoDevice.plugged("right")];
      const config = configOf({ left: { device: one.path }, right: { device: two.path } });
      const life = await new FaultyGateway({ config }).start();
      const listener = await connectDevice(life.ports.tcp, { subscribe: ["serial/#"] });
      await Promise.all([one.unplug(), two.unplug()]);
      // The links follow the sockets, not the devices.
      [one.path, two.path] = [two.path, one.path];
      await Promise.all([one.plug(), two.plug()]);
      const heard = () =>
        new Set(listener.received.map(({ topic, payload }) => `${topic} ${payload}`));
      await until(
        "both under their new names",
        async () => {
          one.say("I am one\n");
          two.say("I am two\n");
          await delay(50);
          return heard().has("serial/right/up I am one") && heard().has("serial/left/up I am two");
        },
        BACK_MS,
      );
    },
  );

  faultTest(
    "that flood, drip or send garbage delay nobody, and cost nothing while they are away",
    { short: 60_000, long: 600_000 },
    async ({ random, report }) => {
      const [flood, drip] = [
        await PseudoDevice.plugged("flood"),
        await PseudoDevice.plugged("drip"),
      ];
      const config = configOf({
        flood: { device: flood.path, qos: 0, framing: { type: "slip" }, payload: "raw" },
        drip: { device: drip.path, framing: { type: "line", max_frame_bytes: 64 } },
      });
      const life = await new FaultyGateway({ config }).start();
      const canary = await Canary.start(life.ports.tcp);
      const seconds = scaled(3, 60);
      let sent = 0;
      for (let tick = 0; tick < seconds * 10; tick++) {
        // 1 MB a second, of which SLIP's END is every 64th byte.
        const garbage = Buffer.from(Array.from({ length: 102_400 }, () => random.int(0, 255)));
        for (let at = random.int(0, 63); at < garbage.length; at += 64) garbage[at] = 0xc0;
        flood.say(garbage);
        sent += garbage.length;
        drip.say("x");
        await delay(100);
      }
      const figures = await canary.stop();
      report({ floodBytes: sent, ...songOf(figures) });
      expectUndisturbed(figures);

      await Promise.all([flood.unplug(), drip.unplug()]);
      await delay(500);
      const before = cpuMsOf(life.pid);
      const awayMs = scaled(3000, 20_000);
      await delay(awayMs);
      const cpuMs = cpuMsOf(life.pid) - before;
      report({ awayMs, cpuMs });
      expect(cpuMs / awayMs).toBeLessThan(0.05);
      expect(life.isAlive()).toBe(true);
    },
  );
});
