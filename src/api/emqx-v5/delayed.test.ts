import { expect, test } from "vitest";
import { delayedRoutes } from "./delayed.ts";
import { LiveGateway, until } from "./live-gateway.testing.ts";
import { publishRoutes } from "./publish.ts";

const start = () => LiveGateway.start((services) => delayedRoutes(services));
const NODE = "tidegate%40127.0.0.1";

interface Row {
  readonly msgid: string;
  readonly topic: string;
  readonly delayed_remaining: number;
}

async function rows(live: LiveGateway, query = ""): Promise<Row[]> {
  const { body } = await live.call("GET", `/mqtt/delayed/messages${query}`);
  return (body as { data: Row[] }).data;
}

test("a delayed message comes when its time is over, also after a restart", async () => {
  const live = await start();
  const { mqtt } = await live.connect({ clientId: "sender" });
  await mqtt.publishAsync("$delayed/2/t/late", "later", { qos: 1 });
  await mqtt.publishAsync("$delayed/3600/t/never", "never", { qos: 2 });
  const acknowledgedMs = performance.now();
  await live.restart();
  const receiver = await live.connect();
  await receiver.mqtt.subscribeAsync("t/#", { qos: 1 });
  expect((await rows(live)).map(({ topic }) => topic)).toEqual(["t/late", "t/never"]);
  await until(() => receiver.received.length === 1);
  expect(performance.now() - acknowledgedMs).toBeGreaterThan(1500);
  expect(receiver.received).toEqual([{ topic: "t/late", text: "later", retain: false }]);
  expect(await rows(live)).toMatchObject([
    {
      topic: "t/never",
      node: "tidegate@127.0.0.1",
      delayed_interval: 3600,
      qos: 2,
      from_clientid: "sender",
      from_username: null,
    },
  ]);
});

test("a message published through the API waits like any other", async () => {
  const live = await LiveGateway.start((services) => [
    ...delayedRoutes(services),
    ...publishRoutes(services),
  ]);
  const body = { topic: "$delayed/100/a", payload: "hello", qos: 1 };
  const answer = await live.call("POST", "/publish", { body });
  expect(answer).toMatchObject({ status: 200, body: { id: expect.any(String) } });
  expect(await rows(live)).toMatchObject([{ topic: "a", delayed_interval: 100, qos: 1 }]);
  const wrong = await live.call("POST", "/publish", { body: { ...body, topic: "$delayed/a" } });
  expect(wrong.status).toBe(400);
});

test("a message that waits can be read and taken back by id and by topic", async () => {
  const live = await start();
  const { mqtt } = await live.connect();
  await mqtt.publishAsync("$delayed/100/a/b", "hello", { qos: 1 });
  await mqtt.publishAsync("$delayed/100/a/b", "x".repeat(3000), { qos: 1 });
  await mqtt.publishAsync("$delayed/100/c", "c", { qos: 1 });
  const [first, second, third] = await rows(live);
  const read = (id = "") => live.call("GET", `/mqtt/delayed/messages/${NODE}/${id}`);
  expect((await read(first?.msgid)).body).toMatchObject({ payload: "aGVsbG8=", topic: "a/b" });
  expect((await read(second?.msgid)).body).toMatchObject({ payload: "PAYLOAD_TOO_LARGE" });
  const path = `/mqtt/delayed/messages/${NODE}/${third?.msgid}`;
  expect((await live.call("DELETE", path)).status).toBe(204);
  expect(await live.call("DELETE", path)).toMatchObject({
    status: 404,
    body: { code: "MESSAGE_ID_NOT_FOUND" },
  });
  expect((await live.call("DELETE", "/mqtt/delayed/messages/a%2Fb")).status).toBe(204);
  expect(await live.call("DELETE", "/mqtt/delayed/messages/a%2Fb")).toMatchObject({
    status: 404,
    body: { code: "MESSAGE_NOT_FOUND" },
  });
  expect(await rows(live)).toEqual([]);
  expect(await read("17")).toMatchObject({
    status: 400,
    body: { code: "MESSAGE_ID_SCHEMA_ERROR" },
  });
  const foreign = await live.call("GET", `/mqtt/delayed/messages/other/${first?.msgid}`);
  expect(foreign).toMatchObject({ status: 400, body: { code: "INVALID_NODE" } });
  const wild = await live.call("DELETE", "/mqtt/delayed/messages/a%2F%23");
  expect(wild).toMatchObject({ status: 400, body: { code: "INVALID_TOPIC_NAME" } });
});

test("the settings apply at once and last", async () => {
  const live = await start();
  expect((await live.call("GET", "/mqtt/delayed")).body).toEqual({
    enable: true,
    max_delayed_messages: 0,
  });
  const put = (body: unknown) => live.call("PUT", "/mqtt/delayed", { body });
  expect((await put({ max_delayed_messages: 1 })).body).toEqual({
    enable: true,
    max_delayed_messages: 1,
  });
  const { mqtt } = await live.connect({ protocolVersion: 5 });
  await mqtt.publishAsync("$delayed/100/a", "1", { qos: 1 });
  const second = mqtt.publishAsync("$delayed/100/b", "2", { qos: 1 });
  await expect(second).rejects.toMatchObject({ code: 0x97 });
  await put({ enable: false });
  await mqtt.subscribeAsync("$delayed/#");
  await mqtt.publishAsync("$delayed/100/c", "a topic like any other", { qos: 1 });
  expect(await rows(live)).toHaveLength(1);
  await live.restart();
  expect((await live.call("GET", "/mqtt/delayed")).body).toMatchObject({ enable: false });
  expect(await put({ max_delayed_messages: -1 })).toMatchObject({ status: 400 });
});
