import { expect, test } from "vitest";
import { LiveGateway, until } from "./live-gateway.testing.ts";
import { topicFeatureRoutes } from "./topic-features.ts";

const start = () => LiveGateway.start((services) => topicFeatureRoutes(services));

const RULE = { action: "all", source_topic: "x/#", dest_topic: "z/y/$1", re: "^x/y/(.+)$" };

test("rules rewrite at once, stop at once, and survive a restart", async () => {
  const live = await start();
  const put = (body: unknown) => live.call("PUT", "/mqtt/topic_rewrite", { body });
  const device = await live.connect();
  await device.mqtt.subscribeAsync("z/#", { qos: 1 });
  await device.mqtt.publishAsync("x/y/1", "before", { qos: 1 });
  expect(await put([RULE])).toMatchObject({ status: 200, body: [RULE] });
  await device.mqtt.publishAsync("x/y/1", "rewritten", { qos: 1 });
  await until(() => device.received.length === 1);
  expect(device.received[0]).toMatchObject({ topic: "z/y/1", text: "rewritten" });

  await live.restart();
  expect((await live.call("GET", "/mqtt/topic_rewrite")).body).toEqual([RULE]);
  const again = await live.connect();
  await again.mqtt.subscribeAsync("x/y/+", { qos: 1 });
  await again.mqtt.publishAsync("z/y/1", "by the subscription", { qos: 1 });
  await until(() => again.received.length === 1);
  expect((await put([])).body).toEqual([]);
  await again.mqtt.subscribeAsync("x/y/2", { qos: 1 });
  await again.mqtt.publishAsync("x/y/2", "as it is", { qos: 1 });
  await until(() => again.received.length === 2);
  expect(again.received[1]).toMatchObject({ topic: "x/y/2" });
});

test("rules that cannot work, and too many, are refused and change nothing", async () => {
  const live = await start();
  const wrong: readonly (readonly [unknown, number, string])[] = [
    [[{ ...RULE, re: "(" }], 400, "BAD_REQUEST"],
    [[{ ...RULE, dest_topic: "z/#" }], 400, "BAD_REQUEST"],
    [[{ ...RULE, source_topic: "a#" }], 400, "BAD_REQUEST"],
    [[{ ...RULE, action: "none" }], 400, "BAD_REQUEST"],
    [[{ ...RULE, extra: 1 }], 400, "BAD_REQUEST"],
    [Array.from({ length: 20 }, () => RULE), 413, "EXCEED_LIMIT"],
  ];
  for (const [body, status, code] of wrong) {
    const answer = await live.call("PUT", "/mqtt/topic_rewrite", { body });
    expect(answer).toMatchObject({ status, body: { code } });
  }
  expect((await live.call("GET", "/mqtt/topic_rewrite")).body).toEqual([]);
});

test("clients that connect after a change are subscribed, also after a restart", async () => {
  const live = await start();
  const put = (body: unknown) => live.call("PUT", "/mqtt/auto_subscribe", { body });
  const row = { topic: "c/${clientid}", qos: 1, rh: 0, rap: 0, nl: 0 };
  expect(await put([{ topic: "c/${clientid}", qos: 1 }])).toMatchObject({
    status: 200,
    body: [row],
  });
  await live.restart();
  expect((await live.call("GET", "/mqtt/auto_subscribe")).body).toEqual([row]);
  const device = await live.connect({ clientId: "dev" });
  await device.mqtt.publishAsync("c/dev", "hello", { qos: 1 });
  await until(() => device.received.length === 1);
  await put([]);
  const late = await live.connect({ clientId: "late" });
  await late.mqtt.publishAsync("c/late", "nobody", { qos: 1 });
  await late.mqtt.publishAsync("c/dev", "still", { qos: 1 });
  await until(() => device.received.length === 2);
  expect(late.received).toEqual([]);
});

test("subscriptions that cannot work, and too many, are refused", async () => {
  const live = await start();
  const wrong: readonly (readonly [unknown, number, string])[] = [
    [[{ topic: "a/#/b" }], 400, "BAD_REQUEST"],
    [[{ topic: "$share/g/a", nl: 1 }], 400, "BAD_REQUEST"],
    [[{ topic: "a", qos: 3 }], 400, "BAD_REQUEST"],
    [Array.from({ length: 21 }, (_, n) => ({ topic: `a/${n}` })), 409, "EXCEED_LIMIT"],
  ];
  for (const [body, status, code] of wrong) {
    const answer = await live.call("PUT", "/mqtt/auto_subscribe", { body });
    expect(answer).toMatchObject({ status, body: { code } });
  }
});
