import { expect, test } from "vitest";
import { METRIC_DOCS, type Metrics } from "../mqtt/index.ts";
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

/** Only the counters that are not 0. */
function counted(rig: Rig): Partial<Metrics> {
  return Object.fromEntries(Object.entries(rig.broker.metrics()).filter(([, count]) => count > 0));
}

test("every packet between a publisher and a subscriber is counted by type and QoS", () =>
  withRig({}, async (rig) => {
    const client = await connect(rig, "c");
    client.isAnswering = true;
    await client.subscribe("t", 2);
    for (const qos of [0, 1, 2] as const) {
      client.publish("t", "x", { qos, messageId: 7 + qos });
      await until(() => client.messages.length === qos + 1);
    }
    await client.settle();
    client.send({ cmd: "unsubscribe", messageId: 3, unsubscriptions: ["t"] });
    await client.next("unsuback");
    await until(() => rig.broker.metrics()["packets.pubcomp.received"] === 1);
    client.send({ cmd: "disconnect" });
    await client.closed();
    expect(counted(rig)).toEqual({
      "bytes.received": client.socket.bytesWritten,
      "bytes.sent": client.socket.bytesRead,
      "packets.received": 12,
      "packets.sent": 11,
      "packets.connect.received": 1,
      "packets.connack.sent": 1,
      "packets.publish.received": 3,
      "packets.publish.sent": 3,
      "packets.puback.received": 1,
      "packets.puback.sent": 1,
      "packets.pubrec.received": 1,
      "packets.pubrec.sent": 1,
      "packets.pubrel.received": 1,
      "packets.pubrel.sent": 1,
      "packets.pubcomp.received": 1,
      "packets.pubcomp.sent": 1,
      "packets.subscribe.received": 1,
      "packets.suback.sent": 1,
      "packets.unsubscribe.received": 1,
      "packets.unsuback.sent": 1,
      "packets.pingreq.received": 1,
      "packets.pingresp.sent": 1,
      "packets.disconnect.received": 1,
      "messages.received": 3,
      "messages.sent": 3,
      "messages.qos0.received": 1,
      "messages.qos0.sent": 1,
      "messages.qos1.received": 1,
      "messages.qos1.sent": 1,
      "messages.qos2.received": 1,
      "messages.qos2.sent": 1,
      "messages.publish": 3,
      "messages.delivered": 3,
      "messages.acked": 2,
      "client.connect": 1,
      "client.connack": 1,
      "client.connected": 1,
      "client.disconnected": 1,
      "client.authenticate": 1,
      "client.post_authn": 1,
      "client.auth.anonymous": 1,
      "client.authorize": 4,
      "client.subscribe": 1,
      "client.unsubscribe": 1,
      "session.created": 1,
      "session.terminated": 1,
      "authorization.allow": 4,
      "authorization.cache_miss": 4,
      "authentication.success": 1,
      "authentication.success.anonymous": 1,
    });
  }));

test("acknowledgements with unknown or misused identifiers are counted as missed or in use", () =>
  withRig({}, async (rig) => {
    const client = await connect(rig, "c");
    await client.subscribe("t", 2);
    for (const cmd of ["puback", "pubrec", "pubrel", "pubcomp"] as const) {
      client.send({ cmd, messageId: 77 });
    }
    await rig.publish("t", "x", { qos: 2 });
    const { messageId = 0 } = await client.next("publish");
    client.send({ cmd: "puback", messageId });
    client.send({ cmd: "pubcomp", messageId });
    client.send({ cmd: "pubrec", messageId });
    client.send({ cmd: "pubrec", messageId });
    client.publish("u", "x", { qos: 2, messageId: 5 });
    client.publish("u", "x", { qos: 2, messageId: 5, dup: true });
    await client.settle();
    expect(rig.broker.metrics()).toMatchObject({
      "packets.puback.missed": 1,
      "packets.pubrec.missed": 1,
      "packets.pubrel.missed": 1,
      "packets.pubcomp.missed": 1,
      "packets.puback.inuse": 1,
      "packets.pubcomp.inuse": 1,
      "packets.pubrec.inuse": 1,
      "packets.publish.inuse": 1,
      "messages.acked": 0,
      "messages.publish": 2,
    });
  }));

test("denied and faulty packets are counted by what was wrong with them", () =>
  withRig({ isAllowed: ({ topic }) => !topic.startsWith("no") }, async (rig) => {
    const client = await connect(rig, "c");
    client.publish("no", "x", { qos: 1, messageId: 1 });
    client.publish("no", "x", { qos: 1, messageId: 2 });
    client.publish("yes", "x");
    expect(await client.subscribe("no", 0)).toEqual([0x87]);
    expect(rig.broker.metrics()).toMatchObject({
      "packets.publish.auth_error": 2,
      "packets.subscribe.auth_error": 1,
      "messages.dropped": 3,
      "messages.dropped.no_subscribers": 1,
      "authorization.allow": 1,
      "authorization.deny": 3,
      "authorization.cache_miss": 4,
    });
    client.publish("a", "x", { qos: 1, messageId: 1, properties: { topicAlias: 60_000 } });
    await client.closed();
    const other = await connect(rig, "d");
    other.socket.write(Uint8Array.from([0x82, 2, 0, 1]));
    await other.closed();
    const third = await connect(rig, "e");
    third.socket.write(Uint8Array.from([0xa2, 2, 0, 1]));
    await third.closed();
    expect(rig.broker.metrics()).toMatchObject({
      "packets.publish.error": 1,
      "packets.subscribe.error": 1,
      "packets.unsubscribe.error": 1,
      "packets.disconnect.sent": 3,
    });
  }));

