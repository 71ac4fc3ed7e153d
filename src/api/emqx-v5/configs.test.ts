import { expect, test } from "vitest";
import { configRoutes } from "./configs.ts";
import { parseHocon } from "./hocon.ts";
import { LiveGateway, until } from "./live-gateway.testing.ts";

const start = () => LiveGateway.start((services) => configRoutes(services));

const hocon = (body: string) => ({ body, headers: { "content-type": "text/plain" } });

async function zoneMqtt(live: LiveGateway): Promise<Record<string, unknown>> {
  const { body } = await live.call("GET", "/configs/global_zone");
  return (body as { mqtt: Record<string, unknown> }).mqtt;
}

test("MQTT options apply at once and survive a restart", async () => {
  const live = await start();
  const mqtt = { max_packet_size: "2KB", max_inflight: 7, max_mqueue_len: 50 };
  const answer = await live.call("PUT", "/configs/global_zone", { body: { mqtt } });
  expect(answer).toMatchObject({ status: 200, body: { mqtt } });
  const device = await live.connect();
  device.mqtt.publish("t", "x".repeat(3000));
  await until(() => !device.mqtt.connected);
  await live.restart();
  expect(await zoneMqtt(live)).toMatchObject({ ...mqtt, keepalive_multiplier: 1.5 });
});

test("what was answered can be sent back; what cannot be had is refused and changes nothing", async () => {
  const live = await start();
  const { body: zone } = await live.call("GET", "/configs/global_zone");
  expect((await live.call("PUT", "/configs/global_zone", { body: zone })).status).toBe(200);
  for (const name of ["alarm", "broker", "file_transfer", "log", "sys_topics", "sysmon"]) {
    const { body } = await live.call("GET", `/configs/${name}`);
    expect(await live.call("PUT", `/configs/${name}`, { body })).toMatchObject({
      status: 200,
      body,
    });
  }
  const wrong = [
    { mqtt: { shared_subscription: false } },
    { mqtt: { strict_mode: false } },
    { mqtt: { max_qos_allowed: 1, max_inflight: 3 } },
    { mqtt: { max_inflight: 100_000 } },
    { flapping_detect: { enable: true } },
  ];
  for (const body of wrong) {
    expect(await live.call("PUT", "/configs/global_zone", { body })).toMatchObject({
      status: 400,
      body: { code: "UPDATE_FAILED" },
    });
  }
  const unknown = await live.call("PUT", "/configs/global_zone", { body: { mqtt: { no: 1 } } });
  expect(unknown).toMatchObject({ status: 400, body: { code: "BAD_REQUEST" } });
  expect((await live.call("GET", "/configs/global_zone")).body).toEqual(zone);
});

test("alarm and sysmon options are ours under EMQX's names, and can be reset", async () => {
  const live = await start();
  const alarm = { actions: ["log"], size_limit: 5, validity_period: "2h" };
  expect((await live.call("PUT", "/configs/alarm", { body: alarm })).body).toEqual(alarm);
  const os = { cpu_high_watermark: "91%", cpu_low_watermark: "12%" };
  const sysmon = await live.call("PUT", "/configs/sysmon", { body: { os } });
  expect(sysmon).toMatchObject({ status: 200, body: { os } });
  const reset = (path: string) => live.call("POST", `/configs_reset/${path}`);
  expect((await reset("sysmon?conf_path=os.cpu_high_watermark")).status).toBe(200);
  expect((await live.call("GET", "/configs/sysmon")).body).toMatchObject({
    os: { cpu_high_watermark: "80%", cpu_low_watermark: "12%" },
  });
  expect((await reset("alarm")).status).toBe(200);
  expect((await live.call("GET", "/configs/alarm")).body).toMatchObject({ validity_period: "1d" });
  expect(await reset("broker")).toMatchObject({ body: { code: "NO_DEFAULT_VALUE" } });
  expect(await reset("nothing")).toMatchObject({ body: { code: "RESET_FAILED" } });
});

test("the intervals of $SYS are ours, and may be disabled", async () => {
  const live = await start();
  const intervals = { sys_msg_interval: "90s", sys_heartbeat_interval: "disabled" };
  const put = await live.call("PUT", "/configs/sys_topics", { body: intervals });
  expect(put).toMatchObject({ status: 200, body: intervals });
  expect(
    await live.call("PUT", "/configs/sys_topics", {
      body: { sys_event_messages: { client_subscribed: true } },
    }),
  ).toMatchObject({ status: 400, body: { code: "UPDATE_FAILED" } });
});

test("the whole configuration is HOCON or JSON, and goes back in as HOCON", async () => {
  const live = await start();
  const text = await live.call("GET", "/configs", { headers: { accept: "text/plain" } });
  expect(text.headers["content-type"]).toContain("text/plain");
  expect(parseHocon(String(text.body))).toMatchObject({ mqtt: { max_inflight: 1024 } });
  const put = (body: string, query = "") => live.call("PUT", `/configs${query}`, hocon(body));
  expect(await put(String(text.body), "?ignore_readonly=true")).toMatchObject({ status: 200 });
  expect(await put("mqtt.max_inflight = 12\nalarm { size_limit = 9 }")).toMatchObject({
    status: 200,
    body: null,
  });
  expect(await zoneMqtt(live)).toMatchObject({ max_inflight: 12 });
  expect(await put("mqtt { max_mqueue_len = 33 }", "?mode=replace")).toMatchObject({ status: 200 });
  expect(await zoneMqtt(live)).toMatchObject({ max_inflight: 1024, max_mqueue_len: 33 });
  expect(await put("mqtt.max_inflight = 5\nmqtt.strict_mode = false\nnode.name = x")).toMatchObject(
    {
      status: 400,
      body: { errors: { mqtt: expect.any(String), node: expect.any(String) } },
    },
  );
  expect(await put("mqtt {")).toMatchObject({ status: 400, body: { code: "UPDATE_FAILED" } });
  expect(await zoneMqtt(live)).toMatchObject({ max_inflight: 1024 });
});

test("JSON, one root, and what neither is are told apart", async () => {
  const live = await start();
  const get = (query: string, accept: string) =>
    live.call("GET", `/configs${query}`, { headers: { accept } });
  const text = await get("?key=delayed", "text/plain");
  expect(parseHocon(String(text.body))).toEqual({
    delayed: { enable: true, max_delayed_messages: 0 },
  });
  const json = await get("?key=delayed", "application/json");
  expect(json.body).toEqual({ delayed: { enable: true, max_delayed_messages: 0 } });
  expect(await get("?key=none", "text/plain")).toMatchObject({ body: { code: "NOT_FOUND" } });
  expect(await get("?node=other", "text/plain")).toMatchObject({ status: 404 });
  expect(await get("", "image/png")).toMatchObject({ body: { code: "INVALID_ACCEPT" } });
});

test("a level of the log waits for the restart that follows", async () => {
  const live = await start();
  const body = { console: { level: "debug" } };
  expect(await live.call("PUT", "/configs/log", { body })).toMatchObject({ status: 200, body });
  await live.restart();
  expect((await live.call("GET", "/configs/log")).body).toMatchObject(body);
  const wrong = await live.call("PUT", "/configs/log", { body: { console: { level: "loud" } } });
  expect(wrong).toMatchObject({ status: 400, body: { code: "BAD_REQUEST" } });
});
