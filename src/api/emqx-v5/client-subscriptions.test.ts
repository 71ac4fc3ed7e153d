import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BrokerApi, KEEP, NODE, startBrokerApi, until } from "./broker-api.testing.ts";
import { clientSubscriptionRoutes } from "./client-subscriptions.ts";

let api: BrokerApi;

beforeAll(async () => {
  api = await startBrokerApi(clientSubscriptionRoutes);
});

afterAll(() => api.close());

const post = (path: string, body: unknown) => api.call("POST", `/clients/${path}`, { body });
const filtersOf = (clientId: string) =>
  [...api.rig.broker.subscriptionsOf(clientId)].map(({ filter }) => filter);

describe("POST subscribe", () => {
  it("subscribes a connected client at once, whatever the access rules say", async () => {
    api.rig.isAllowed = ({ action }) => action === "publish";
    const client = await api.connect("c", {});
    const reply = await post("c/subscribe", { topic: "a/+", qos: 1, nl: 1, rap: 1, rh: 2 });
    expect(reply).toMatchObject({
      status: 200,
      body: { clientid: "c", node: NODE, topic: "a/+", qos: 1, nl: 1, rap: 1, rh: 2 },
    });
    await api.rig.publish("a/b", "hello", { retain: true });
    await until(() => client.messages.length === 1);
    expect(client.messages[0]?.retain).toBe(true);
    api.rig.isAllowed = () => true;
  });

  it("subscribes a session left behind, for which messages wait from then on", async () => {
    await api.leave("away");
    expect((await post("away/subscribe", { topic: "later", qos: 1 })).status).toBe(200);
    await api.rig.publish("later", "kept", { qos: 1 });
    const back = await api.connect("away", KEEP);
    await until(() => back.texts.includes("kept"));
  });

  it("takes 0 for every option that is left out", async () => {
    const reply = await post("c/subscribe", { topic: "plain" });
    expect(reply.body).toMatchObject({ qos: 0, nl: 0, rap: 0, rh: 0 });
  });

  it.each([
    [{ topic: "a", qos: 3 }, "BAD_REQUEST"],
    [{ qos: 1 }, "BAD_REQUEST"],
    [{ topic: "a/#/b" }, "BAD_REQUEST"],
    [{ topic: "" }, "BAD_REQUEST"],
    [{ topic: "a", more: 1 }, "BAD_REQUEST"],
    [{ topic: "$share/g/a", nl: 1 }, "INVALID_PARAMETER"],
  ])("refuses %j with %s", async (body, code) => {
    expect(await post("c/subscribe", body)).toMatchObject({ status: 400, body: { code } });
  });

  it("is 404 for a client there is not", async () => {
    for (const path of ["subscribe", "unsubscribe"]) {
      expect(await post(`nobody/${path}`, { topic: "a" })).toMatchObject({
        status: 404,
        body: { code: "CLIENTID_NOT_FOUND" },
      });
    }
  });
});

describe("in bulk", () => {
  it("subscribes to all filters or to none", async () => {
    await api.connect("bulk", {});
    const bad = await post("bulk/subscribe/bulk", [{ topic: "a" }, { topic: "b/#/c" }]);
    expect(bad.status).toBe(400);
    expect(filtersOf("bulk")).toEqual([]);
    const good = await post("bulk/subscribe/bulk", [{ topic: "a" }, { topic: "b", qos: 2 }]);
    expect(good).toMatchObject({ status: 200, body: [{ topic: "a" }, { topic: "b", qos: 2 }] });
    expect(filtersOf("bulk")).toEqual(["a", "b"]);
  });

  it("ends many subscriptions, and does not mind those that are not there", async () => {
    const reply = await post("bulk/unsubscribe/bulk", [{ topic: "a" }, { topic: "none" }]);
    expect(reply).toMatchObject({ status: 204, body: null });
    expect(filtersOf("bulk")).toEqual(["b"]);
    expect((await post("bulk/unsubscribe", { topic: "b" })).status).toBe(204);
    expect((await post("bulk/unsubscribe", { topic: "b" })).status).toBe(204);
    expect(filtersOf("bulk")).toEqual([]);
  });
});

describe("GET subscriptions", () => {
  it("lists what a client is subscribed to, in whatever way, with its options", async () => {
    const client = await api.connect("list", KEEP);
    await client.subscribe("own", 2, { nl: true, rap: true, rh: 1 });
    await post("list/subscribe", { topic: "$share/g/a", qos: 1 });
    const { body } = await api.call("GET", "/clients/list/subscriptions");
    const row = { node: NODE, clientid: "list", durable: true };
    expect(body).toEqual([
      { ...row, topic: "own", qos: 2, nl: 1, rap: 1, rh: 1 },
      { ...row, topic: "$share/g/a", qos: 1, nl: 0, rap: 0, rh: 0 },
    ]);
  });

  it("is an empty list without any, and 404 for a client there is not", async () => {
    expect((await api.call("GET", "/clients/bulk/subscriptions")).body).toEqual([]);
    expect((await api.call("GET", "/clients/nobody/subscriptions")).status).toBe(404);
  });
});
