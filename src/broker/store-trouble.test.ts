import { expect, test } from "vitest";
import { createBroker } from "./index.ts";
import { Rig, until } from "./rig.testing.ts";
import { WireClient } from "./wire.testing.ts";

const keep = { clean: false, properties: { sessionExpiryInterval: 600 } };

test("a full store refuses what would have to last, and nothing else, until there is room", async () => {
  const rig = await Rig.start(createBroker);
  try {
    const keeper = await WireClient.connect(rig.tcpPort, "keeper", keep);
    await keeper.subscribe("kept", 1);
    keeper.drop();
    await until(() => rig.broker.client("keeper")?.isConnected === false);
    const reader = await WireClient.connect(rig.tcpPort, "reader");
    reader.isAnswering = true;
    await reader.subscribe("live", 1);
    const pub = await WireClient.connect(rig.tcpPort, "p");
    rig.memory.refusal = "STORE_FULL";
    pub.publish("kept", "no", { qos: 1, messageId: 1 });
    expect(await pub.next("puback")).toMatchObject({ messageId: 1, reasonCode: 0x97 });
    pub.publish("kept", "no", { qos: 2, messageId: 2 });
    expect(await pub.next("pubrec")).toMatchObject({ messageId: 2, reasonCode: 0x97 });
    pub.publish("live", "yes", { qos: 1, messageId: 3 });
    expect(await pub.next("puback")).toMatchObject({ messageId: 3, reasonCode: 0 });
    await until(() => reader.texts.includes("yes"));
    const old = await WireClient.connect(rig.tcpPort, "old", {}, 4);
    old.publish("kept", "no", { qos: 1, messageId: 1 });
    await old.closed();
    expect(old.packets.some(({ cmd }) => cmd === "puback")).toBe(false);
    rig.memory.refusal = null;
    pub.publish("kept", "later", { qos: 1, messageId: 4 });
    expect(await pub.next("puback")).toMatchObject({ messageId: 4, reasonCode: 0 });
    const back = await WireClient.open(rig.tcpPort);
    back.isAnswering = true;
    back.connect("keeper", keep);
    await until(() => back.texts.includes("later"));
    expect(back.texts).toEqual(["later"]);
  } finally {
    await rig.close();
  }
});

test("what is acknowledged survives a crash, and what comes twice was not [order kept]", async () => {
  const rig = await Rig.start(createBroker);
  try {
    const keeper = await WireClient.connect(rig.tcpPort, "keeper", keep);
    await keeper.subscribe("t/#", 1);
    keeper.drop();
    await until(() => rig.broker.client("keeper")?.isConnected === false);
    const acknowledged: string[] = [];
    for (let round = 0; round < 5; round++) {
      const pub = await WireClient.connect(rig.tcpPort, "p");
      for (let n = 0; n < 50; n++)
        pub.publish("t/x", `${round}.${n}`, { qos: 1, messageId: n + 1 });
      await pub.next("puback");
      await rig.crash();
      for (const packet of pub.packets) {
        if (packet.cmd === "puback") acknowledged.push(`${round}.${(packet.messageId ?? 0) - 1}`);
      }
    }
    const back = await WireClient.open(rig.tcpPort);
    back.isAnswering = true;
    back.connect("keeper", keep);
    await rig.publish("t/end", "end", { qos: 1 });
    await until(() => back.texts.includes("end"));
    expect(acknowledged.length).toBeGreaterThan(0);
    expect(back.texts).toEqual(expect.arrayContaining(acknowledged));
    const order = (text: string) =>
      text.split(".").reduce((sum, part) => sum * 1000 + Number(part), 0);
    const numbers = back.texts.slice(0, -1).map(order);
    expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
  } finally {
    await rig.close();
  }
});

test("a retained message that is gone already is acknowledged after the commit that removes it", async () => {
  const rig = await Rig.start(createBroker);
  try {
    await rig.publish("r", "x", { qos: 1, retain: true });
    const pub = await WireClient.connect(rig.tcpPort, "p");
    let settled = 0;
    rig.memory.onSettled(() => void settled++);
    pub.publish("r", "", { qos: 0, retain: true });
    pub.publish("r", "", { qos: 1, retain: true, messageId: 7 });
    await pub.next("puback");
    expect(settled).toBe(1);
    expect(rig.memory.disk.retained.size).toBe(0);
    pub.publish("r", "", { qos: 1, retain: true, messageId: 8 });
    await pub.next("puback");
    expect(settled).toBe(1);
  } finally {
    await rig.close();
  }
});

test("a client that a crash cut off has its will published after the start", async () => {
  const rig = await Rig.start(createBroker);
  try {
    const watcher = await WireClient.connect(rig.tcpPort, "watcher", keep);
    await watcher.subscribe("w/#", 1);
    const will = { topic: "w/now", payload: Buffer.from("now"), qos: 1, retain: false } as const;
    await WireClient.connect(rig.tcpPort, "passing", { will });
    const delayed = { ...will, topic: "w/late", payload: Buffer.from("late") };
    await WireClient.connect(rig.tcpPort, "kept", {
      ...keep,
      will: { ...delayed, properties: { willDelayInterval: 1 } },
    });
    const polite = await WireClient.connect(rig.tcpPort, "polite", { ...keep, will });
    polite.send({ cmd: "disconnect", reasonCode: 0 });
    await polite.closed();
    // The end of the polite client's will is committed like everything else.
    await rig.publish("w/commit", "commit", { qos: 1, retain: true });
    await rig.crash();
    expect(rig.broker.client("passing")).toBeUndefined();
    const back = await WireClient.open(rig.tcpPort);
    back.isAnswering = true;
    back.connect("watcher", keep);
    await until(() => back.texts.includes("late"));
    expect(back.texts.toSorted()).toEqual(["commit", "late", "now"]);
  } finally {
    await rig.close();
  }
});

test("a session that expired while the gateway was off is gone for the first client that comes", async () => {
  const rig = await Rig.start(createBroker);
  try {
    const one = await WireClient.connect(rig.tcpPort, "c", {
      clean: false,
      properties: { sessionExpiryInterval: 60 },
    });
    one.drop();
    await until(() => rig.broker.client("c")?.isConnected === false);
    await rig.publish("r", "x", { qos: 1, retain: true });
    await rig.restart({ offMs: 61_000 });
    expect(rig.broker.client("c")).toBeUndefined();
    const back = await WireClient.open(rig.tcpPort);
    back.connect("c", keep);
    expect(await back.next("connack")).toMatchObject({ sessionPresent: false });
  } finally {
    await rig.close();
  }
});
