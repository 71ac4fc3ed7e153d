import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BrokerApi, KEEP, NODE, startBrokerApi, until } from "./broker-api.testing.ts";
import { clientRoutes } from "./clients.ts";
import { clientV2Routes } from "./clients-v2.ts";

let api: BrokerApi;

beforeAll(async () => {
  api = await startBrokerApi((services) => [
    ...clientRoutes(services),
    ...clientV2Routes(services),
  ]);
  await api.connect("sensor-1", { username: "ann" }, 4);
  await api.leave("Sensor-2");
  await api.connect("sensor-3", { ...KEEP, username: "bob", keepalive: 30 });
  await api.connect("old", { clean: true }, 3);
});

afterAll(() => api.close());

const get = (path: string) => api.send("GET", path);
const ids = async (query: string) =>
  (await get(`/clients?fields=clientid&${query}`)).body.data.map(
    ({ clientid }: { clientid: string }) => clientid,
  );

describe("GET /clients", () => {
  it("lists connected clients and sessions left behind, oldest first, with their number", async () => {
    const { status, body } = await get("/clients");
    expect(status).toBe(200);
    expect(body.meta).toEqual({ page: 1, limit: 100, count: 4, hasnext: false });
    const [first, second, third, fourth] = body.data;
    expect(first).toMatchObject({
      clientid: "sensor-1",
      username: "ann",
      node: NODE,
      ip_address: "127.0.0.1",
      listener: "tcp:default",
      proto_name: "MQTT",
      proto_ver: 4,
      connected: true,
      clean_start: true,
      expiry_interval: 0,
      is_bridge: false,
      mountpoint: null,
      subscriptions_cnt: 0,
      recv_pkt: 1,
      send_pkt: 1,
      "recv_msg.qos0": 0,
      "send_msg.dropped.queue_full": 0,
    });
    expect(first).not.toHaveProperty("disconnected_at");
    expect(first.created_at).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d$/);
    expect(second).toMatchObject({ clientid: "Sensor-2", connected: false, username: null });
    expect(second.disconnected_at >= second.connected_at).toBe(true);
    expect(second).toMatchObject({ subscriptions_cnt: 1, durable: true, recv_pkt: 2 });
    expect(third).toMatchObject({ keepalive: 30, expiry_interval: 600 });
    expect(fourth).toMatchObject({ proto_name: "MQIsdp", proto_ver: 3 });
  });

  it("gives pages that neither overlap nor leave anybody out", async () => {
    const pages = [];
    for (const page of [1, 2, 3]) pages.push((await get(`/clients?limit=2&page=${page}`)).body);
    expect(pages.map(({ data }) => data.length)).toEqual([2, 2, 0]);
    expect(pages.map(({ meta }) => [meta.hasnext, meta.count])).toEqual([
      [true, 4],
      [false, 4],
      [false, 4],
    ]);
  });

  it.each([
    ["clientid=sensor-1", ["sensor-1"]],
    ["clientid=sensor-3&clientid=sensor-1&clientid=none", ["sensor-1", "sensor-3"]],
    ["username=bob&username=ann", ["sensor-1", "sensor-3"]],
    ["like_clientid=ensor", ["sensor-1", "Sensor-2", "sensor-3"]],
    ["like_clientid=sensor", ["sensor-1", "sensor-3"]],
    ["clientid=old&like_clientid=sensor", ["old"]],
    ["like_username=n", ["sensor-1"]],
    ["ip_address=127.0.0.1&proto_ver=3", ["old"]],
    ["ip_address=%3A%3Affff%3A127.0.0.1&conn_state=disconnected", ["Sensor-2"]],
    ["ip_address=10.0.0.1", []],
    ["conn_state=connected", ["sensor-1", "sensor-3", "old"]],
    ["conn_state=idle", []],
    ["clean_start=false", ["Sensor-2", "sensor-3"]],
    ["proto_ver=5&clean_start=false&username=bob", ["sensor-3"]],
    ["lte_created_at=0", []],
    ["gte_connected_at=2020-01-01T00:00:00%2B02:00&clientid=old", ["old"]],
    [`node=${NODE}&clientid=old`, ["old"]],
    ["_shallow=false&clientid=old", ["old"]],
  ])("%s finds %j", async (query, expected) => {
    expect(await ids(query)).toEqual(expected);
  });

  it("counts what an exact filter finds, and leaves the count out for parts and ranges", async () => {
    expect((await get("/clients?conn_state=connected&limit=1")).body.meta).toEqual({
      page: 1,
      limit: 1,
      count: 3,
      hasnext: true,
    });
    for (const query of ["like_clientid=sensor", "gte_created_at=0"]) {
      const { meta } = (await get(`/clients?limit=1&${query}`)).body;
      expect(meta).toEqual({ page: 1, limit: 1, hasnext: true });
    }
  });

  it("shows the members that `fields` names, and no others", async () => {
    const { body } = await get("/clients?fields=clientid,connected,recv_msg.qos1&clientid=old");
    expect(body.data).toEqual([{ clientid: "old", connected: true, "recv_msg.qos1": 0 }]);
    expect((await get("/clients?fields=all&clientid=old")).body.data[0]).toHaveProperty("listener");
  });

  it.each([
    ["ip_address=home", 400, "INVALID_PARAMETER"],
    ["node=other@127.0.0.1", 500, "NODE_DOWN"],
    ["fields=clientid,listener", 400, "BAD_REQUEST"],
    ["fields=", 400, "BAD_REQUEST"],
    ["conn_state=asleep", 400, "BAD_REQUEST"],
    ["clean_start=maybe", 400, "BAD_REQUEST"],
    ["proto_ver=6", 400, "BAD_REQUEST"],
    ["gte_created_at=yesterday", 400, "BAD_REQUEST"],
    ["limit=10001", 400, "BAD_REQUEST"],
    ["limit=0", 400, "BAD_REQUEST"],
    ["page=0", 400, "BAD_REQUEST"],
    ["limit=", 400, "BAD_REQUEST"],
  ])("%s is refused with %i %s", async (query, status, code) => {
    expect(await get(`/clients?${query}`)).toMatchObject({ status, body: { code } });
  });
});

