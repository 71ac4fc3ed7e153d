import type { IPublishPacket } from "mqtt-packet";
import { describe, expect, test } from "vitest";
import { createBroker } from "./index.ts";
import { Rig, type RigOptions, until } from "./rig.testing.ts";
import { WireClient } from "./wire.testing.ts";

async function withRig(options: RigOptions, body: (rig: Rig) => Promise<void>): Promise<void> {
  const rig = await Rig.start(createBroker, options);
  try {
    await body(rig);
  } finally {
    await rig.close();
  }
}

const connect = (rig: Rig, id: string, more: object = {}, version: 3 | 4 | 5 = 5) =>
  WireClient.connect(rig.tcpPort, id, more, version);

/** Sends a packet of a client that must be refused, and answers with the DISCONNECT's code. */
async function disconnectCode(client: WireClient): Promise<number | undefined> {
  const packet = await client.next("disconnect");
  await client.closed();
  return packet.cmd === "disconnect" ? packet.reasonCode : undefined;
}

describe("MQTT 5 CONNECT", () => {
  test("a client without an id is given one [MQTT-3.1.3-6]", () =>
    withRig({}, async (rig) => {
      const client = await WireClient.open(rig.tcpPort);
      client.connect("");
      const connack = await client.next("connack");
      expect(connack).toMatchObject({ reasonCode: 0, sessionPresent: false });
      expect(connack).toMatchObject({
        properties: { assignedClientIdentifier: expect.stringMatching(/^tidegate-/) },
      });
    }));

  test("enhanced authentication is refused with 0x8C [MQTT-4.12.0-1]", () =>
    withRig({}, async (rig) => {
      const client = await WireClient.open(rig.tcpPort);
      client.connect("a", { properties: { authenticationMethod: "SCRAM" } });
      expect(await client.next("connack")).toMatchObject({ reasonCode: 0x8c });
      await client.closed();
    }));

  test("a takeover tells the old connection 0x8E [MQTT-3.1.4-3]", () =>
    withRig({}, async (rig) => {
      const old = await connect(rig, "a");
      await connect(rig, "a");
      expect(await disconnectCode(old)).toBe(0x8e);
    }));

  test("the Session Expiry Interval keeps the session, over a restart, until it has passed", () =>
    withRig({}, async (rig) => {
      const keep = { clean: false, properties: { sessionExpiryInterval: 60 } };
      const first = await connect(rig, "a", keep);
      await first.subscribe("t", 1);
      first.drop();
      await until(() => rig.broker.client("a")?.isConnected === false);
      await rig.restart();
      const second = await WireClient.open(rig.tcpPort);
      second.connect("a", keep);
      expect(await second.next("connack")).toMatchObject({ sessionPresent: true });
      second.send({ cmd: "disconnect", reasonCode: 0, properties: { sessionExpiryInterval: 1 } });
      await second.closed();
      await until(() => rig.broker.client("a") === undefined);
    }));

  test("a will waits for its delay, and a client that comes back stops it [MQTT-3.1.3-9]", () =>
    withRig({}, async (rig) => {
      const seen = rig.listen("will/#");
      const will = (topic: string) => ({
        clean: false,
        properties: { sessionExpiryInterval: 60 },
        will: {
          topic,
          payload: Buffer.from("gone"),
          qos: 1 as const,
          retain: false,
          properties: { willDelayInterval: 1 },
        },
      });
      const a = await connect(rig, "a", will("will/a"));
      const b = await connect(rig, "b", will("will/b"));
      a.drop();
      b.drop();
      await until(() => rig.broker.client("b")?.isConnected === false);
      await connect(rig, "b", { clean: false, properties: { sessionExpiryInterval: 60 } });
      expect(seen).toEqual([]);
      await until(() => seen.length > 0);
      expect(seen.map(({ topic }) => topic)).toEqual(["will/a"]);
    }));

  test("DISCONNECT with 0x04 publishes the will, with 0x00 does not [MQTT-3.14.4-3]", () =>
    withRig({}, async (rig) => {
      const seen = rig.listen("#");
      const will = { topic: "w", payload: Buffer.from("x"), qos: 0 as const, retain: false };
      for (const reasonCode of [0, 4]) {
        const client = await connect(rig, "a", { will });
        client.send({ cmd: "disconnect", reasonCode });
        await client.closed();
        await until(() => rig.broker.client("a") === undefined);
        expect(seen).toHaveLength(reasonCode === 4 ? 1 : 0);
      }
    }));
});

