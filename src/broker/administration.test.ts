import assert from "node:assert";
import { expect, test } from "vitest";
import { messageId, QUEUE_PLACES, type QueuedView, topicFilter } from "../mqtt/index.ts";
import { createBroker } from "./index.ts";
import { RETAINS_ALL } from "./limits.ts";
import { apiMessage, Rig, type RigOptions, until } from "./rig.testing.ts";
import { WireClient } from "./wire.testing.ts";

const keep = { clean: false, properties: { sessionExpiryInterval: 600 } };

/** The bit that mosquitto's and NanoMQ's bridges set in the protocol level. */
const asBridge = Object.assign({ clean: false }, { bridgeMode: true });

async function withRig(options: RigOptions, body: (rig: Rig) => Promise<void>): Promise<void> {
  const rig = await Rig.start(createBroker, options);
  try {
    await body(rig);
  } finally {
    await rig.close();
  }
}

function detailsOf(rig: Rig, clientId: string) {
  const details = rig.broker.details(clientId);
  assert(details !== undefined);
  return details;
}

const texts = (views: readonly QueuedView[]) => views.map(({ message }) => `${message.payload}`);

test("a connection counts its bytes, packets and messages by QoS, and its session keeps them after it", () =>
  withRig({}, async (rig) => {
    const client = await WireClient.connect(rig.tcpPort, "c", keep);
    await client.subscribe("in/#", 2);
    for (const qos of [0, 1, 1, 2] as const) {
      client.publish("out", "x", { qos, ...(qos > 0 ? { messageId: 7 + qos } : {}) });
    }
    for (const qos of [0, 0, 1, 2] as const) await rig.publish("in/a", "y", { qos });
    await until(() => client.messages.length === 4 && detailsOf(rig, "c").awaitingRelease === 1);
    const { traffic, ...rest } = detailsOf(rig, "c");
    expect(traffic).toMatchObject({ messagesIn: [1, 2, 1], messagesOut: [2, 1, 1] });
    // CONNECT, SUBSCRIBE, four times PUBLISH; CONNACK, SUBACK, 2 PUBACK, PUBREC and what it received.
    expect(traffic).toMatchObject({ packetsIn: 6, packetsOut: 9 });
    expect(traffic.bytesIn).toBe(client.socket.bytesWritten);
    expect(traffic.bytesOut).toBe(client.socket.bytesRead);
    expect(rest).toMatchObject({
      isConnected: true,
      isDurable: true,
      inflight: 2,
      queued: 0,
      awaitingRelease: 1,
      maxAwaitingRelease: 100,
      expiryIntervalS: 600,
      subscriptions: 1,
      heldBytes: 2 * "in/ay".length,
    });
    client.drop();
    await until(() => !detailsOf(rig, "c").isConnected);
    expect(detailsOf(rig, "c").traffic).toEqual(traffic);
  }));

test("a bridge of 3.1.1, the session's first CONNECT and its newest are known after a restart", () =>
  withRig({ store: "leveldb" }, async (rig) => {
    const first = await WireClient.connect(rig.tcpPort, "b", asBridge, 4);
    const { createdMs } = detailsOf(rig, "b");
    first.drop();
    await until(() => !detailsOf(rig, "b").isConnected);
    await until(() => Date.now() > createdMs);
    const again = await WireClient.connect(rig.tcpPort, "b", asBridge, 4);
    again.drop();
    await until(() => !detailsOf(rig, "b").isConnected);
    const { connectedMs } = detailsOf(rig, "b");
    expect(connectedMs).toBeGreaterThan(createdMs);
    await rig.restart();
    expect(detailsOf(rig, "b")).toMatchObject({
      createdMs,
      connectedMs,
      isBridge: true,
      cleanStart: false,
    });
  }));

test("dropped messages are counted for their session by reason", () =>
  withRig({ msqLen: 2 }, async (rig) => {
    const client = await WireClient.connect(rig.tcpPort, "c", {
      ...keep,
      properties: { sessionExpiryInterval: 600, maximumPacketSize: 40 },
    });
    await client.subscribe("q", 1);
    await rig.publish("q", "much too large for this client ".repeat(3), { qos: 1 });
    client.drop();
    await until(() => !detailsOf(rig, "c").isConnected);
    for (let i = 0; i < 5; i++) await rig.publish("q", `${i}`, { qos: 1 });
    expect(detailsOf(rig, "c").dropped).toEqual({ queue_full: 3, too_large: 1, expired: 0 });
  }));

