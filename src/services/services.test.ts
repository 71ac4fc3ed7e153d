import { expect, test } from "vitest";
import { createLog } from "../log/index.ts";
import { METRIC_NAMES, type QoS, topicFilter } from "../mqtt/index.ts";
import { ManualClock } from "../time/index.ts";
import { createClients } from "./clients.ts";
import { configWith } from "./configuration/memory-config-store.testing.ts";
import { createControl } from "./control.ts";
import { clientInfo, FakeBroker, subscriptionInfo } from "./fake-broker.testing.ts";
import { createLiveSettings } from "./live-settings.ts";
import { bridgeMetrics, createMetrics, ruleMetrics } from "./metrics.ts";
import { createPublisher, type PublishRequest } from "./publish.ts";
import { createStatistics } from "./statistics.ts";
import { createSubscriptions } from "./subscriptions.ts";

const silent = createLog({ level: "fatal" }, { write: () => undefined });

function row(clientId: string, filter: string, qos: QoS = 0) {
  return subscriptionInfo(clientId, { filter: topicFilter(filter), qos });
}

test("clients are found by every condition, and all conditions must fit", async () => {
  const broker = new FakeBroker();
  broker.add(
    clientInfo("a", { username: "ann", protocolVersion: 5 }),
    clientInfo("b", { username: "ann", cleanStart: false }),
    clientInfo("c", { isConnected: false, cleanStart: false, protocolVersion: 3 }),
  );
  const { find } = createClients({ directory: broker });
  const ids = async (filter?: Parameters<typeof find>[0]) =>
    (await find(filter)).map(({ clientId }) => clientId).join("");
  expect(await ids()).toBe("abc");
  expect(await ids({ clientId: "b" })).toBe("b");
  expect(await ids({ clientId: "nobody" })).toBe("");
  expect(await ids({ clientId: "b", username: "other" })).toBe("");
  expect(await ids({ username: "ann" })).toBe("ab");
  expect(await ids({ isConnected: false })).toBe("c");
  expect(await ids({ cleanStart: false })).toBe("bc");
  expect(await ids({ protocolVersion: 3 })).toBe("c");
  expect(await ids({ username: "ann", protocolVersion: 5 })).toBe("a");
});

test("a long list of subscriptions lets other work in between", async () => {
  const broker = new FakeBroker();
  for (let i = 0; i < 5_000; i++) broker.rows.push(row(`c${i % 1_000}`, `t/${i}`));
  const subscriptions = createSubscriptions({ directory: broker });
  let isDone = false;
  const byClient = subscriptions.byClient().finally(() => {
    isDone = true;
  });
  await new Promise((resolve) => setImmediate(resolve));
  expect(isDone).toBe(false);
  expect((await byClient).size).toBe(1_000);
  expect(await subscriptions.find({ clientId: "c7" })).toHaveLength(5);
});

test("subscribing on behalf of a client checks filters and QoS before anything changes", async () => {
  const broker = new FakeBroker();
  broker.add(clientInfo("c"));
  const subscriptions = createSubscriptions({ directory: broker });
  await subscriptions.subscribe("c", ["a/#", "$share/g/b"], 2);
  expect(broker.rows).toEqual([row("c", "a/#", 2), row("c", "$share/g/b", 2)]);
  await subscriptions.unsubscribe("c", ["a/#", "never/there"]);
  expect(broker.rows).toEqual([row("c", "$share/g/b", 2)]);
  await expect(subscriptions.subscribe("c", ["ok", "a/#/b"], 0)).rejects.toMatchObject({
    code: "MQTT_FILTER_INVALID",
  });
  await expect(subscriptions.subscribe("c", ["ok"], 3)).rejects.toMatchObject({
    code: "MQTT_QOS_INVALID",
  });
  await expect(subscriptions.unsubscribe("nobody", ["ok"])).rejects.toMatchObject({
    code: "CLIENT_NOT_FOUND",
  });
  expect(broker.rows).toHaveLength(1);
});