describe("MQTT 5 PUBLISH", () => {
  test("properties arrive as they were sent, user properties in order [MQTT-3.3.2-18]", () =>
    withRig({}, async (rig) => {
      const sub = await connect(rig, "s");
      await sub.subscribe("t", 2);
      const pub = await connect(rig, "p");
      const properties = {
        payloadFormatIndicator: true,
        contentType: "text/plain",
        responseTopic: "r",
        correlationData: Buffer.from([1, 2]),
        userProperties: { b: ["2", "1"], a: "3" },
      };
      for (const qos of [0, 1, 2] as const) {
        pub.publish("t", "x", { qos, messageId: 1, properties });
        if (qos === 2) await pub.next("pubrec");
      }
      await until(() => sub.messages.length === 3);
      for (const message of sub.messages) {
        expect({
          ...message.properties,
          userProperties: { ...message.properties?.userProperties },
        }).toEqual(properties);
      }
    }));

  test("acknowledgements carry reason codes: 0x10 without a subscriber, 0x87 denied", () =>
    withRig({ isAllowed: ({ topic }) => topic !== "secret" }, async (rig) => {
      const pub = await connect(rig, "p");
      pub.publish("nobody", "x", { qos: 1, messageId: 1 });
      expect(await pub.next("puback")).toMatchObject({ messageId: 1, reasonCode: 0x10 });
      pub.publish("secret", "x", { qos: 2, messageId: 2 });
      expect(await pub.next("pubrec")).toMatchObject({ messageId: 2, reasonCode: 0x87 });
      pub.send({ cmd: "pubrel", messageId: 2 });
      expect(await pub.next("pubcomp")).toMatchObject({ messageId: 2, reasonCode: 0x92 });
    }));

  test("a message expires while it waits, and its interval is counted down [MQTT-3.3.2-5] [MQTT-3.3.2-6]", () =>
    withRig({}, async (rig) => {
      const keep = { clean: false, properties: { sessionExpiryInterval: 600 } };
      const sub = await connect(rig, "s", keep);
      await sub.subscribe("t", 1);
      sub.drop();
      await until(() => rig.broker.client("s")?.isConnected === false);
      const pub = await connect(rig, "p");
      for (const [messageExpiryInterval, text] of [
        [5, "short"],
        [100, "long"],
      ] as const) {
        pub.publish("t", text, { qos: 1, messageId: 1, properties: { messageExpiryInterval } });
        await pub.next("puback");
      }
      rig.memory.skewMs += 10_000;
      const again = await connect(rig, "s", keep);
      await until(() => again.messages.length > 0);
      expect(again.texts).toEqual(["long"]);
      expect(again.messages[0]?.properties?.messageExpiryInterval).toBeLessThanOrEqual(90);
      expect(rig.broker.counters().dropped.expired).toBe(1);
    }));

  test("topic aliases work in both directions [MQTT-3.3.2-8] [MQTT-3.3.2-10]", () =>
    withRig({}, async (rig) => {
      const sub = await connect(rig, "s", { properties: { topicAliasMaximum: 1 } });
      await sub.subscribe("#", 0);
      const pub = await connect(rig, "p");
      pub.publish("some/topic", "1", { properties: { topicAlias: 1 } });
      pub.publish("", "2", { properties: { topicAlias: 1 } });
      pub.publish("other/topic", "3", { properties: { topicAlias: 1 } });
      pub.publish("", "4", { properties: { topicAlias: 1 } });
      await until(() => sub.messages.length === 4);
      const seen = sub.messages.map(({ topic, properties }) => [topic, properties?.topicAlias]);
      expect(seen).toEqual([
        ["some/topic", 1],
        ["", 1],
        ["other/topic", undefined],
        ["other/topic", undefined],
      ]);
      pub.publish("t", "x", { properties: { topicAlias: 60_000 } });
      expect(await disconnectCode(pub)).toBe(0x94);
    }));

  test("the client's Receive Maximum holds back, its Maximum Packet Size drops [MQTT-3.3.4-9] [MQTT-3.1.2-24]", () =>
    withRig({}, async (rig) => {
      const properties = { receiveMaximum: 2, maximumPacketSize: 60 };
      const sub = await connect(rig, "s", { properties });
      await sub.subscribe("t", 1);
      for (let n = 0; n < 5; n++) await rig.publish("t", `${n}`, { qos: 1 });
      await rig.publish("t", "x".repeat(100), { qos: 1 });
      await rig.publish("t", "last", { qos: 1 });
      await sub.settle();
      expect(sub.texts).toEqual(["0", "1"]);
      for (let n = 0; n < 6; n++) {
        await until(() => sub.messages.length > n);
        sub.send({ cmd: "puback", messageId: sub.messages[n]?.messageId ?? 0 });
      }
      expect(sub.texts).toEqual(["0", "1", "2", "3", "4", "last"]);
      expect(rig.broker.counters().dropped.too_large).toBe(1);
    }));

  test("more QoS 2 messages than the server's Receive Maximum end the connection with 0x93", () =>
    withRig({ mqtt: { max_awaiting_rel: 3 } }, async (rig) => {
      const pub = await WireClient.open(rig.tcpPort);
      pub.connect("p");
      expect(await pub.next("connack")).toMatchObject({ properties: { receiveMaximum: 3 } });
      for (const messageId of [1, 2, 3, 3, 4]) pub.publish("t", "x", { qos: 2, messageId });
      expect(await disconnectCode(pub)).toBe(0x93);
    }));
});

