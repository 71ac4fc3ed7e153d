import { Aedes } from "aedes";
import { expect, test } from "vitest";
import { ManualClock } from "../time/index.ts";
import { createBroker } from "./index.ts";
import type { RigOptions } from "./rig.testing.ts";
import { Rig, until } from "./rig.testing.ts";
import { WireClient } from "./wire.testing.ts";

/** aedes's own emitter in memory. */
function newEmitter(): NonNullable<RigOptions["emitter"]> {
  return Reflect.get(new Aedes(), "mq");
}

async function withTwo(body: (a: Rig, b: Rig, emitter: object) => Promise<void>): Promise<void> {
  const emitter = newEmitter();
  const a = await Rig.start(createBroker, { emitter });
  const b = await Rig.start(createBroker, { emitter });
  try {
    await body(a, b, emitter);
  } finally {
    await Promise.all([a.close(), b.close()]);
  }
}

test("what one broker publishes reaches the receivers of another exactly once, in order", () =>
  withTwo(async (a, b) => {
    const [here, there] = [a.listen("t/#"), b.listen("t/#")];
    const reader = await b.connect({ clientId: "reader" });
    await reader.subscribe("t/+", 1);
    await reader.subscribe("t/#", 2);
    const writer = await a.connect({ clientId: "writer" });
    await writer.subscribe("t/#", 1);
    for (let n = 0; n < 20; n++) await writer.publish("t/x", `c${n}`, { qos: n % 2 === 1 ? 1 : 0 });
    await a.publish("t/x", "bus", { qos: 1 });
    const expected = [...Array.from({ length: 20 }, (_, n) => `c${n}`), "bus"];
    await until(() => reader.texts.length >= 21 && writer.texts.length >= 21);
    await b.publish("t/x", "back", { qos: 1 });
    await until(() => writer.texts.at(-1) === "back" && reader.texts.at(-1) === "back");
    for (const texts of [reader.texts, writer.texts]) expect(texts).toEqual([...expected, "back"]);
    for (const seen of [here, there]) {
      expect(seen.map(({ payload }) => payload.toString())).toEqual([...expected, "back"]);
    }
    expect(b.broker.counters().dropped.no_subscriber).toBe(0);
  }));

test("properties and user properties in their order come along", () =>
  withTwo(async (a, b) => {
    const reader = await WireClient.connect(b.tcpPort, "reader");
    await reader.subscribe("t", 0);
    await a.broker.publish({
      topic: "t" as never,
      payload: Buffer.from("x"),
      qos: 0,
      retain: false,
      origin: { kind: "api", clientId: "api" },
      properties: {
        contentType: "text",
        userProperties: [
          ["b", "1"],
          ["a", "2"],
          ["b", "3"],
        ],
      },
    });
    await until(() => reader.messages.length === 1);
    expect(reader.messages[0]?.properties).toMatchObject({
      contentType: "text",
      userProperties: { b: ["1", "3"], a: "2" },
    });
  }));

test("a QoS 1 publisher is acknowledged after another broker has stored the message for a session there", () =>
  withTwo(async (a, b) => {
    const keeper = await b.connect({ clientId: "keeper", clean: false });
    await keeper.subscribe("q", 1);
    await keeper.end();
    await until(() => b.broker.client("keeper")?.isConnected === false);
    const writer = await a.connect();
    await writer.publish("q", "kept", { qos: 1 });
    expect(b.store.status().queuedMessages).toBe(1);
  }));

test("a retained message is retained by every broker", () =>
  withTwo(async (a, b) => {
    await a.publish("r", "x", { qos: 1, retain: true });
    const reader = await b.connect();
    await reader.subscribe("r", 1);
    await until(() => reader.received.length === 1);
    expect(reader.received).toMatchObject([{ text: "x", retain: true }]);
  }));

test("a client that connects to another broker is taken over by it", () =>
  withTwo(async (a, b) => {
    const first = await a.connect({ clientId: "c" });
    const other = await a.connect({ clientId: "other" });
    const second = await b.connect({ clientId: "c" });
    await first.closed();
    await until(() => a.broker.client("c") === undefined);
    expect(second.mqtt.connected).toBe(true);
    expect(other.mqtt.connected).toBe(true);
    expect(Object.keys(a.broker.aedes.clients)).toEqual(["other"]);
  }));

test("a packet of another program that is none harms nobody, a good one is delivered", () =>
  withTwo(async (a, _b, emitter) => {
    const seen = a.listen("#");
    const emit = (packet: object): void => Reflect.get(emitter, "emit").call(emitter, packet);
    for (const topic of ["a/#/b", "a\0b"]) {
      emit({ topic, payload: Buffer.from("x"), qos: 0 });
    }
    emit({ topic: "t", payload: 5 });
    emit({ topic: "t", payload: "x", qos: 7 });
    emit({ topic: "t", payload: "good" });
    await until(() => seen.length > 0);
    expect(seen.map(({ payload }) => payload.toString())).toEqual(["good"]);
  }));

test("a broker that starts and goes on is known to the others", () =>
  withTwo(async (a, b) => {
    const { brokers } = a.broker.aedes;
    expect(Object.keys(brokers)).toEqual([b.broker.aedes.id]);
  }));

test("a wall clock that is set ten years ahead makes no other broker gone", async () => {
  const clock = new ManualClock();
  const emitter = newEmitter();
  const a = await Rig.start(createBroker, { emitter, clock });
  const b = await Rig.start(createBroker, { emitter });
  try {
    clock.jumpTo(clock.nowMs() + 10 * 365 * 86_400_000);
    clock.advance(60_000);
    expect(Object.keys(a.broker.aedes.brokers)).toEqual([b.broker.aedes.id]);
  } finally {
    await Promise.all([a.close(), b.close()]);
  }
});

test("aedes's persistence is set up with the broker when it starts", async () => {
  const given: unknown[] = [];
  const persistence = { setup: async (broker: unknown) => void given.push(broker) };
  const rig = await Rig.start(createBroker, { persistence });
  try {
    expect(given).toEqual([rig.broker.aedes]);
    expect(Reflect.get(rig.broker.aedes, "persistence")).toBe(persistence);
  } finally {
    await rig.close();
  }
});