test("statistics add up all drops and count sessions with a subscription once", async () => {
  const clock = new ManualClock();
  const broker = new FakeBroker();
  broker.add(clientInfo("a"), clientInfo("b", { isConnected: false }));
  broker.rows.push(row("b", "x"), row("b", "y"));
  broker.count = {
    received: 10,
    sent: 20,
    dropped: { no_subscriber: 1, queue_full: 2, expired: 3, too_large: 4, rejected: 5 },
  };
  const statistics = createStatistics(
    {
      clock,
      broker,
      telemetry: { snapshot: () => ({ cpu_temp_c: null }) },
      serialPorts: () => [{ name: "meter" }],
      configStatus: () => ({
        restartPending: false,
        onTrial: false,
        confirmS: null,
        rolledBack: null,
      }),
      isReady: () => true,
    },
    { version: "1.2.3" },
  );
  clock.advance(5_000);
  expect(await statistics.messages()).toEqual({
    subscribers: 1,
    received: 10,
    sent: 20,
    dropped: 15,
  });
  expect(statistics.device()).toEqual({ cpu_temp_c: null, serial: { meter: { name: "meter" } } });
  expect(statistics.node()).toMatchObject({ version: "1.2.3", uptimeMs: 5_000, connections: 1 });
});

function publisher(maxPacketSizeBytes = 1_000) {
  const broker = new FakeBroker();
  const { publish } = createPublisher({
    bus: broker,
    maxPacketSizeBytes: () => maxPacketSizeBytes,
  });
  const request = (more: Partial<PublishRequest>): PublishRequest => ({
    topics: ["t"],
    payload: "p",
    decodeFrom: "plain",
    encodeTo: "plain",
    qos: 0,
    retain: false,
    clientId: "api",
    properties: {},
    ...more,
  });
  return {
    broker,
    publish: (more: Partial<PublishRequest>) => publish(request(more)),
  };
}

test("a published message says which API client it came from", async () => {
  const { broker, publish } = publisher();
  await publish({ topics: ["a/b"], payload: "grüß", qos: 1, retain: true, clientId: "tool" });
  expect(broker.published).toEqual([
    {
      topic: "a/b",
      payload: Buffer.from("grüß"),
      qos: 1,
      retain: true,
      origin: { kind: "api", clientId: "tool", serial: expect.any(String) },
    },
  ]);
});

test.each([
  ["plain", "plain", "aGk=", "aGk="],
  ["base64", "plain", "aGk=", "hi"],
  ["base64", "plain", "aGk", "hi"],
  ["plain", "base64", "hi", "aGk="],
  ["base64", "base64", "aGk=", "aGk="],
] as const)(
  "payload from %s to %s: %s becomes %s",
  async (decodeFrom, encodeTo, text, expected) => {
    const { broker, publish } = publisher();
    await publish({ payload: text, decodeFrom, encodeTo });
    expect(broker.published[0]?.payload.toString()).toBe(expected);
  },
);

test.each([
  ["a wildcard topic", { topics: ["a/+"] }, "MQTT_TOPIC_INVALID"],
  ["an empty topic", { topics: [""] }, "MQTT_TOPIC_INVALID"],
  ["a topic in $SYS", { topics: ["$SYS/brokers/x"] }, "MQTT_TOPIC_INVALID"],
  ["$SYS itself", { topics: ["$SYS"] }, "MQTT_TOPIC_INVALID"],
  ["one bad topic of two", { topics: ["good", "a/#"] }, "MQTT_TOPIC_INVALID"],
  ["QoS 3", { qos: 3 }, "MQTT_QOS_INVALID"],
  ["an empty client id", { clientId: "" }, "MQTT_CLIENT_ID_INVALID"],
  ["broken base64", { payload: "a*b", decodeFrom: "base64" as const }, "PAYLOAD_NOT_BASE64"],
  ["a message over the packet limit", { payload: "x".repeat(1_000) }, "MESSAGE_TOO_LARGE"],
  ["a wildcard response topic", { properties: { response_topic: "a/#" } }, "MQTT_TOPIC_INVALID"],
  ["a negative expiry", { properties: { message_expiry_interval: -1 } }, "PARAMETER_INVALID"],
  [
    "an expiry over 32 bits",
    { properties: { message_expiry_interval: 2 ** 32 } },
    "PARAMETER_INVALID",
  ],
  ["a numeric content type", { properties: { content_type: 5 } }, "PARAMETER_INVALID"],
  [
    "a NUL in a user property",
    { properties: { user_properties: { a: "\0" } } },
    "PARAMETER_INVALID",
  ],
  ["a list of user properties", { properties: { user_properties: [] } }, "PARAMETER_INVALID"],
])("%s is refused and nothing is published", async (_, more, code) => {
  const { broker, publish } = publisher();
  await expect(publish(more)).rejects.toMatchObject({ code });
  expect(broker.published).toEqual([]);
});

