import { connectAsync } from "mqtt";
import { expect, test } from "vitest";
import { freeTcpPort } from "../helpers/free-tcp-port.ts";
import { startGateway, TEST_CONFIG } from "../helpers/gateway-process.ts";
import { login } from "../helpers/http-v5.ts";

test("what waits for a bridge that went from the file is told of at the start, and can be removed", async () => {
  const cloud = `mqtt://127.0.0.1:${await freeTcpPort()}`;
  const bridges = { cloud: { server: cloud, forwards: [{ local_topic: "up/#" }] } };
  const first = await startGateway({
    config: `${TEST_CONFIG}bridges: ${JSON.stringify(bridges)}\n`,
  });
  const client = await connectAsync(`mqtt://127.0.0.1:${first.ports.tcp}`);
  for (let n = 0; n < 3; n++) await client.publishAsync("up/1", String(n), { qos: 1 });
  await client.endAsync();
  await first.child.kill();
  const { dataDir } = first;
  const second = await startGateway({ dataDir });
  expect(second.child.output()).toContain("wait for a bridge that is not configured any more");
  expect(second.child.output()).toContain("3 messages wait for bridge cloud");
  const path = "/bridges/mqtt:cloud";
  const api = await login(second.ports.http);
  expect((await api("DELETE", path)).status).toBe(204);
  expect((await api("DELETE", path)).status).toBe(404);
  await second.child.kill();
  const third = await startGateway({ dataDir });
  expect(third.child.output()).not.toContain("not configured any more");
});
