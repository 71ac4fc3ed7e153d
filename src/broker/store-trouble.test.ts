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
