import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BrokerApi, KEEP, NODE, startBrokerApi } from "./broker-api.testing.ts";
import { subscriptionRoutes } from "./subscriptions.ts";

let api: BrokerApi;

beforeAll(async () => {
  api = await startBrokerApi(subscriptionRoutes);
  const c = await api.connect("c", KEEP);
  await c.subscribe("sensors/+/t", 1, { nl: true });
  await c.subscribe("$share/g/sensors/a", 2);
  const d = await api.connect("d", {}, 4);
  await d.subscribe("sensors/#", 0);
  await d.subscribe("other", 1);
  await api.leave("away", "sensors/a");
});

afterAll(() => api.close());

const get = (query: string) => api.send("GET", `/subscriptions?${query}`);
const found = async (query: string) =>
  (await get(query)).body.data.map(({ topic }: { topic: string }) => topic);

describe("GET /subscriptions", () => {
  it("lists everybody's subscriptions with their options", async () => {
    const { body } = await get("");
    const row = { node: NODE, rap: 0, rh: 0 };
    expect(body.data).toEqual([
      { ...row, clientid: "c", topic: "sensors/+/t", qos: 1, nl: 1, durable: true },
      { ...row, clientid: "c", topic: "$share/g/sensors/a", qos: 2, nl: 0, durable: true },
      { ...row, clientid: "d", topic: "sensors/#", qos: 0, nl: 0, durable: false },
      { ...row, clientid: "d", topic: "other", qos: 1, nl: 0, durable: false },
      { ...row, clientid: "away", topic: "sensors/a", qos: 1, nl: 0, durable: true },
    ]);
    expect(body.meta).toEqual({ page: 1, limit: 100, count: 5, hasnext: false });
  });

  it.each([
    ["clientid=c", ["sensors/+/t", "$share/g/sensors/a"]],
    ["clientid=nobody", []],
    ["qos=1", ["sensors/+/t", "other", "sensors/a"]],
    ["topic=sensors/a", ["$share/g/sensors/a", "sensors/a"]],
    ["topic=sensors/%2B/t", ["sensors/+/t"]],
    ["share_group=g", ["$share/g/sensors/a"]],
    ["share_group=h", []],
    ["durable=true&qos=1", ["sensors/+/t", "sensors/a"]],
    ["match_topic=sensors/%23", ["sensors/+/t", "$share/g/sensors/a", "sensors/#", "sensors/a"]],
    ["match_topic=sensors/a", ["$share/g/sensors/a", "sensors/a"]],
    ["match_topic=sensors/%2B/t&clientid=c", ["sensors/+/t"]],
    [`node=${NODE}&qos=2`, ["$share/g/sensors/a"]],
  ])("%s finds %j", async (query, expected) => {
    expect(await found(query)).toEqual(expected);
  });

  it("leaves the count out with match_topic, and pages all the same", async () => {
    const { body } = await get("match_topic=%23&limit=4");
    expect(body.meta).toEqual({ page: 1, limit: 4, hasnext: true });
    expect((await get("match_topic=%23&limit=4&page=2")).body.data).toHaveLength(1);
    expect((await get("qos=1&limit=1")).body.meta).toMatchObject({ count: 3, hasnext: true });
  });

  it.each([
    ["match_topic=$share/g/a", 400, "INVALID_PARAMETER"],
    ["match_topic=a/%23/b", 400, "INVALID_PARAMETER"],
    ["qos=3", 400, "BAD_REQUEST"],
    ["node=other", 500, "NODE_DOWN"],
  ])("%s is refused with %i %s", async (query, status, code) => {
    expect(await get(query)).toMatchObject({ status, body: { code } });
  });
});