for (const how of ["connected", "left behind"] as const) {
  test(`removing a client that is ${how} ends its session, queue and subscriptions for good`, () =>
    withRig({ store: "leveldb" }, async (rig) => {
      const client = await WireClient.connect(rig.tcpPort, "c", keep);
      await client.subscribe("q", 1);
      if (how === "left behind") {
        client.drop();
        await until(() => !detailsOf(rig, "c").isConnected);
        await rig.publish("q", "waits", { qos: 1 });
      }
      expect(await rig.broker.removeClient("c")).toBe(true);
      expect(rig.broker.details("c")).toBeUndefined();
      expect([...rig.broker.subscriptions()]).toEqual([]);
      if (how === "connected") {
        const end = await client.next("disconnect");
        assert(end.cmd === "disconnect");
        expect(end.reasonCode).toBe(0x98);
      }
      await rig.restart();
      expect(rig.broker.sessionCount()).toBe(0);
      expect(await rig.broker.removeClient("c")).toBe(false);
    }));
}

test("another Keep Alive holds from the moment it is set", () =>
  withRig({}, async (rig) => {
    const client = await WireClient.connect(rig.tcpPort, "c");
    rig.broker.setKeepAlive("c", 1);
    expect(detailsOf(rig, "c").keepAliveS).toBe(1);
    await until(() => client.isClosed);
    expect(() => rig.broker.setKeepAlive("c", 5)).toThrow(/c is not connected/);
  }));

for (const store of ["memory", "leveldb"] as const) {
  test(`a queue is read in pages, what is on its way apart from what waits (${store})`, () =>
    withRig({ store }, async (rig) => {
      const client = await WireClient.connect(rig.tcpPort, "c", {
        ...keep,
        properties: { sessionExpiryInterval: 600, receiveMaximum: 2 },
      });
      await client.subscribe("q", 2);
      for (let i = 0; i < 7; i++) await rig.publish("q", `${i}`, { qos: i === 0 ? 2 : 1 });
      await until(() => client.messages.length === 2);
      const ask = (part: "inflight" | "waiting", after: number | null, maxMessages = 100) =>
        rig.broker.queue("c", { part, after, maxMessages, maxBytes: 1_000_000 });
      const inflight = await ask("inflight", null);
      expect(texts(inflight.messages)).toEqual(["0", "1"]);
      expect(inflight.messages[0]?.qos).toBe(2);

      const one = await ask("waiting", null, 3);
      expect(texts(one.messages)).toEqual(["2", "3", "4"]);
      expect(one.first).toEqual(one.messages[0]);
      const two = await ask("waiting", one.messages[2]?.place ?? -1, 3);
      expect(texts(two.messages)).toEqual(["5", "6"]);
      expect(texts([two.first ?? assert.fail()])).toEqual(["2"]);
      expect((await ask("waiting", two.messages[1]?.place ?? -1)).messages).toEqual([]);

      const small = { part: "waiting", after: null, maxMessages: 100, maxBytes: 4 } as const;
      expect(texts((await rig.broker.queue("c", small)).messages)).toEqual(["2", "3"]);

      // PUBREC: its content is no longer needed, and no longer shown.
      client.send({ cmd: "pubrec", messageId: client.messages[0]?.messageId ?? 0 });
      await client.next("pubrel");
      expect(texts((await ask("inflight", null)).messages)).toEqual(["1"]);
    }));
}

test("what waits for a session that ends with its connection can be read too", () =>
  withRig({}, async (rig) => {
    const client = await WireClient.connect(rig.tcpPort, "c", {
      properties: { receiveMaximum: 1 },
    });
    await client.subscribe("q", 1);
    for (let i = 0; i < 4; i++) await rig.publish("q", `${i}`, { qos: 1 });
    const page = await rig.broker.queue("c", {
      part: "waiting",
      after: 1,
      maxMessages: 1,
      maxBytes: 1_000_000,
    });
    expect(texts(page.messages)).toEqual(["2"]);
    expect(page.first?.place).toBe(1);
    expect(QUEUE_PLACES).toBeGreaterThan(1000);
    expect(detailsOf(rig, "c")).toMatchObject({ inflight: 1, queued: 3, isDurable: false });
  }));

test("a subscription made by an administrator needs no rule, has its options and outlives a restart", () =>
  withRig({ store: "leveldb" }, async (rig) => {
    rig.isAllowed = ({ action }) => action === "publish";
    const client = await WireClient.connect(rig.tcpPort, "c", keep);
    const filter = topicFilter("a/#");
    await expect(rig.broker.subscribeClient("c", [{ filter, qos: 1 }])).rejects.toThrow(/deny/);
    await rig.broker.subscribeClient(
      "c",
      [{ filter, qos: 1, noLocal: true, retainAsPublished: true, retainHandling: 2 }],
      { isGranted: true },
    );
    const row = {
      clientId: "c",
      filter,
      qos: 1,
      noLocal: true,
      retainAsPublished: true,
      retainHandling: 2,
      isDurable: true,
    };
    expect([...rig.broker.subscriptionsOf("c")]).toEqual([row]);
    client.drop();
    await rig.restart();
    const again = await WireClient.connect(rig.tcpPort, "c", keep);
    expect([...rig.broker.subscriptionsOf("c")]).toEqual([row]);
    await rig.publish("a/b", "hello", { retain: true });
    await until(() => again.messages[0]?.retain === true);
  }));

