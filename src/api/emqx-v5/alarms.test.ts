import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Alarms, createAlarms } from "../../alarms/index.ts";
import { createLog } from "../../log/index.ts";
import { ManualClock } from "../../time/index.ts";
import { alarmRoutes } from "./alarms.ts";
import { startApi, type TestRoutes } from "./kit/kit.testing.ts";
import { LiveGateway } from "./live-gateway.testing.ts";

let clock: ManualClock;
let alarms: Alarms;
let api: TestRoutes;

beforeEach(async () => {
  clock = new ManualClock(Date.UTC(2026, 4, 1, 10));
  const log = createLog({ level: "fatal" }, { write: () => undefined });
  alarms = createAlarms(
    { log, clock, bus: { publish: async () => undefined } },
    {
      node: "n1",
      settings: () => ({ actions: [], size_limit: 1000, validity_period_s: 86_400 }),
    },
  );
  await alarms.start();
  api = await startApi(alarmRoutes({ node: { name: "tidegate@127.0.0.1" }, alarms }));
});

afterEach(async () => {
  await api.close();
  await alarms.stop();
});

const inUtc = (time: unknown) => new Date(String(time)).toISOString();

describe("GET /alarms", () => {
  it("shows active alarms as EMQX does, newest first", async () => {
    alarms.raise("old", "It was first.");
    clock.advance(1500);
    alarms.raise("high_temperature", "It is hot.", { temperature_c: 81 });
    const { status, body } = await api.call("GET", "/alarms");
    expect(status).toBe(200);
    expect(body).toMatchObject({
      data: [
        {
          node: "tidegate@127.0.0.1",
          name: "high_temperature",
          message: "It is hot.",
          details: { temperature_c: 81 },
          duration: 0,
        },
        { name: "old", details: {}, duration: 1500 },
      ],
      meta: { page: 1, limit: 100, count: 2, hasnext: false },
    });
    const [first] = (body as { data: Record<string, unknown>[] }).data;
    expect(inUtc(first?.["activate_at"])).toBe("2026-05-01T10:00:01.500Z");
    expect(first).not.toHaveProperty("deactivate_at");
  });

  it("shows those that are over with activated=false, and counts them apart", async () => {
    alarms.raise("a", "A.");
    alarms.raise("b", "B.");
    clock.advance(2000);
    alarms.clear("a");
    const over = await api.call("GET", "/alarms?activated=false");
    expect(over.body).toMatchObject({ data: [{ name: "a", duration: 2000 }], meta: { count: 1 } });
    const [row] = (over.body as { data: Record<string, unknown>[] }).data;
    expect(inUtc(row?.["deactivate_at"])).toBe("2026-05-01T10:00:02.000Z");
    const active = await api.call("GET", "/alarms?activated=true");
    expect(active.body).toMatchObject({ data: [{ name: "b" }], meta: { count: 1 } });
  });

  it("is paged", async () => {
    for (let i = 0; i < 25; i++) alarms.raise(`a${i}`, "A.");
    const { body } = await api.call("GET", "/alarms?page=3&limit=10");
    expect(body).toMatchObject({
      data: ["a4", "a3", "a2", "a1", "a0"].map((name) => ({ name })),
      meta: { page: 3, limit: 10, count: 25, hasnext: false },
    });
    expect((await api.call("GET", "/alarms?page=2&limit=10")).body).toMatchObject({
      meta: { hasnext: true },
    });
  });

  it("refuses a filter that is no truth value", async () => {
    expect((await api.call("GET", "/alarms?activated=perhaps")).status).toBe(400);
  });
});

describe("DELETE /alarms", () => {
  it("forgets those that are over and leaves the active ones", async () => {
    alarms.raise("a", "A.");
    alarms.raise("b", "B.");
    alarms.clear("a");
    expect((await api.call("DELETE", "/alarms")).status).toBe(204);
    expect([alarms.active().length, alarms.history().length]).toEqual([1, 0]);
  });
});

describe("POST /alarms/force_deactivate", () => {
  it("ends an active alarm, and refuses one that is not", async () => {
    alarms.raise("store_set_aside", "The store was damaged.", {}, { isLatched: true });
    const end = () =>
      api.call("POST", "/alarms/force_deactivate", { body: { name: "store_set_aside" } });
    expect((await end()).status).toBe(204);
    expect(alarms.active()).toEqual([]);
    expect(await end()).toMatchObject({ status: 400, body: { code: "BAD_REQUEST" } });
  });

  it("needs a name", async () => {
    const reply = await api.call("POST", "/alarms/force_deactivate", { body: {} });
    expect(reply.status).toBe(400);
  });
});

describe("in a whole gateway", () => {
  it("what is wrong is shown, and ends where it is ended, over a restart too", async () => {
    const live = await LiveGateway.start(
      alarmRoutes,
      `
listeners: {tcp: {bind: 127.0.0.1, port: 0}, ws: {enable: false}}
http: {bind: 127.0.0.1, port: 0, emqx_port: null}
sysmon: {disk_high_watermark_percent: 1}
`,
    );
    const names = async (path: string) => {
      const { body } = await live.call("GET", path);
      return (body as { data: { name: string }[] }).data.map(({ name }) => name);
    };
    expect(await names("/alarms")).toContain("low_disk_space");
    await live.restart();
    expect(await names("/alarms")).toContain("low_disk_space");
    const body = { name: "low_disk_space" };
    expect((await live.call("POST", "/alarms/force_deactivate", { body })).status).toBe(204);
    expect(await names("/alarms")).not.toContain("low_disk_space");
    expect(await names("/alarms?activated=false")).toContain("low_disk_space");
  });
});