describe("MQTT 5 SUBSCRIBE", () => {
  test("one copy carries all subscription identifiers and the highest QoS [MQTT-3.3.4-4]", () =>
    withRig({}, async (rig) => {
      const sub = await connect(rig, "s");
      sub.isAnswering = true;
      await sub.subscribe("a/#", 0, {}, { subscriptionIdentifier: 7 });
      await sub.subscribe("a/+", 2, {}, { subscriptionIdentifier: 300_000 });
      await sub.subscribe("a/b", 1);
      await rig.publish("a/b", "x", { qos: 2 });
      await until(() => sub.messages.length > 0);
      await sub.settle();
      expect(sub.messages).toHaveLength(1);
      const [message] = sub.messages;
      expect(message?.qos).toBe(2);
      const ids: unknown = message?.properties?.subscriptionIdentifier;
      expect([ids].flat().sort()).toEqual([300_000, 7]);
    }));

  test("no local, retain as published and retain handling [MQTT-3.8.3-3] [MQTT-3.3.1-10]", () =>
    withRig({}, async (rig) => {
      const client = await connect(rig, "c");
      await client.subscribe("own", 0, { nl: true });
      await client.subscribe("rap", 0, { rap: true });
      await client.subscribe("plain", 0);
      client.publish("own", "no");
      client.publish("rap", "1", { retain: true });
      client.publish("plain", "2", { retain: true });
      await client.settle();
      expect(client.messages.map(({ topic, retain }) => [topic, retain])).toEqual([
        ["rap", true],
        ["plain", false],
      ]);
      const counts: number[] = [];
      for (const rh of [2, 1, 1, 0]) {
        if (rh === 1 && counts.length === 1) {
          client.send({ cmd: "unsubscribe", messageId: 5, unsubscriptions: ["rap"] });
          await client.next("unsuback");
        }
        const before = client.messages.length;
        await client.subscribe("rap", 0, { rh });
        await client.settle();
        counts.push(client.messages.length - before);
      }
      expect(counts).toEqual([0, 1, 0, 1]);
    }));

  test("a shared subscription gives each message to one member, and to another when that one leaves", () =>
    withRig({}, async (rig) => {
      const members = await Promise.all(["a", "b", "c"].map((id) => connect(rig, id)));
      for (const member of members) await member.subscribe("$share/g/t/#", 1);
      for (let n = 0; n < 30; n++) await rig.publish("t/x", `${n}`, { qos: 1 });
      for (const member of members) {
        await member.settle();
        expect(member.messages).toHaveLength(10);
      }
      const [a, b, c] = members;
      for (const { messageId } of b?.messages ?? [])
        b?.send({ cmd: "puback", messageId: messageId ?? 0 });
      a?.drop();
      const all = () => new Set([...(b?.texts ?? []), ...(c?.texts ?? [])]);
      await until(() => all().size === 30);
      expect(b?.texts.length).toBe(15);
      expect(c?.texts.length).toBe(15);
    }));

  test("an unknown filter is answered with 0x11, a broken one ends the connection with 0x8F", () =>
    withRig({}, async (rig) => {
      const client = await connect(rig, "c");
      client.send({ cmd: "unsubscribe", messageId: 5, unsubscriptions: ["t"] });
      expect(await client.next("unsuback")).toMatchObject({ granted: [0x11] });
      client.send({ cmd: "subscribe", messageId: 6, subscriptions: [{ topic: "a/#/b", qos: 0 }] });
      expect(await disconnectCode(client)).toBe(0x8f);
    }));
});