test("a remembered answer of the access rules is a cache hit", () =>
  withRig({}, async (rig) => {
    const { authorizer } = rig.broker.aedes.engine;
    Object.assign(authorizer, { revision: () => 1 });
    const client = await connect(rig, "c");
    for (let i = 0; i < 5; i++) client.publish("t", "x");
    await client.settle();
    expect(rig.broker.metrics()).toMatchObject({
      "authorization.allow": 5,
      "authorization.cache_hit": 4,
      "authorization.cache_miss": 1,
    });
  }));

test("refused CONNECTs are counted, those for credentials apart", () =>
  withRig({}, async (rig) => {
    rig.verdict = "bad_credentials";
    expect(await rig.returnCodeOf({ clientId: "c", username: "u", password: "p" })).toBe(4);
    const client = await WireClient.open(rig.tcpPort);
    client.connect("c", { properties: { authenticationMethod: "SCRAM" } });
    await client.next("connack");
    const other = await WireClient.open(rig.tcpPort);
    other.connect("c", { will: { topic: "a/#", payload: Buffer.from(""), qos: 0, retain: false } });
    await other.next("connack");
    expect(rig.broker.metrics()).toMatchObject({
      "packets.connack.sent": 3,
      "packets.connack.error": 3,
      "packets.connack.auth_error": 2,
      "authentication.failure": 1,
      "authentication.success": 0,
      "client.connected": 0,
    });
  }));

test("copies that are not delivered are counted by reason", () =>
  withRig({ msqLen: 2 }, async (rig) => {
    const own = await connect(rig, "own");
    await own.subscribe("own", 0, { nl: true });
    own.publish("own", "x");
    const small = await connect(rig, "small", { properties: { maximumPacketSize: 30 } });
    await small.subscribe("big", 0);
    await rig.publish("big", "x".repeat(100));
    const away = await connect(rig, "away", {
      clean: false,
      properties: { sessionExpiryInterval: 60 },
    });
    await away.subscribe("t", 1);
    await own.settle();
    away.drop();
    await until(() => rig.broker.client("away")?.isConnected === false);
    await rig.publish("t", "qos 0");
    for (const text of ["1", "2", "3"]) await rig.publish("t", text, { qos: 1 });
    expect(rig.broker.metrics()).toMatchObject({
      "delivery.dropped": 4,
      "delivery.dropped.no_local": 1,
      "delivery.dropped.too_large": 1,
      "delivery.dropped.qos0_msg": 1,
      "delivery.dropped.queue_full": 1,
      "session.disconnected": 1,
    });
  }));

test("sessions are counted as created, resumed, taken over, discarded and ended", () =>
  withRig({}, async (rig) => {
    const keep = { clean: false, properties: { sessionExpiryInterval: 60 } };
    const first = await connect(rig, "c", keep);
    const second = await connect(rig, "c", keep);
    await first.closed();
    second.send({ cmd: "disconnect" });
    await second.closed();
    const third = await connect(rig, "c", { clean: true });
    third.send({ cmd: "disconnect" });
    await third.closed();
    await until(() => rig.broker.client("c") === undefined);
    expect(rig.broker.metrics()).toMatchObject({
      "session.created": 2,
      "session.resumed": 1,
      "session.takenover": 1,
      "session.discarded": 1,
      "session.terminated": 2,
      "client.connected": 3,
      "client.disconnected": 3,
    });
  }));

test("levels say what is now, and the most there ever was", () =>
  withRig({}, async (rig) => {
    const keep = { clean: false, properties: { sessionExpiryInterval: 60 } };
    const one = await connect(rig, "one", keep);
    await one.subscribe("a/+", 0);
    await one.subscribe("$share/g/a/+", 0);
    await one.subscribe("b", 0);
    await one.subscribe("b", 1);
    const two = await connect(rig, "two");
    await two.subscribe("b", 0);
    await rig.publish("r", "x", { retain: true });
    await rig.publish("s", "x", { retain: true });
    await rig.publish("s", "", { retain: true });
    one.drop();
    two.drop();
    await until(() => rig.broker.levels().live_connections.now === 0);
    expect(rig.broker.levels()).toMatchObject({
      connections: { now: 1, max: 2 },
      live_connections: { now: 0, max: 2 },
      sessions: { now: 1, max: 2 },
      topics: { now: 2, max: 2 },
      subscriptions: { now: 3, max: 4 },
      "subscriptions.shared": { now: 1, max: 1 },
      retained: { now: 1, max: 2 },
    });
    await rig.restart();
    expect(rig.broker.levels()).toMatchObject({
      sessions: { now: 1, max: 1 },
      topics: { now: 2 },
      subscriptions: { now: 3, max: 3 },
      retained: { now: 1, max: 1 },
    });
  }));

test("the engine's counters are names of the table", () =>
  withRig({}, async (rig) => {
    for (const name of Object.keys(rig.broker.metrics()))
      expect(METRIC_DOCS).toHaveProperty([name]);
  }));
