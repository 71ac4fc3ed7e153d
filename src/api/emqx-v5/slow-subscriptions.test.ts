import { afterEach, beforeEach, expect, test } from "vitest";
import { type Observer, topic } from "../../mqtt/index.ts";
import { createSlowSubscriptionsService } from "../../services/watching.ts";
import { createSlowSubscriptions, type SlowSubscriptions } from "../../slow-subscriptions/index.ts";
import { ManualClock } from "../../time/index.ts";
import { startApi, type TestRoutes } from "./kit/kit.testing.ts";
import { slowSubscriptionRoutes } from "./slow-subscriptions.ts";
import { liveConfiguration } from "./watching.testing.ts";

const NODE = "tidegate@127.0.0.1";
const SETTINGS = "/slow_subscriptions/settings";

let api: TestRoutes;
let finder: SlowSubscriptions;
let clock: ManualClock;
let observer: Observer | null;
let configuration: ReturnType<typeof liveConfiguration>;

beforeEach(async () => {
  clock = new ManualClock();
  observer = null;
  configuration = liveConfiguration((next) => finder.configure(next.slow_subs));
  const broker = {
    observe(given: Observer) {
      observer = given;
      return () => {
        observer = null;
      };
    },
  };
  finder = createSlowSubscriptions({ clock, broker }, configuration.current().slow_subs);
  await finder.start();
  const slowSubscriptions = createSlowSubscriptionsService(configuration, finder);
  api = await startApi(slowSubscriptionRoutes({ node: { name: NODE }, slowSubscriptions }));
});

afterEach(async () => {
  await api.close();
  await finder.stop();
});

test("settings are shown with their defaults, changed in part, and apply at once", async () => {
  expect(await api.call("GET", SETTINGS)).toMatchObject({
    status: 200,
    body: {
      enable: false,
      threshold: "500ms",
      expire_interval: "5m",
      top_k_num: 10,
      stats_type: "whole",
    },
  });
  const put = await api.call("PUT", SETTINGS, {
    body: { enable: true, threshold: "2s", expire_interval: "90s" },
  });
  expect(put).toMatchObject({
    status: 200,
    body: { enable: true, threshold: "2s", expire_interval: "90s", top_k_num: 10 },
  });
  expect(observer).not.toBeNull();
  expect(configuration.current().slow_subs).toMatchObject({ enable: true, threshold_ms: 2000 });
});

test("settings out of bounds are refused", async () => {
  for (const body of [
    { threshold: "2h" },
    { threshold: "soon" },
    { expire_interval: "1ms" },
    { top_k_num: 0 },
    { top_k_num: 1001 },
    { stats_type: "other" },
    { unknown: 1 },
  ]) {
    expect(await api.call("PUT", SETTINGS, { body }), JSON.stringify(body)).toMatchObject({
      status: 400,
      body: { code: "BAD_REQUEST" },
    });
  }
});

test("slow deliveries are listed and can be forgotten", async () => {
  await api.call("PUT", SETTINGS, { body: { enable: true } });
  const message = {
    topic: topic("a/b"),
    qos: 0,
    retain: false,
    origin: { kind: "api", clientId: "" },
    payloadBytes: 0,
    publishedMs: clock.nowMs() - 700,
    keep: () => {
      throw new Error("not to be kept");
    },
  } as const;
  observer?.sent?.("c", message, 0, -1);
  expect(await api.call("GET", "/slow_subscriptions?page=1&limit=5")).toMatchObject({
    status: 200,
    body: {
      data: [
        {
          clientid: "c",
          node: NODE,
          topic: "a/b",
          timespan: 700,
          last_update_time: clock.nowMs(),
        },
      ],
    },
  });
  expect(await api.call("DELETE", "/slow_subscriptions")).toMatchObject({ status: 204 });
  expect(await api.call("GET", "/slow_subscriptions")).toMatchObject({ body: { data: [] } });
});
