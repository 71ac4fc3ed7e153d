import { describe, expect, it } from "vitest";
import { topic } from "../mqtt/index.ts";
import { CloudClient, eventually, forward, TestBridge } from "./bridge.testing.ts";
import { gapReports } from "./gap-report.ts";
import { Mosquitto } from "./mosquitto.testing.ts";

describe("what goes up to the cloud", () => {
  it("gaps are reported when the link is up again, behind what waited", async () => {
    await using cloud = await Mosquitto.start();
    await using there = await CloudClient.connect(cloud.tcpPort);
    await there.client.subscribeAsync("#", { qos: 1 });
    await using test = await TestBridge.start({
      server: `mqtt://127.0.0.1:${cloud.tcpPort}`,
      enable: false,
      forwards: [forward("t")],
    });
    void test.outbox.append({
      topic: topic("t"),
      payload: Buffer.from("waited"),
      qos: 1,
      retain: false,
    });
    test.outbox.gapList = [{ topic: "t", fromMs: 1000, toMs: 2000, count: 3 }];
    test.bridge.setEnabled(true);
    const report = { device: "d1", bridge: "cloud" };
    await eventually(() => expect(there.got.at(-1)).toMatch(/^tidegate\/gap /));
    expect(there.got).toEqual([
      "t waited",
      `tidegate/gap ${JSON.stringify({ ...report, gaps: [{ topic: "t", from: 1000, to: 2000, count: 3 }] })}`,
    ]);
    expect(test.outbox.gaps()).toEqual([]);
  });

  it("without a topic for them gaps are kept and not reported", async () => {
    await using cloud = await Mosquitto.start();
    await using test = await TestBridge.start({
      server: `mqtt://127.0.0.1:${cloud.tcpPort}`,
      gap_topic: null,
      forwards: [forward("t")],
    });
    test.outbox.gapList = [{ topic: "t", fromMs: 1000, toMs: 2000, count: 3 }];
    await test.connected();
    await test.bus.send("t", "x", { qos: 1 });
    await eventually(() => expect(test.status()).toMatchObject({ forwarded: 1 }));
    expect(test.outbox.gaps()).toHaveLength(1);
  });

  it("an append is urgent while there is no link, and waits for the cloud while there is one", async () => {
    await using cloud = await Mosquitto.start();
    await using test = await TestBridge.start({
      server: `mqtt://127.0.0.1:${cloud.tcpPort}`,
      forwards: [forward("t")],
    });
    await test.bus.send("t", "1", { qos: 1 });
    expect(test.outbox.urgent).toBe(1);
    await test.connected();
    await test.bus.send("t", "2", { qos: 1 });
    expect(test.outbox.urgent).toBe(1);
  });

  it("QoS 0 waits behind older messages that have not been sent", async () => {
    await using test = await TestBridge.start({
      server: "mqtt://127.0.0.1:1",
      forwards: [forward("#")],
    });
    for (const qos of [1, 0, 1, 0] as const) await test.bus.send("t", `q${qos}`, { qos });
    const kept = await test.outbox.take(0, 10);
    expect(kept.map(({ message }) => message.payload.toString())).toEqual(["q1", "q0", "q1", "q0"]);
  });
});

it("a report of very many gaps is spread over messages that any broker takes", () => {
  const gaps = Array.from({ length: 257 }, (_, i) => ({
    topic: i === 256 ? null : `${"level/".repeat(20)}${i}`,
    fromMs: 1,
    toMs: 2,
    count: i + 1,
  }));
  const to = { topic: topic("g"), device: "d", bridge: "b" };
  const reports = gapReports(gaps, to);
  expect(reports).toHaveLength(6);
  for (const { payload } of reports) expect(payload.length).toBeLessThan(65_536);
  const all = reports.flatMap(({ payload }) => JSON.parse(payload.toString()).gaps);
  expect(all).toHaveLength(257);
  expect(all.at(-1)).toEqual({ topic: null, from: 1, to: 2, count: 257 });
});
