import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BrokerApi, KEEP, startBrokerApi, until } from "./broker-api.testing.ts";
import { clientQueueRoutes } from "./client-queues.ts";

let api: BrokerApi;

beforeAll(async () => {
  api = await startBrokerApi(clientQueueRoutes, { store: "leveldb" });
  const client = await api.connect("c", {
    ...KEEP,
    properties: { ...KEEP.properties, receiveMaximum: 2 },
  });
  await client.subscribe("q", 1);
  const publisher = await api.connect("p", { username: "ann" });
  for (let i = 0; i < 6; i++) {
    publisher.publish("q", `text ${i}`, { qos: 1, messageId: i + 1 });
  }
  await until(() => api.rig.broker.details("c")?.queued === 4 && client.messages.length === 2);
});

afterAll(() => api.close());

const get = (path: string) => api.send("GET", path);
const texts = (rows: readonly { payload: string }[]) =>
  rows.map(({ payload }) => Buffer.from(payload, "base64").toString());

describe("GET mqueue_messages", () => {
  it("shows what waits, oldest first, page by page", async () => {
    const one = (await get("/clients/c/mqueue_messages?limit=3")).body;
    expect(texts(one.data)).toEqual(["text 2", "text 3", "text 4"]);
    expect(one.data[0]).toMatchObject({
      msgid: expect.stringMatching(/^[0-9A-F]{32}$/),
      topic: "q",
      qos: 1,
      from_clientid: "p",
      from_username: "ann",
      mqueue_priority: 0,
      inserted_at: expect.stringMatching(/^\d{19}$/),
    });
    expect(Math.abs(one.data[0].publish_at - Date.now())).toBeLessThan(60_000);
    expect(one.meta.start).toBe(`${one.data[0].inserted_at}_0`);
    expect(one.meta.position).toBe(`${one.data[2].inserted_at}_0`);
    const marks = one.data.map((row: { inserted_at: string }) => BigInt(row.inserted_at));
    expect(marks[0] < marks[1] && marks[1] < marks[2]).toBe(true);

    const two = (await get(`/clients/c/mqueue_messages?position=${one.meta.position}`)).body;
    expect(texts(two.data)).toEqual(["text 5"]);
    expect(two.meta.start).toBe(one.meta.start);

    const three = (await get(`/clients/c/mqueue_messages?position=${two.meta.position}`)).body;
    expect(three).toEqual({
      data: [],
      meta: { start: one.meta.start, position: two.meta.position },
    });
  });

  it("shows payloads as they are asked for", async () => {
    const plain = (await get("/clients/c/mqueue_messages?payload=plain&limit=1")).body;
    expect(plain.data[0].payload).toBe("text 2");
    const none = (await get("/clients/c/mqueue_messages?payload=none&limit=1")).body;
    expect(none.data[0]).not.toHaveProperty("payload");
  });

  it("ends a page before its payloads are too much, but not without a message", async () => {
    const count = async (size: string) =>
      (await get(`/clients/c/mqueue_messages?max_payload_bytes=${size}`)).body.data.length;
    expect(await count("1B")).toBe(1);
    expect(await count("12")).toBe(2);
    expect(await count("17B")).toBe(2);
    expect(await count("1KB")).toBe(4);
  });

  it.each([
    ["position=nonsense", "INVALID_PARAMETER"],
    ["position=1716187698260000042", "INVALID_PARAMETER"],
    ["limit=0", "BAD_REQUEST"],
    ["limit=10001", "BAD_REQUEST"],
    ["payload=hex", "BAD_REQUEST"],
    ["max_payload_bytes=0", "BAD_REQUEST"],
    ["max_payload_bytes=much", "BAD_REQUEST"],
  ])("refuses %s with %s", async (query, code) => {
    const reply = await get(`/clients/c/mqueue_messages?${query}`);
    expect(reply).toMatchObject({ status: 400, body: { code } });
  });

  it("is 404 for a client there is not, and empty for a queue with nothing in it", async () => {
    expect(await get("/clients/nobody/mqueue_messages")).toMatchObject({
      status: 404,
      body: { code: "CLIENTID_NOT_FOUND" },
    });
    expect((await get("/clients/p/mqueue_messages")).body).toEqual({
      data: [],
      meta: { start: "none", position: "none" },
    });
  });

  it("refuses plain text for what is not UTF-8, and only where it is on the page", async () => {
    await api.leave("bin", "bytes");
    const publisher = await api.connect("bytes", {});
    publisher.send({
      cmd: "publish",
      topic: "bytes",
      payload: Buffer.from([0xff, 0xfe]),
      qos: 1,
      messageId: 1,
      dup: false,
      retain: false,
    });
    await publisher.next("puback");
    const reply = await get("/clients/bin/mqueue_messages?payload=plain");
    expect(reply).toMatchObject({ status: 400, body: { code: "INVALID_PARAMETER" } });
    const { body } = await get("/clients/bin/mqueue_messages");
    expect(body.data[0].payload).toBe("//4=");
  });
});

describe("GET inflight_messages", () => {
  it("shows what was sent and is not acknowledged", async () => {
    const { body } = await get("/clients/c/inflight_messages");
    expect(texts(body.data)).toEqual(["text 0", "text 1"]);
    expect(body.data[0]).not.toHaveProperty("mqueue_priority");
    expect(body.meta).toEqual({
      start: body.data[0].inserted_at,
      position: body.data[1].inserted_at,
    });
    const rest = await get(`/clients/c/inflight_messages?position=${body.meta.start}`);
    expect(texts(rest.body.data)).toEqual(["text 1"]);
    const bad = await get(`/clients/c/inflight_messages?position=${body.meta.start}_0`);
    expect(bad).toMatchObject({ status: 400, body: { message: "position_limit_invalid" } });
  });
});