describe("QoS 2", () => {
  test("a PUBLISH repeated before PUBREL is not delivered twice, over reconnects and restarts [MQTT-4.3.3-10]", () =>
    withRig({}, async (rig) => {
      const seen = rig.listen("t").length;
      expect(seen).toBe(0);
      const keep = { clean: false, properties: { sessionExpiryInterval: 600 } };
      const keeper = await connect(rig, "keeper", keep);
      await keeper.subscribe("t", 2);
      keeper.drop();
      let pub = await connect(rig, "p", keep);
      const again: Partial<IPublishPacket> = { qos: 2, messageId: 9 };
      pub.publish("t", "once", again);
      await pub.next("pubrec");
      for (const restart of [false, true]) {
        if (restart) await rig.crash();
        else pub.drop();
        pub = await connect(rig, "p", keep);
        pub.publish("t", "once", { ...again, dup: true });
        await pub.next("pubrec");
      }
      pub.send({ cmd: "pubrel", messageId: 9 });
      await pub.next("pubcomp");
      await rig.crash();
      pub = await connect(rig, "p", keep);
      pub.publish("t", "twice", again);
      await pub.next("pubrec");
      const reader = await WireClient.open(rig.tcpPort);
      reader.isAnswering = true;
      reader.connect("keeper", keep);
      await until(() => reader.messages.length >= 2);
      await reader.settle();
      expect(reader.texts).toEqual(["once", "twice"]);
    }));

  test("after PUBREC only PUBREL is repeated, also after a crash [MQTT-4.4.0-1]", () =>
    withRig({}, async (rig) => {
      const keep = { clean: false, properties: { sessionExpiryInterval: 600 } };
      let sub = await connect(rig, "s", keep);
      await sub.subscribe("t", 2);
      await rig.publish("t", "x", { qos: 2 });
      const { messageId = 0 } = await sub.next("publish");
      sub.send({ cmd: "pubrec", messageId });
      await sub.next("pubrel");
      await rig.crash();
      sub = await connect(rig, "s", keep);
      expect(await sub.next("pubrel")).toMatchObject({ messageId });
      sub.send({ cmd: "pubcomp", messageId });
      await sub.settle();
      expect(sub.messages).toEqual([]);
      await rig.restart();
      sub = await connect(rig, "s", keep);
      await sub.settle();
      expect(sub.packets.some(({ cmd }) => cmd === "pubrel")).toBe(false);
    }));
});

describe("order and redelivery", () => {
  test("what was not acknowledged comes again first, with DUP and the same identifier [MQTT-4.4.0-1] [MQTT-4.6.0-1]", () =>
    withRig({}, async (rig) => {
      const keep = { clean: false, properties: { sessionExpiryInterval: 600, receiveMaximum: 10 } };
      const sub = await connect(rig, "s", keep);
      await sub.subscribe("t", 1);
      for (let n = 0; n < 600; n++) await rig.publish("t", `${n}`, { qos: 1 });
      await until(() => sub.messages.length === 10);
      const sent = sub.messages;
      sub.send({ cmd: "puback", messageId: sent[0]?.messageId ?? 0 });
      sub.send({ cmd: "puback", messageId: sent[3]?.messageId ?? 0 });
      await until(() => sub.messages.length === 12);
      sub.drop();
      await until(() => rig.broker.client("s")?.isConnected === false);
      await rig.publish("t", "600", { qos: 1 });
      const again = await WireClient.open(rig.tcpPort);
      again.isAnswering = true;
      again.connect("s", keep);
      await until(() => again.texts.includes("600"));
      const rest = Array.from({ length: 601 }, (_, n) => `${n}`).filter(
        (t) => t !== "0" && t !== "3",
      );
      expect(again.texts).toEqual(rest);
      expect(again.messages.map(({ dup }) => dup).lastIndexOf(true)).toBe(9);
      const ids = sub.messages.map(({ messageId }) => messageId);
      expect(again.messages.slice(0, 10).map(({ messageId }) => messageId)).toEqual(
        ids.filter((_, n) => n !== 0 && n !== 3),
      );
    }));

  test("a 3.x bridge does not get its own messages back and keeps the retain flag", () =>
    withRig({}, async (rig) => {
      const bridge = await WireClient.open(rig.tcpPort, 4);
      bridge.connect("bridge", { protocolVersion: 4, bridgeMode: true } as object);
      expect(await bridge.next("connack")).toMatchObject({ returnCode: 0 });
      await bridge.subscribe("#", 0);
      bridge.publish("own", "x");
      await rig.publish("kept", "x", { retain: true });
      await bridge.settle();
      expect(bridge.messages.map(({ topic, retain }) => [topic, retain])).toEqual([["kept", true]]);
    }));

  test("3.1 clients are served as 3.1.1 ones", () =>
    withRig({}, async (rig) => {
      const client = await connect(rig, "old", {}, 3);
      client.isAnswering = true;
      await client.subscribe("t", 2);
      client.publish("t", "x", { qos: 2, messageId: 1 });
      await client.next("pubcomp");
      await until(() => client.texts.length === 1);
    }));
});

