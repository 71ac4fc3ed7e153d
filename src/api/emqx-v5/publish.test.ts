import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BrokerApi, startBrokerApi, until, type WireClient } from "./broker-api.testing.ts";
import { publishRoutes } from "./publish.ts";
import { retainerRoutes } from "./retainer.ts";

let api: BrokerApi;
let client: WireClient;

beforeAll(async () => {
  api = await startBrokerApi((services) => [
    ...publishRoutes(services),
    ...retainerRoutes(services),
  ]);
  client = await api.connect("c", {});
  await client.subscribe("heard/#", 2);
});

afterAll(() => api.close());

const publish = (body: unknown, as?: "administrator" | "viewer" | "publisher") =>
  api.call("POST", "/publish", { body, ...(as === undefined ? {} : { as }) });
const bulk = (body: unknown) => api.call("POST", "/publish/bulk", { body });

const NOBODY = { reason_code: 16, message: "no_matching_subscribers" };
const ID = { id: expect.stringMatching(/^[0-9A-F]{32}$/) };

describe("POST /publish", () => {
  it("publishes with all properties of MQTT 5", async () => {
    const reply = await publish({
      topic: "heard/a",
      payload: "aGVsbG8=",
      payload_encoding: "base64",
      qos: 1,
      properties: {
        payload_format_indicator: 1,
        message_expiry_interval: 60,
        response_topic: "answer/here",
        correlation_data: "42",
        content_type: "text/plain",
        user_properties: { line: "3" },
      },
    });
    expect(reply).toMatchObject({ status: 200, body: ID });
    await until(() => client.messages.length === 1);
    const [message] = client.messages;
    expect(message?.payload.toString()).toBe("hello");
    expect(message?.qos).toBe(1);
    const { properties } = message ?? {};
    expect(properties).toMatchObject({
      payloadFormatIndicator: true,
      responseTopic: "answer/here",
      contentType: "text/plain",
    });
    expect(properties?.correlationData?.toString()).toBe("42");
    expect(properties?.userProperties?.["line"]).toBe("3");
    expect(properties?.messageExpiryInterval).toBeLessThanOrEqual(60);
  });

  it("answers 202 when nobody is subscribed, and keeps a retained message all the same", async () => {
    expect(await publish({ topic: "unheard", payload: "x" })).toMatchObject({
      status: 202,
      body: NOBODY,
    });
    const reply = await publish({ topic: "kept", payload: "x", retain: true });
    expect(reply).toMatchObject({ status: 202, body: NOBODY });
    expect((await api.call("GET", "/mqtt/retainer/message/kept")).status).toBe(200);
    await publish({ topic: "kept", payload: "", retain: true });
    expect((await api.call("GET", "/mqtt/retainer/message/kept")).status).toBe(404);
  });

  it("counts a session left behind as somebody who gets it", async () => {
    await api.leave("away", "for/away");
    expect((await publish({ topic: "for/away", payload: "x", qos: 1 })).status).toBe(200);
    expect((await publish({ topic: "for/away", payload: "x" })).status).toBe(200);
  });

  it("gives a retained message the id that it answers with", async () => {
    const { body } = await publish({ topic: "heard/kept", payload: "x", retain: true });
    const kept = await api.call("GET", "/mqtt/retainer/message/heard%2Fkept");
    expect(kept.body).toMatchObject({ msgid: (body as { id: string }).id, from_clientid: "api" });
  });

  it("takes the old name of the encoding, and a claimed sender", async () => {
    const body = { topic: "heard/b", payload: "eA==", encoding: "base64", retain: true };
    expect((await publish({ ...body, clientid: "somebody" })).status).toBe(200);
    const kept = await api.call("GET", "/mqtt/retainer/message/heard%2Fb");
    expect(kept.body).toMatchObject({ payload: "eA==", from_clientid: "somebody" });
  });

  it("is for publishers and administrators", async () => {
    const body = { topic: "heard/c", payload: "x" };
    expect((await publish(body, "publisher")).status).toBe(200);
  });

  it.each([
    [{ topic: "a/+", payload: "x" }, 144, "topic_name_invalid"],
    [{ topic: "", payload: "x" }, 144, "topic_name_invalid"],
    [{ topic: "$SYS/a", payload: "x" }, 144, "topic_name_invalid"],
    [{ topic: "a/".repeat(100), payload: "x" }, 144, "topic_name_invalid"],
    [{ topic: "a", payload: "a*b", payload_encoding: "base64" }, 131, expect.any(String)],
    [{ topic: "a", payload: "x".repeat(10_001) }, 151, "packet_too_large"],
  ])("refuses a message that is not valid by its reason code", async (body, code, message) => {
    expect(await publish(body)).toMatchObject({
      status: 400,
      body: { reason_code: code, message },
    });
  });

  it.each([
    { payload: "x" },
    { topic: "a" },
    { topic: "a", payload: 5 },
    { topic: "a", payload: "x", qos: 3 },
    { topic: "a", payload: "x", more: 1 },
    { topic: "a", payload: "x", properties: { topic_alias: 1 } },
    { topic: "a", payload: "x", properties: { user_properties: { a: 1 } } },
    { topic: "a", payload: "x", payload_encoding: "hex" },
  ])("refuses %j with BAD_REQUEST", async (body) => {
    expect(await publish(body)).toMatchObject({ status: 400, body: { code: "BAD_REQUEST" } });
  });
});

describe("POST /publish/bulk", () => {
  it("publishes in the order given, each message with an id of its own", async () => {
    const before = client.messages.length;
    const list = Array.from({ length: 300 }, (_, i) => ({
      topic: "heard/bulk",
      payload: i % 2 === 0 ? "same" : `${i}`,
    }));
    const { status, body } = await bulk(list);
    expect(status).toBe(200);
    const ids = (body as { id: string }[]).map(({ id }) => id);
    expect(new Set(ids).size).toBe(300);
    expect(ids).toEqual([...ids].sort());
    await until(() => client.messages.length === before + 300);
    expect(client.texts.slice(before)).toEqual(list.map(({ payload }) => payload));
  });

  it("answers 202 when one of them has no subscriber, with an item for each", async () => {
    const reply = await bulk([
      { topic: "heard/x", payload: "1" },
      { topic: "unheard", payload: "2" },
    ]);
    expect(reply).toMatchObject({ status: 202, body: [ID, NOBODY] });
  });

  it("publishes none when one is not valid", async () => {
    const heard = api.rig.listen("heard/never");
    const reply = await bulk([
      { topic: "heard/never", payload: "1" },
      { topic: "bad/#", payload: "2" },
    ]);
    expect(reply).toMatchObject({ status: 400, body: { reason_code: 144 } });
    expect((await bulk([{ topic: "heard/never", payload: "1" }, { topic: "a" }])).status).toBe(400);
    expect(heard).toEqual([]);
  });

  it("refuses an empty list", async () => {
    expect(await bulk([])).toMatchObject({ status: 400, body: { code: "BAD_REQUEST" } });
  });

  it("answers 503 for a message the store does not take", async () => {
    await api.leave("full", "full");
    api.rig.memory.refusal = "STORE_FULL";
    const reply = await bulk([
      { topic: "full", payload: "1", qos: 1 },
      { topic: "heard/x", payload: "2" },
    ]);
    api.rig.memory.refusal = null;
    const refused = { reason_code: 131, message: "failed_to_dispatch" };
    expect(reply).toMatchObject({ status: 503, body: [refused, ID] });
  });
});
