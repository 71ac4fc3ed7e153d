import { expect, it } from "vitest";
import { startGateway, TEST_CONFIG } from "../helpers/gateway-process.ts";
import { startMosquitto } from "../helpers/mosquitto.ts";
import { connectDevice } from "../helpers/mqtt.ts";
import { tempDir } from "../helpers/temp-dir.ts";

it("a bridge to mosquitto loses no QoS 1 message while the cloud is away, keeps their order, and brings commands down", async () => {
  const lines = ["persistence true", `persistence_location ${tempDir()}/`, "user root"];
  const cloud = await startMosquitto({ lines });
  const gateway = await startGateway({
    config: `${TEST_CONFIG}
bridges:
  default:
    server: mqtt://127.0.0.1:${cloud.tcpPort}
    backoff_max_s: 1
    forwards: [{local_topic: "plant/#"}]
    subscription: [{remote_topic: "cmd/#", qos: 1}]
`,
  });
  const sensor = await connectDevice(gateway.ports.tcp, { subscribe: ["cmd/#"] });
  const session = { clientId: "above", clean: false, subscribe: ["plant/#"] };
  const above = await connectDevice(cloud.tcpPort, session);
  await sensor.client.publishAsync("plant/a", "before", { qos: 1 });
  await above.receives(1);
  await above.client.endAsync();

  await cloud.child.kill("SIGTERM");
  for (let n = 0; n < 100; n++) {
    await sensor.client.publishAsync("plant/a", String(n), { qos: 1 });
  }
  const again = await startMosquitto({ tcpPort: cloud.tcpPort, lines });
  await sensor.client.publishAsync("plant/a", "after", { qos: 1 });
  const back = await connectDevice(again.tcpPort, session);
  const received = await back.receives(101, 20_000);
  const expected = [...[...Array(100).keys()].map(String), "after"];
  expect(received.map(({ payload }) => payload)).toEqual(expected);

  await back.client.publishAsync("cmd/door", "open", { qos: 1 });
  const [command] = await sensor.receives(1);
  expect(command).toMatchObject({ topic: "cmd/door", payload: "open", qos: 1 });
}, 40_000);