describe("Maximum Packet Size of a client", () => {
  test("CONNACK leaves out what does not fit, and is not sent where nothing fits [MQTT-3.1.2-24]", () =>
    withRig({}, async (rig) => {
      for (const maximumPacketSize of [1, 4, 5, 12]) {
        const client = await WireClient.open(rig.tcpPort);
        client.connect("c", { properties: { maximumPacketSize } });
        if (maximumPacketSize < 5) {
          await client.closed();
          expect(client.packets).toEqual([]);
        } else {
          expect(await client.next("connack")).toMatchObject({ reasonCode: 0 });
          client.drop();
        }
      }
    }));

  test("a client that takes no SUBACK or UNSUBACK of that size is disconnected with 0x95 [MQTT-3.1.2-24]", () =>
    withRig({}, async (rig) => {
      const filters = Array.from({ length: 60 }, (_, n) => `f/${n}`);
      for (const cmd of ["subscribe", "unsubscribe"] as const) {
        const client = await WireClient.connect(rig.tcpPort, "c", {
          properties: { maximumPacketSize: 40 },
        });
        const subscriptions = filters.map((topic) => ({ topic, qos: 0 as const }));
        if (cmd === "subscribe") client.send({ cmd, messageId: 1, subscriptions });
        else client.send({ cmd, messageId: 1, unsubscriptions: filters });
        expect(await client.next("disconnect")).toMatchObject({ reasonCode: 0x95 });
        await client.closed();
      }
    }));
});

test("SUBSCRIBE and UNSUBSCRIBE without a filter are a Protocol Error, cut off ones malformed [MQTT-4.13.1-1]", () =>
  withRig({}, async (rig) => {
    for (const [bytes, code] of [
      [[0x82, 3, 0, 1, 0], 0x82],
      [[0xa2, 3, 0, 1, 0], 0x82],
      [[0x82, 2, 0, 1], 0x81],
      [[0xa2, 2, 0, 1], 0x81],
    ] as const) {
      const client = await WireClient.connect(rig.tcpPort, "c");
      client.socket.write(Buffer.from(bytes));
      expect(await disconnectCode(client)).toBe(code);
    }
  }));

test("a shared message that has expired is not handed to another member [MQTT-3.3.2-5]", () =>
  withRig({}, async (rig) => {
    const members = await Promise.all(["a", "b"].map((id) => WireClient.connect(rig.tcpPort, id)));
    for (const member of members) await member.subscribe("$share/g/t", 1);
    const pub = await WireClient.connect(rig.tcpPort, "p");
    pub.publish("t", "old", { qos: 1, messageId: 1, properties: { messageExpiryInterval: 1 } });
    await until(() => members.some(({ texts }) => texts.length === 1));
    rig.memory.skewMs += 5000;
    const [holder, other] = members[0]?.texts.length === 1 ? members : members.toReversed();
    holder?.drop();
    await until(() => rig.broker.counters().dropped.expired === 1);
    await rig.publish("t", "new", { qos: 1 });
    await until(() => other?.texts.includes("new") === true);
    expect(other?.texts).toEqual(["new"]);
  }));

test("a padded Remaining Length of a 3.1.1 client is not passed on to others", () =>
  withRig({}, async (rig) => {
    const reader = await connect(rig, "reader", {}, 4);
    reader.send({
      cmd: "subscribe",
      messageId: 1,
      subscriptions: [{ topic: "t", qos: 0 }],
    });
    await reader.next("suback");
    const chunks: Buffer[] = [];
    reader.socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    const writer = await connect(rig, "writer", {}, 4);
    writer.socket.write(Buffer.from("3084800000017478", "hex"));
    expect(await reader.next("publish")).toMatchObject({ topic: "t", payload: Buffer.from("x") });
    expect(Buffer.concat(chunks).toString("hex")).toBe("3004" + "00017478");
  }));