test("the filters that are subscribed to are listed once, each share as its own", () =>
  withRig({}, async (rig) => {
    for (const clientId of ["c", "d"]) {
      const client = await WireClient.connect(rig.tcpPort, clientId);
      for (const filter of ["a/+", "#", "a", "$share/g/a", `own/${clientId}`]) {
        await client.subscribe(filter, 0);
      }
    }
    rig.broker.subscribe(topicFilter("inside/#"), () => undefined);
    expect([...rig.broker.filters()].sort()).toEqual(
      ["#", "$share/g/a", "a", "a/+", "own/c", "own/d"].sort(),
    );
    expect(rig.broker.filtersAt(topicFilter("a"))).toEqual(["a", "$share/g/a"]);
    expect(rig.broker.filtersAt(topicFilter("$share/g/a"))).toEqual(["$share/g/a"]);
    expect(rig.broker.filtersAt(topicFilter("$share/h/a"))).toEqual([]);
    expect(rig.broker.filtersAt(topicFilter("#"))).toEqual(["#"]);
    expect(rig.broker.filtersAt(topicFilter("b/c"))).toEqual([]);
  }));

test("publishing tells how many the message is meant for, sessions left behind and parts of the gateway included", () =>
  withRig({}, async (rig) => {
    const publish = async () => (await rig.broker.publishCounted(apiMessage("a", "x"))).receivers;
    expect(await publish()).toBe(0);
    const client = await WireClient.connect(rig.tcpPort, "c", keep);
    await client.subscribe("a", 1);
    await client.subscribe("#", 1);
    expect(await publish()).toBe(1);
    client.drop();
    await until(() => !detailsOf(rig, "c").isConnected);
    expect(await publish()).toBe(1);
    const stop = rig.broker.subscribe(topicFilter("a"), () => undefined);
    expect(await publish()).toBe(2);
    stop();
  }));

test("retained messages are listed, read and removed with time and sender", () =>
  withRig({ store: "leveldb" }, async (rig) => {
    const client = await WireClient.connect(rig.tcpPort, "c");
    const large = "x".repeat(10_000);
    client.publish("r/a", "1", { retain: true });
    client.publish("r/b", large, { retain: true });
    client.publish("other", "3", { retain: true });
    await until(() => rig.broker.retainedCount() === 3);
    expect([...rig.broker.retainedTopics()]).toEqual(["r/a", "r/b", "other"]);
    expect([...rig.broker.retainedTopics("r/+")]).toEqual(["r/a", "r/b"]);
    const b = await rig.broker.retainedMessage("r/b");
    assert(b !== null);
    expect(b.payload.toString()).toBe(large);
    expect(b.origin).toEqual({ kind: "client", clientId: "c", username: null });
    expect(Math.abs(Date.now() - b.publishedMs)).toBeLessThan(60_000);
    expect(messageId(b)).toMatch(/^[0-9A-F]{32}$/);
    expect(await rig.broker.removeRetained(["r/a", "r/a", "no"])).toBe(1);
    expect(await rig.broker.retainedMessage("r/a")).toBeNull();
    await rig.restart();
    expect([...rig.broker.retainedTopics()].sort()).toEqual(["other", "r/b"]);
    const loaded = await rig.broker.retainedMessage("r/b");
    assert(loaded !== null);
    expect(messageId(loaded)).toBe(messageId(b));
  }));

test("what is retained follows its limits, live", () =>
  withRig({}, async (rig) => {
    const retainer = (more: object) =>
      rig.broker.reconfigure({ retainer: { ...RETAINS_ALL, ...more } });
    const topics = () => [...rig.broker.retainedTopics()];
    const put = (name: string, text: string) => rig.publish(name, text, { retain: true });
    retainer({ maxPayloadBytes: 3, maxMessages: 2 });
    for (const [name, text] of [
      ["a", "123"],
      ["b", "1234"],
      ["b", "1"],
      ["c", "1"],
      ["a", "2"],
    ] as const) {
      await put(name, text);
    }
    expect(topics()).toEqual(["a", "b"]);
    expect((await rig.broker.retainedMessage("a"))?.payload.toString()).toBe("2");

    retainer({ isClearedByEmpty: false });
    await put("a", "");
    expect(topics()).toEqual(["a", "b"]);

    retainer({ isOn: false });
    await put("d", "1");
    await put("a", "");
    expect(topics()).toEqual(["a", "b"]);
    const client = await WireClient.connect(rig.tcpPort, "c");
    await client.subscribe("#", 0);
    retainer({ expiryS: 1 });
    await put("e", "1");
    await until(() => client.messages.length > 0);
    expect(client.messages.map(({ topic }) => topic)).toEqual(["e"]);
    expect(topics()).toEqual(["a", "b", "e"]);
    rig.memory.skewMs += 1500;
    await until(() => topics().length === 2);
  }));