test("MQTT 5 properties are read by their snake_case names [MQTT 5.0 §3.3.2.3]", async () => {
  const { broker, publish } = publisher();
  await publish({
    properties: {
      payload_format_indicator: 1,
      message_expiry_interval: 60,
      content_type: "text/plain",
      response_topic: "re/ply",
      correlation_data: "id-1",
      subscription_identifier: 7,
      user_properties: { b: "2", a: "1" },
    },
  });
  expect(broker.published[0]?.properties).toEqual({
    payloadFormatIndicator: true,
    messageExpiryInterval: 60,
    contentType: "text/plain",
    responseTopic: "re/ply",
    correlationData: Buffer.from("id-1"),
    userProperties: [
      ["b", "2"],
      ["a", "1"],
    ],
  });
});

test("the exit waits for the answer, and only the first request counts", async () => {
  const clock = new ManualClock();
  const exits: string[] = [];
  const control = createControl({ log: silent, clock, requestExit: (kind) => exits.push(kind) });
  const answer = Promise.withResolvers<void>();
  control.request("restart", answer.promise);
  control.request("stop", Promise.resolve());
  await Promise.resolve();
  expect(exits).toEqual([]);
  answer.resolve();
  await answer.promise;
  await Promise.resolve();
  expect(exits).toEqual(["restart"]);
});

test("a caller that does not take its answer holds the exit up for two seconds at most", async () => {
  const clock = new ManualClock();
  const exits: string[] = [];
  const control = createControl({ log: silent, clock, requestExit: (kind) => exits.push(kind) });
  const answer = Promise.withResolvers<void>();
  control.request("stop", answer.promise);
  clock.advance(2_000);
  expect(exits).toEqual(["stop"]);
  answer.resolve();
  await answer.promise;
  await Promise.resolve();
  expect(exits).toEqual(["stop"]);
});

function liveSettings(patch: Parameters<typeof configWith>[0] = {}, hasBridge = true) {
  const broker = new FakeBroker();
  const calls: unknown[] = [];
  const service = createLiveSettings(
    {
      broker,
      auth: { setAllowAnonymous: (value) => calls.push(["anonymous", value]) },
      listeners: { setMaxPacketSize: (bytes) => calls.push(["listeners", bytes]) },
      bridges: {
        setEnabled(name, isOn) {
          calls.push([name, isOn]);
          return hasBridge;
        },
      },
    },
    configWith(patch),
  );
  return { broker, calls, service };
}

test("live settings reach the parts they belong to and show in the view", () => {
  const { broker, calls, service } = liveSettings();
  service.apply({ msqLen: 7, allowAnonymous: true, isBridgeOn: true });
  expect(service.view()).toMatchObject({ msqLen: 7, allowAnonymous: true, isBridgeOn: true });
  expect(broker.reconfigured).toMatchObject([{ msqLen: 7 }]);
  expect(calls).toEqual([
    ["default", true],
    ["anonymous", true],
  ]);
});

test("a live setting out of range changes nothing at all", () => {
  const { broker, calls, service } = liveSettings();
  const before = service.view();
  expect(() => service.apply({ allowAnonymous: true, msqLen: 0 })).toThrow(/msqLen: 0/);
  expect(service.view()).toBe(before);
  expect(broker.reconfigured).toEqual([]);
  expect(calls).toEqual([]);
});

test("the bridge cannot be switched on live where none is configured", () => {
  const { service } = liveSettings({}, false);
  expect(() => service.apply({ isBridgeOn: true })).toThrow(/isBridgeOn/);
  expect(service.view().isBridgeOn).toBe(false);
});

test("metrics are put together from all who count, every name with 0 for nobody", () => {
  const rules = { superuser: 1, nomatch: 2, matchedAllow: 3, matchedDeny: 4 };
  const bridges = [{ status: { forwarded: 5 } }, { status: { forwarded: 6 } }];
  const metrics = createMetrics([
    { metrics: () => ({ "messages.received": 7 }) },
    { metrics: () => ruleMetrics(rules) },
    { metrics: () => bridgeMetrics(bridges) },
    { levels: () => ({ delayed: { now: 1, max: 8 } }) },
  ]);
  expect(metrics.counters()).toMatchObject({
    "messages.received": 7,
    "messages.sent": 0,
    "authorization.superuser": 1,
    "authorization.nomatch": 2,
    "authorization.matched_allow": 3,
    "authorization.matched_deny": 4,
    "actions.executed": 11,
    "actions.messages": 11,
  });
  expect(Object.keys(metrics.counters())).toEqual([...METRIC_NAMES]);
  expect(metrics.levels()).toMatchObject({
    delayed: { now: 1, max: 8 },
    sessions: { now: 0, max: 0 },
  });
});
