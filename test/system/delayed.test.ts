import { expect, test } from "vitest";
import { startGateway } from "../helpers/gateway-process.ts";
import { connectDevice } from "../helpers/mqtt.ts";

test("an acknowledged delayed message outlives kill -9 and comes once", async () => {
  const session = { clientId: "receiver", clean: false } as const;
  const first = await startGateway();
  const before = await connectDevice(first.ports.tcp, { ...session, subscribe: ["t/#"], qos: 2 });
  await before.client.endAsync();
  const sender = await connectDevice(first.ports.tcp, { clientId: "sender" });
  await sender.client.publishAsync("$delayed/2/t/1", "at least once", { qos: 1 });
  await sender.client.publishAsync("$delayed/2/t/2", "exactly once", { qos: 2 });
  const gone = new Promise<void>((resolve) => sender.client.once("close", () => resolve()));
  process.kill(first.pid, "SIGKILL");
  await gone;

  const second = await startGateway({ dataDir: first.dataDir });
  const receiver = await connectDevice(second.ports.tcp, session);
  await receiver.receives(2, 10_000);
  // What is published now comes behind anything that would be sent twice.
  await receiver.client.publishAsync("t/end", "end", { qos: 2 });
  const messages = await receiver.receives(3);
  expect(messages.map(({ payload }) => payload)).toEqual(["at least once", "exactly once", "end"]);
});
