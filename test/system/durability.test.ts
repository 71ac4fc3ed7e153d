import { describe, expect, it } from "vitest";
import { startGateway } from "../helpers/gateway-process.ts";
import { v1 } from "../helpers/http.ts";
import { connectDevice } from "../helpers/mqtt.ts";

describe("after kill -9", () => {
  it("sessions, their queues in order, and retained messages are there again", async () => {
    const gateway = await startGateway({ supervised: true });
    const away = await connectDevice(gateway.ports.tcp, {
      clientId: "away",
      clean: false,
      subscribe: ["plant/#"],
    });
    await away.client.endAsync();
    const sensor = await connectDevice(gateway.ports.tcp, { clientId: "sensor" });
    for (let n = 0; n < 50; n++) {
      await sensor.client.publishAsync("plant/line", String(n), { qos: 1 });
    }
    await sensor.client.publishAsync("state/door", "open", { qos: 1, retain: true });

    process.kill(gateway.pid, "SIGKILL");
    const { ports } = await gateway.readyAgain(gateway.readyAt);

    const { data } = (await v1(ports.http, { req: 4 })).body;
    expect(data).toEqual([{ client_id: "away", subscriptions: [{ topic: "plant/#", qos: 1 }] }]);
    const back = await connectDevice(ports.tcp, {
      clientId: "away",
      clean: false,
      subscribe: ["state/+"],
    });
    const received = await back.receives(51);
    const line = received.filter(({ topic }) => topic === "plant/line");
    expect(line.map(({ payload }) => payload)).toEqual([...Array(50).keys()].map(String));
    expect(received).toContainEqual(
      expect.objectContaining({ topic: "state/door", payload: "open", retain: true }),
    );
  });
});
