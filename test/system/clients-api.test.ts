import { expect, it } from "vitest";
import { startGateway } from "../helpers/gateway-process.ts";
import { login } from "../helpers/http-v5.ts";
import { connectDevice } from "../helpers/mqtt.ts";
import { until } from "../helpers/until.ts";

it("the settings of retained messages count at once and after a restart", async () => {
  const gateway = await startGateway({ supervised: true });
  const before = await login(gateway.ports.http);
  const changed = { max_payload_size: "4B", stop_publish_clear_msg: true };
  expect(await before("PUT", "/mqtt/retainer", changed)).toMatchObject({
    status: 200,
    body: changed,
  });
  const put = async (tcpPort: number, topic: string, payload: string) => {
    const { client } = await connectDevice(tcpPort);
    await client.publishAsync(topic, payload, { qos: 1, retain: true });
  };
  await put(gateway.ports.tcp, "kept", "1234");
  await put(gateway.ports.tcp, "large", "12345");
  await put(gateway.ports.tcp, "kept", "");

  expect((await before("POST", "/publish", { topic: "a", payload: "x" })).status).toBe(202);
  process.kill(gateway.pid, "SIGKILL");
  const { ports } = await gateway.readyAgain(gateway.readyAt);
  const after = await login(ports.http);
  expect((await after("GET", "/mqtt/retainer")).body).toMatchObject(changed);
  await put(ports.tcp, "large", "12345");
  expect((await after("GET", "/mqtt/retainer/messages")).body).toMatchObject({
    data: [{ topic: "kept" }],
    meta: { count: 1 },
  });
  const device = await connectDevice(ports.tcp, { subscribe: ["#"] });
  expect(await device.receives(1)).toMatchObject([{ topic: "kept", payload: "1234" }]);
}, 30_000);

it("a client that is put out is gone with its session, and its messages, over a kill", async () => {
  const gateway = await startGateway({ supervised: true });
  const api = await login(gateway.ports.http);
  const options = { clientId: "press", clean: false } as const;
  const device = await connectDevice(gateway.ports.tcp, { ...options, subscribe: ["a"] });
  const granted = await api("POST", "/clients/press/subscribe", { topic: "b", qos: 1 });
  expect(granted.status).toBe(200);
  device.client.end(true);
  await until("the client is away", async () => {
    const { body } = await api("GET", "/clients?conn_state=disconnected");
    return JSON.stringify(body).includes('"press"');
  });
  for (const topic of ["a", "b"]) {
    await api("POST", "/publish", { topic, payload: "waits", qos: 1 });
  }
  expect((await api("GET", "/clients/press/mqueue_messages")).body).toMatchObject({
    data: [{ topic: "a" }, { topic: "b" }],
  });
  expect((await api("DELETE", "/clients/press")).status).toBe(204);
  process.kill(gateway.pid, "SIGKILL");
  const { ports } = await gateway.readyAgain(gateway.readyAt);
  const after = await login(ports.http);
  expect((await after("GET", "/clients/press")).status).toBe(404);
  expect((await after("GET", "/subscriptions?clientid=press")).body).toMatchObject({ data: [] });
}, 30_000);
