import { describe, expect, it } from "vitest";
import { startGateway } from "../helpers/gateway-process.ts";
import { login } from "../helpers/http-v5.ts";
import { connectDevice } from "../helpers/mqtt.ts";
import { until } from "../helpers/until.ts";

const TRACE = { name: "t1", type: "clientid", clientid: "sensor" };

describe("what can be seen of a running gateway", () => {
  it("is counted, kept over a restart, given to Prometheus, traced and told on $SYS", async () => {
    const gateway = await startGateway();
    const api = await login(gateway.ports.http);
    expect((await api("POST", "/mqtt/topic_metrics", { topic: "line/1" })).status).toBe(200);
    expect((await api("POST", "/trace", TRACE)).status).toBe(200);
    const slow = { enable: true, threshold: "0ms" };
    expect((await api("PUT", "/slow_subscriptions/settings", slow)).status).toBe(200);
    expect((await api("PUT", "/configs/sys_topics", { sys_msg_interval: "1s" })).status).toBe(200);

    const watcher = await connectDevice(gateway.ports.tcp, {
      clientId: "watcher",
      subscribe: ["line/#", "$SYS/brokers/+/metrics/messages.received"],
    });
    const sensor = await connectDevice(gateway.ports.tcp, { clientId: "sensor" });
    for (const text of ["one", "two", "three"]) {
      await sensor.client.publishAsync("line/1", text, { qos: 1 });
    }
    await watcher.receives(3);

    await until("the slow subscription", async () => {
      const { body } = await api("GET", "/slow_subscriptions");
      return JSON.stringify(body).includes('"clientid":"watcher"');
    });
    expect((await api("GET", "/metrics?aggregate=true")).body).toMatchObject({
      "messages.qos1.received": 3,
      "messages.acked": 3,
      "client.connected": 2,
      "authorization.allow": expect.any(Number),
    });
    expect((await api("GET", "/stats?aggregate=true")).body).toMatchObject({
      "live_connections.count": 2,
      "live_connections.max": 2,
      "topics.count": 2,
    });
    expect((await api("GET", "/mqtt/topic_metrics/line%2F1")).body).toMatchObject({
      metrics: { "messages.in.count": 3, "messages.out.count": 3, "messages.dropped.count": 0 },
    });
    const log = JSON.stringify((await api("GET", "/trace/t1/log?bytes=100000")).body);
    for (const text of ["mqtt_connected", "payload: one", "payload: three"]) {
      expect(log).toContain(text);
    }
    expect(log).not.toContain("watcher");
    await until("a report on $SYS", () =>
      watcher.received.some(({ topic, payload }) => topic.startsWith("$SYS/") && payload === "3"),
    );
    await until("a rate and the history", async () => {
      const { body } = await api("GET", "/monitor_current");
      const { body: rows } = await api("GET", "/monitor?latest=60");
      const sums = Array.isArray(rows) ? rows.map(({ received }) => received ?? 0) : [];
      return (
        JSON.stringify(body).includes('"live_connections":2') &&
        sums.reduce((sum: number, count: number) => sum + count, 0) === 3
      );
    });

    const metrics = `http://127.0.0.1:${gateway.ports.http}/api/v5/prometheus/stats`;
    expect((await fetch(metrics)).status).toBe(401);
    expect((await api("PUT", "/prometheus", { enable_basic_auth: false })).status).toBe(200);
    const text = await (await fetch(metrics)).text();
    expect(text).toContain("\nemqx_messages_qos1_received 3\n");
    expect(text).toMatch(/\ntidegate_process_rss_bytes \d+\n/);
    expect(text).toMatch(/\ntidegate_written_bytes\{cause="\w+"\} \d+\n/);

    await gateway.child.kill("SIGTERM");
    const again = await startGateway({ dataDir: gateway.dataDir });
    const later = await login(again.ports.http);
    await until(
      "the step under way to end",
      async () => {
        const series = (await later("GET", "/monitor?latest=3600")).body;
        const received = Array.isArray(series) ? series.map((row) => row.received ?? 0) : [];
        return received.reduce((sum: number, count: number) => sum + count, 0) === 3;
      },
      15_000,
    );
    expect((await later("GET", "/mqtt/topic_metrics")).body).toMatchObject([{ topic: "line/1" }]);
    expect((await later("GET", "/trace")).body).toMatchObject([{ name: "t1", status: "running" }]);
    expect((await later("GET", "/slow_subscriptions/settings")).body).toMatchObject({
      enable: true,
    });
  }, 40_000);
});