describe("GET /clients_v2", () => {
  const page = async (query: string) => (await get(`/clients_v2?fields=clientid&${query}`)).body;

  it("walks all clients by the cursor, which is absent on the last page", async () => {
    const one = await page("limit=3");
    expect(one.data.map((row: { clientid: string }) => row.clientid)).toEqual([
      "sensor-1",
      "Sensor-2",
      "sensor-3",
    ]);
    expect(one.meta).toEqual({ count: 3, cursor: expect.stringMatching(/^[\w-]+$/) });
    const two = await page(`limit=3&cursor=${one.meta.cursor}`);
    expect(two).toEqual({ data: [{ clientid: "old" }], meta: { count: 1 } });
  });

  it("goes on behind a client that has gone meanwhile", async () => {
    await api.connect("leaving", {});
    await api.connect("staying", {});
    const one = await page("limit=5");
    expect(one.data.at(-1)).toEqual({ clientid: "leaving" });
    await api.rig.broker.removeClient("leaving");
    expect((await page(`cursor=${one.meta.cursor}`)).data).toEqual([{ clientid: "staying" }]);
    await api.rig.broker.removeClient("staying");
  });

  it("takes the filters of the other list", async () => {
    expect(await page("conn_state=connected&like_clientid=sensor&limit=1")).toMatchObject({
      data: [{ clientid: "sensor-1" }],
      meta: { count: 1 },
    });
  });

  it.each(["cursor=nonsense", "cursor=", "cursor=czE%3D"])("refuses %s", async (query) => {
    expect(await get(`/clients_v2?${query}`)).toMatchObject({
      status: 400,
      body: { code: "BAD_REQUEST", message: "bad cursor" },
    });
  });
});

describe("one client", () => {
  it("GET shows it, or is 404", async () => {
    expect((await get("/clients/sensor-1")).body).toMatchObject({ clientid: "sensor-1" });
    expect(await get("/clients/nobody")).toMatchObject({
      status: 404,
      body: { code: "CLIENTID_NOT_FOUND", message: "Client ID not found" },
    });
  });

  it("DELETE closes its connection with 0x98 and ends its session", async () => {
    const client = await api.connect("unwanted", KEEP);
    expect((await api.call("DELETE", "/clients/unwanted")).status).toBe(204);
    expect(await client.next("disconnect")).toMatchObject({ reasonCode: 0x98 });
    await client.closed();
    expect((await get("/clients/unwanted")).status).toBe(404);
    expect((await api.call("DELETE", "/clients/unwanted")).status).toBe(404);
  });

  it("DELETE ends a session left behind", async () => {
    await api.leave("gone");
    expect((await api.call("DELETE", "/clients/gone")).status).toBe(204);
    expect((await get("/clients/gone")).status).toBe(404);
  });

  it("an id with slashes and signs is found when it is percent-encoded", async () => {
    const id = "a/b+c#d e%";
    await api.connect(id, {});
    expect((await get(`/clients/${encodeURIComponent(id)}`)).body.clientid).toBe(id);
    expect((await api.call("DELETE", `/clients/${encodeURIComponent(id)}`)).status).toBe(204);
  });

  it("PUT keepalive counts at once", async () => {
    const client = await api.connect("quiet", { keepalive: 600 });
    const put = (id: string, body: unknown) =>
      api.call("PUT", `/clients/${id}/keepalive`, { body });
    expect(await put("quiet", { interval: 1 })).toMatchObject({
      status: 200,
      body: { keepalive: 1 },
    });
    await until(() => client.isClosed);
    expect((await put("Sensor-2", { interval: 1 })).status).toBe(404);
    for (const body of [{}, { interval: 65_536 }, { interval: "5" }, { interval: 5, more: 1 }]) {
      expect(await put("sensor-1", body)).toMatchObject({ status: 400 });
    }
  });
});

describe("POST /clients/kickout/bulk", () => {
  const kick = (body: unknown) => api.call("POST", "/clients/kickout/bulk", { body });

  it("puts out those that there are", async () => {
    const clients = [await api.connect("x1", KEEP), await api.connect("x2", {})];
    expect((await kick(["x1", "nobody", "x2", "x1"])).status).toBe(204);
    for (const client of clients) await client.closed();
    expect(await ids("like_clientid=x")).toEqual([]);
    expect((await kick([])).status).toBe(204);
  });

  it.each(['{"x1":1}', '["a",5]', "5"])("refuses %s", async (body) => {
    expect((await kick(JSON.parse(body))).status).toBe(400);
  });
});

describe("GET /sessions_count", () => {
  it("counts who is connected, and who was at the time or later", async () => {
    expect((await get("/sessions_count")).body).toBe(4);
    expect((await get("/sessions_count?since=4102444800")).body).toBe(3);
    expect((await get("/sessions_count?since=2020-01-01T00:00:00Z")).body).toBe(4);
    expect((await get("/sessions_count?since=soon")).status).toBe(400);
  });
});
