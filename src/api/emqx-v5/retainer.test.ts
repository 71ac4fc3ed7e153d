import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BrokerApi, startBrokerApi, until } from "./broker-api.testing.ts";
import { retainerRoutes } from "./retainer.ts";

let api: BrokerApi;

beforeAll(async () => {
  api = await startBrokerApi(retainerRoutes, { store: "leveldb" });
  const client = await api.connect("c", { username: "ann" });
  client.publish("r/a", "on", { retain: true });
  client.publish("r/b", "x".repeat(5000), { retain: true, qos: 1, messageId: 1 });
  client.publish("other", "3", { retain: true });
  await until(() => api.rig.broker.retainedCount() === 3);
});

afterAll(() => api.close());

const call = (method: "GET" | "PUT" | "DELETE", path: string, body?: unknown) =>
  api.send(method, `/mqtt/retainer${path}`, body);
const topics = async (query = "") =>
  (await call("GET", `/messages${query}`)).body.data.map(({ topic }: { topic: string }) => topic);

describe("retained messages", () => {
  it("are listed without payloads, with time and sender", async () => {
    const { body } = await call("GET", "/messages");
    expect(body.meta).toEqual({ page: 1, limit: 100, count: 3, hasnext: false });
    expect(body.data[0]).toEqual({
      msgid: expect.stringMatching(/^[0-9A-F]{32}$/),
      topic: "r/a",
      qos: 0,
      publish_at: expect.stringMatching(/^\d{4}-.*T.*\.\d{3}[+-]\d\d:\d\d$/),
      from_clientid: "c",
      from_username: "ann",
    });
    expect(await topics()).toEqual(["r/a", "r/b", "other"]);
  });

  it("are paged, and found by a filter, without a count then", async () => {
    expect(await topics("?limit=2&page=2")).toEqual(["other"]);
    expect(await topics("?topic=r/%2B")).toEqual(["r/a", "r/b"]);
    expect((await call("GET", "/messages?topic=r/%23&limit=1")).body.meta).toEqual({
      page: 1,
      limit: 1,
      hasnext: true,
    });
    expect((await call("GET", "/messages?topic=a/%23/b")).status).toBe(400);
  });

  it("are shown with their payload in base64, the id as in the list", async () => {
    const { body } = await call("GET", "/message/r%2Fb");
    expect(Buffer.from(body.payload, "base64").toString()).toBe("x".repeat(5000));
    const [, row] = (await call("GET", "/messages")).body.data;
    expect(body.msgid).toBe(row.msgid);
    expect((await call("GET", "/message/r%2F%2B")).body).toMatchObject({ topic: "r/a" });
    expect(await call("GET", "/message/none")).toMatchObject({
      status: 404,
      body: { code: "NOT_FOUND" },
    });
    expect((await call("GET", "/message/none%2F%23")).status).toBe(404);
    expect((await call("GET", "/message/a%2F%23%2Fb")).status).toBe(400);
  });

  it("are removed one by one, by filter, and all at once, for good", async () => {
    expect((await call("DELETE", "/message/r%2Fa")).status).toBe(204);
    expect((await call("DELETE", "/message/r%2Fa")).status).toBe(404);
    expect(await topics()).toEqual(["r/b", "other"]);
    expect((await call("DELETE", "/message/r%2F%23")).status).toBe(204);
    expect(await topics()).toEqual(["other"]);
    expect((await call("DELETE", "/messages")).status).toBe(204);
    expect((await call("DELETE", "/messages")).status).toBe(204);
    expect(await topics()).toEqual([]);
    await api.rig.restart();
    expect([...api.rig.broker.retainedTopics()]).toEqual([]);
  });
});

describe("the settings", () => {
  const DEFAULTS = {
    enable: true,
    msg_expiry_interval: "0s",
    allow_never_expire: true,
    msg_clear_interval: "0s",
    max_payload_size: "1MB",
    stop_publish_clear_msg: false,
    delivery_rate: "infinity",
    max_publish_rate: "infinity",
    backend: {
      type: "built_in_database",
      storage_type: "disc",
      max_retained_messages: 250_000,
      enable: true,
    },
    flow_control: { batch_read_number: 0, batch_deliver_number: 0 },
  };

  it("are shown, changed, and fall back to their defaults where left out", async () => {
    expect(await call("GET", "")).toEqual(expect.objectContaining({ status: 200, body: DEFAULTS }));
    const changed = {
      enable: false,
      msg_expiry_interval: "2h",
      max_payload_size: "64KB",
      stop_publish_clear_msg: true,
      backend: { ...DEFAULTS.backend, storage_type: "ram", max_retained_messages: 5 },
    };
    const reply = await call("PUT", "", { ...DEFAULTS, ...changed });
    const shown = { ...changed, backend: { ...changed.backend, storage_type: "disc" } };
    expect(reply).toMatchObject({ status: 200, body: { ...DEFAULTS, ...shown } });
    expect(api.retainer.now).toEqual({
      enable: false,
      msg_expiry_interval_s: 7200,
      max_payload_size_bytes: 65_536,
      max_retained_messages: 5,
      stop_publish_clear_msg: true,
    });
    expect((await call("PUT", "", {})).body).toEqual(DEFAULTS);
  });

  it.each([
    [{ allow_never_expire: false }, "UPDATE_FAILED"],
    [{ delivery_rate: "10/s" }, "UPDATE_FAILED"],
    [{ flow_control: { batch_read_number: 5 } }, "UPDATE_FAILED"],
    [{ backend: { enable: false } }, "UPDATE_FAILED"],
    [{ backend: { type: "redis" } }, "BAD_REQUEST"],
    [{ msg_expiry_interval: "soon" }, "BAD_REQUEST"],
    [{ max_payload_size: "big" }, "BAD_REQUEST"],
    [{ enable: "yes" }, "BAD_REQUEST"],
    [{ unknown: 1 }, "BAD_REQUEST"],
  ])("refuse %j with %s", async (body, code) => {
    expect(await call("PUT", "", body)).toMatchObject({ status: 400, body: { code } });
  });
});
