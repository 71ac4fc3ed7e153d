import { beforeEach, describe, expect, it } from "vitest";
import { createLog } from "../log/index.ts";
import { type Message, topic } from "../mqtt/index.ts";
import { createStamper, ManualClock } from "../time/index.ts";
import { createTelemetryPublisher, type MetricValue } from "./index.ts";

const NOW_MS = Date.UTC(2026, 5, 1);

let clock: ManualClock;
let published: Message[];
let publish: (message: Message) => Promise<void>;
let intervalS: number;
let isSynchronised: boolean;
let values: Readonly<Record<string, MetricValue>>;
let lines: string[];

beforeEach(() => {
  clock = new ManualClock(NOW_MS);
  published = [];
  publish = async (message) => void published.push(message);
  intervalS = 0;
  isSynchronised = true;
  values = {
    cpu_percent: 12.5,
    throttled: false,
    temperature_c: null,
    disk_size_bytes: { sda: 7 },
  };
  lines = [];
});

async function start() {
  const publisher = createTelemetryPublisher(
    {
      log: createLog({ level: "info" }, { write: (line) => void lines.push(line) }),
      clock,
      bus: { publish: (message) => publish(message) },
      telemetry: { snapshot: () => values },
      stamper: createStamper({
        clock,
        uptimeMs: () => clock.monotonicMs(),
        bootId: () => "b-1",
        isSynchronised: () => isSynchronised,
      }),
    },
    { node: "n1", device: "d1", settings: () => ({ publish_interval_s: intervalS }) },
  );
  await publisher.start();
  return publisher;
}

const on = (name: string) =>
  published
    .filter((message) => message.topic === topic(name))
    .map(({ payload }) => payload.toString());

describe("$SYS", () => {
  it("has every metric that has a value, at the start and each minute", async () => {
    await start();
    expect(published.map((message) => [message.topic, message.payload.toString()])).toEqual([
      ["$SYS/brokers/n1/device/cpu_percent", "12.5"],
      ["$SYS/brokers/n1/device/throttled", "false"],
      ["$SYS/brokers/n1/device/disk_size_bytes", '{"sda":7}'],
    ]);
    expect(published[0]).toMatchObject({ qos: 0, retain: false, origin: { kind: "system" } });
    values = { cpu_percent: 99 };
    clock.advance(60_000);
    expect(on("$SYS/brokers/n1/device/cpu_percent")).toEqual(["12.5", "99"]);
  });

  it("is silent after the stop", async () => {
    const publisher = await start();
    await publisher.stop();
    await publisher.stop();
    published = [];
    clock.advance(600_000);
    expect(published).toEqual([]);
  });
});

describe("the upload", () => {
  it("is off unless it is asked for", async () => {
    await start();
    clock.advance(3_600_000);
    expect(on("tidegate/d1/telemetry")).toEqual([]);
  });

  it("is one JSON object with the time and all metrics, QoS 1, every so many seconds", async () => {
    intervalS = 30;
    await start();
    for (let i = 0; i < 90; i++) {
      clock.advance(1000);
      await Promise.resolve().then(() => undefined);
    }
    const messages = on("tidegate/d1/telemetry");
    expect(messages.map((text) => JSON.parse(text))).toEqual(
      [1, 31, 61].map((second) => ({ ts: NOW_MS + second * 1000, device: values })),
    );
    expect(published.find(({ topic: name }) => name.startsWith("tidegate"))).toMatchObject({
      qos: 1,
      retain: false,
    });
  });

  it("begins, changes and ends with its setting", async () => {
    await start();
    const during = async (seconds: number, everyS: number) => {
      published = [];
      intervalS = everyS;
      for (let i = 0; i < seconds; i++) {
        clock.advance(1000);
        for (let turn = 0; turn < 5; turn++) await Promise.resolve();
      }
      return on("tidegate/d1/telemetry").length;
    };
    expect(await during(10, 1)).toBe(10);
    expect(await during(20, 10)).toBe(2);
    expect(await during(10, 0)).toBe(0);
  });

  it("waits while the store takes none, and collects nothing meanwhile", async () => {
    intervalS = 1;
    const taken = Promise.withResolvers<void>();
    let calls = 0;
    publish = async (message) => {
      if (!message.topic.startsWith("tidegate")) return;
      calls += 1;
      await taken.promise;
    };
    await start();
    clock.advance(60_000);
    expect(calls).toBe(1);
    taken.reject(new Error("the store is full"));
    while (lines.length === 0) await new Promise((resolve) => setImmediate(resolve));
    expect(lines[0]).toContain("publish failed");
    clock.advance(1000);
    expect(calls).toBe(2);
  });

  it("is marked before the clock is set, and the start of the device is told once it is", async () => {
    intervalS = 10;
    isSynchronised = false;
    clock = new ManualClock(0);
    await start();
    clock.advance(5000);
    const [early] = on("tidegate/d1/telemetry").map((text) => JSON.parse(text));
    expect(early).toMatchObject({ ts: 1000, synced: false, boot_id: "b-1", uptime_ms: 1000 });
    expect(on("tidegate/d1/clock")).toEqual([]);
    clock.jumpTo(NOW_MS);
    isSynchronised = true;
    clock.advance(60_000);
    expect(on("tidegate/d1/clock").map((text) => JSON.parse(text))).toEqual([
      { boot_id: "b-1", started_at: NOW_MS - 5000 },
    ]);
  });
});
