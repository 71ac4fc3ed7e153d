import { describe, expect, test } from "vitest";
import { createBroker } from "./index.ts";
import { Rig, type RigOptions, until } from "./rig.testing.ts";
import { WireClient } from "./wire.testing.ts";

const keep = { clean: false, properties: { sessionExpiryInterval: 600 } };

async function withRig(options: RigOptions, body: (rig: Rig) => Promise<void>): Promise<void> {
  const rig = await Rig.start(createBroker, options);
  try {
    await body(rig);
  } finally {
    await rig.close();
  }
}

/** A session that was left behind, subscribed to `q`. */
async function leave(rig: Rig, clientId: string): Promise<void> {
  const client = await WireClient.connect(rig.tcpPort, clientId, keep);
  await client.subscribe("q", 1);
  client.drop();
  await until(() => rig.broker.client(clientId)?.isConnected === false);
}

/** What the session gets when its client is back. */
async function collect(rig: Rig, clientId: string): Promise<readonly string[]> {
  const back = await WireClient.open(rig.tcpPort);
  back.isAnswering = true;
  back.connect(clientId, keep);
  await back.next("connack");
  await rig.publish("q", "end", { qos: 1 });
  await until(() => back.texts.at(-1) === "end");
  return back.texts.slice(0, -1);
}

const publishAll = async (rig: Rig, count: number, size = 1) => {
  for (let n = 1; n <= count; n++) await rig.publish("q", `${n}`.padEnd(size, "."), { qos: 1 });
};

describe("a full queue of a session left behind", () => {
  for (const [policy, rest] of [
    ["drop_oldest", ["3", "4", "5"]],
    ["drop_newest", ["1", "2", "3"]],
    ["disconnect", ["1", "2", "3"]],
  ] as const) {
    test(`${policy} keeps ${rest.join(" ")} of 1 to 5 and counts the others`, () =>
      withRig({ msqLen: 3, mqtt: { queue_policy: policy } }, async (rig) => {
        await leave(rig, "c");
        await publishAll(rig, 5);
        expect(rig.broker.counters().dropped.queue_full).toBe(2);
        expect(await collect(rig, "c")).toEqual(rest);
      }));
  }

  test("the bound in bytes holds beside the one in messages", () =>
    withRig({ mqtt: { max_queued_bytes: 100_000 } }, async (rig) => {
      await leave(rig, "c");
      await publishAll(rig, 5, 30_000);
      expect(rig.broker.counters().dropped.queue_full).toBe(2);
      const texts = await collect(rig, "c");
      expect(texts.map((text) => text[0])).toEqual(["3", "4", "5"]);
    }));
});

describe("a full queue of a client that does not acknowledge", () => {
  const slow = async (rig: Rig, isKept: boolean) => {
    const client = await WireClient.connect(rig.tcpPort, "slow", {
      ...(isKept ? keep : { clean: true }),
      properties: { ...(isKept ? keep.properties : {}), receiveMaximum: 1 },
    });
    await client.subscribe("q", 1);
    return client;
  };

  for (const isKept of [true, false]) {
    const kind = isKept ? "kept" : "passing";

    test(`drop_newest leaves a ${kind} session its oldest messages`, () =>
      withRig({ msqLen: 2, mqtt: { queue_policy: "drop_newest" } }, async (rig) => {
        const client = await slow(rig, isKept);
        await publishAll(rig, 6);
        expect(rig.broker.counters().dropped.queue_full).toBe(3);
        await until(() => client.messages.length === 1);
        client.isAnswering = true;
        client.send({ cmd: "puback", messageId: client.messages[0]?.messageId ?? 0 });
        await until(() => client.texts.length === 3);
        expect(client.texts).toEqual(["1", "2", "3"]);
      }));

    test(`disconnect ends the client of a ${kind} session with 0x97, and nobody else`, () =>
      withRig({ msqLen: 2, mqtt: { queue_policy: "disconnect" } }, async (rig) => {
        const client = await slow(rig, isKept);
        const other = await WireClient.connect(rig.tcpPort, "other");
        other.isAnswering = true;
        await other.subscribe("q", 1);
        await publishAll(rig, 6);
        expect(await client.next("disconnect")).toMatchObject({ reasonCode: 0x97 });
        await client.closed();
        await until(() => other.texts.length === 6);
        if (isKept) expect((await collect(rig, "slow")).slice(0, 3)).toEqual(["1", "2", "3"]);
        else expect(rig.broker.client("slow")).toBeUndefined();
      }));
  }
});

describe("limits that change while clients are connected", () => {
  test("policy and bytes hold for the next message", () =>
    withRig({ msqLen: 2 }, async (rig) => {
      await leave(rig, "c");
      await publishAll(rig, 2);
      rig.broker.reconfigure({ queuePolicy: "drop_newest" });
      await rig.publish("q", "3", { qos: 1 });
      rig.broker.reconfigure({ msqLen: 100, maxQueuedBytes: 65_536 });
      await rig.publish("q", "x".repeat(65_536), { qos: 1 });
      expect(rig.broker.counters().dropped.queue_full).toBe(2);
      expect(await collect(rig, "c")).toEqual(["1", "2"]);
    }));

  test("the number in flight holds for the next connection", () =>
    withRig({}, async (rig) => {
      rig.broker.reconfigure({ maxInflight: 2 });
      const client = await WireClient.connect(rig.tcpPort, "c");
      await client.subscribe("q", 1);
      await publishAll(rig, 5);
      await client.settle();
      expect(client.texts).toEqual(["1", "2"]);
    }));

  test("the time a stalled reader has holds at once", () =>
    withRig({ msqLen: 100_000 }, async (rig) => {
      const client = await WireClient.connect(rig.tcpPort, "c");
      await client.subscribe("q", 0);
      client.socket.pause();
      rig.broker.reconfigure({ stalledReaderS: 1 });
      await until(async () => {
        await rig.publish("q", "x".repeat(100_000));
        return rig.broker.client("c") === undefined;
      });
    }));

  test("packet sizes hold for what is sent and received next", () =>
    withRig({}, async (rig) => {
      const old = await WireClient.connect(rig.tcpPort, "old", {}, 4);
      rig.broker.reconfigure({ maxPacketSizeBytes: 2048, clientMaxPacketSizeBytes: 1024 });
      const client = await WireClient.connect(rig.tcpPort, "c");
      await client.subscribe("t", 0);
      await rig.publish("t", "x".repeat(1500));
      await rig.publish("t", "small");
      await until(() => client.texts.includes("small"));
      expect(client.texts).toEqual(["small"]);
      expect(rig.broker.counters().dropped.too_large).toBe(1);
      old.publish("t", "x".repeat(3000));
      await old.closed();
    }));

  test("the Keep Alive multiplier holds for the next connection", () =>
    withRig({ mqtt: { keepalive_multiplier: 10_000 } }, async (rig) => {
      rig.broker.reconfigure({ keepaliveMultiplier: 1000 });
      const startMs = performance.now();
      const client = await WireClient.connect(rig.tcpPort, "c", { keepalive: 1 });
      await client.closed();
      expect(performance.now() - startMs).toBeLessThan(4000);
    }));
});
