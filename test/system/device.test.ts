import { describe, expect, it } from "vitest";
import { startGateway, TEST_CONFIG } from "../helpers/gateway-process.ts";
import { v1 } from "../helpers/http.ts";
import { startMosquitto } from "../helpers/mosquitto.ts";
import { connectDevice } from "../helpers/mqtt.ts";
import { until } from "../helpers/until.ts";

describe("the device", () => {
  it("tells its metrics on the LAN, to the cloud, and in request 2, and raises alarms", async () => {
    const mosquitto = await startMosquitto();
    const cloud = await connectDevice(mosquitto.tcpPort, { subscribe: ["tidegate/#"] });
    const gateway = await startGateway({
      config: `${TEST_CONFIG}
telemetry: {publish_interval_s: 1}
sysmon: {disk_high_watermark_percent: 1}
bridges:
  cloud:
    server: mqtt://127.0.0.1:${mosquitto.tcpPort}
    forwards: [{local_topic: "tidegate/+/telemetry"}]
`,
    });
    const local = await connectDevice(gateway.ports.tcp, {
      subscribe: ["tidegate/#", "$SYS/brokers/+/alarms/#"],
    });

    const [up] = await cloud.receives(1);
    await local.receives(1);
    for (const message of [up, local.received[0]]) {
      expect(message?.topic).toMatch(/^tidegate\/[0-9a-f]{8}\/telemetry$/);
      const { ts, device } = JSON.parse(message?.payload ?? "");
      expect(Math.abs(ts - Date.now())).toBeLessThan(60_000);
      expect(device).toMatchObject({
        process_rss_bytes: expect.any(Number),
        store_queued_bytes: 0,
      });
    }
    const { body } = await v1(gateway.ports.http, { req: 2 });
    expect(body.data?.["device"]).toMatchObject({
      boot_id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      disk_used_percent: expect.any(Number),
      written_bytes: { tables: expect.any(Number) },
    });
    await gateway.child.waitForOutput(/"alarm":"low_disk_space".*"msg":"alarm raised"/);
  });

  it("keeps alarms over a restart", async () => {
    const config = `${TEST_CONFIG}\nsysmon: {disk_high_watermark_percent: 1}\n`;
    const first = await startGateway({ config });
    await first.child.waitForOutput(/"alarm":"low_disk_space".*"msg":"alarm raised"/);
    await first.child.kill("SIGTERM");
    const { child } = await startGateway({ config, dataDir: first.dataDir });
    await child.waitForOutput(/"alarms":\["low_disk_space"\],"msg":"alarms are active"/);
    await until("the same alarm not to be told again", () => /"msg":"ready"/.test(child.output()));
    expect(child.output()).not.toContain("alarm raised");
  });
});
