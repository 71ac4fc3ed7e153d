import { afterEach, beforeEach, expect, test } from "vitest";
import { createTopicMetricsService } from "../../services/watching.ts";
import { ManualClock } from "../../time/index.ts";
import { createTopicMetrics, type TopicMetrics } from "../../topic-metrics/index.ts";
import { startApi, type TestRoutes } from "./kit/kit.testing.ts";
import { topicMetricsRoutes } from "./topic-metrics.ts";
import { liveConfiguration } from "./watching.testing.ts";

const PATH = "/mqtt/topic_metrics";

let api: TestRoutes;
let counter: TopicMetrics;
let configuration: ReturnType<typeof liveConfiguration>;

beforeEach(async () => {
  const broker = { observe: () => () => undefined };
  counter = createTopicMetrics({ clock: new ManualClock(), broker }, []);
  configuration = liveConfiguration((next) => counter.configure(next.topic_metrics));
  const topicMetrics = createTopicMetricsService(configuration, counter);
  api = await startApi(topicMetricsRoutes({ topicMetrics }));
});

afterEach(() => api.close());

test("a topic is registered, shown, reset and removed, and is part of the configuration", async () => {
  const post = await api.call("POST", PATH, { body: { topic: "a/b" } });
  expect(post).toMatchObject({ status: 200, body: { topic: "a/b" } });
  expect(configuration.current().topic_metrics).toEqual(["a/b"]);
  const list = await api.call("GET", PATH);
  expect(list).toMatchObject({
    status: 200,
    body: [{ topic: "a/b", metrics: { "messages.in.count": 0, "messages.qos2.out.rate": 0 } }],
  });
  const [row] = list.body as [{ metrics: object; reset_time?: string }];
  expect(Object.keys(row.metrics)).toHaveLength(18);
  expect(row).not.toHaveProperty("reset_time");
  expect(await api.call("PUT", PATH, { body: { action: "reset", topic: "a/b" } })).toMatchObject({
    status: 204,
  });
  expect(await api.call("PUT", PATH, { body: { action: "reset" } })).toMatchObject({ status: 204 });
  const one = await api.call("GET", `${PATH}/a%2Fb`);
  expect(one).toMatchObject({ status: 200, body: { reset_time: expect.any(String) } });
  expect(await api.call("DELETE", `${PATH}/a%2Fb`)).toMatchObject({ status: 204 });
  expect(await api.call("GET", PATH)).toMatchObject({ body: [] });
  expect(configuration.current().topic_metrics).toEqual([]);
});

test("wildcards, repetitions, nothing, and too many topics are refused in EMQX's words", async () => {
  const refused = async (topic: unknown, status: number, code: string) =>
    expect(await api.call("POST", PATH, { body: { topic } }), String(topic)).toMatchObject({
      status,
      body: { code },
    });
  await refused("a/+", 400, "BAD_TOPIC");
  await refused("#", 400, "BAD_TOPIC");
  await refused("", 400, "BAD_REQUEST");
  await refused(7, 400, "BAD_REQUEST");
  await api.call("POST", PATH, { body: { topic: "a" } });
  await refused("a", 400, "BAD_TOPIC");
  const many = Array.from({ length: 512 }, (_, i) => `t/${i}`);
  await configuration.change(async () => ({ patch: { topic_metrics: many } }));
  await refused("one/more", 409, "EXCEED_LIMIT");
});

test("a topic that is not counted is not found", async () => {
  const missing = { status: 404, body: { code: "TOPIC_NOT_FOUND" } };
  expect(await api.call("GET", `${PATH}/x`)).toMatchObject(missing);
  expect(await api.call("DELETE", `${PATH}/x`)).toMatchObject(missing);
  const reset = await api.call("PUT", PATH, { body: { action: "reset", topic: "x" } });
  expect(reset).toMatchObject(missing);
  expect(await api.call("PUT", PATH, { body: { action: "stop" } })).toMatchObject({ status: 400 });
});
