import { describe, expect, test } from "vitest";
import { bannedRoutes } from "./banned.ts";
import { LiveGateway, until } from "./live-gateway.testing.ts";

const start = () => LiveGateway.start((services) => bannedRoutes(services));

test("a ban disconnects, refuses, and survives a restart until it is lifted", async () => {
  const live = await start();
  const { mqtt } = await live.connect({ clientId: "bad-1" });
  const other = await live.connect({ clientId: "good", protocolVersion: 5 });
  const body = { as: "clientid", who: "bad-1", by: "admin", reason: "flood" };
  const { status, body: ban } = await live.call("POST", "/banned", { body });
  expect(status).toBe(200);
  expect(ban).toMatchObject({ ...body, until: "infinity" });
  await until(() => !mqtt.connected);
  expect(other.mqtt.connected).toBe(true);
  await expect(live.connect({ clientId: "bad-1" })).rejects.toMatchObject({ code: 5 });
  const v5 = live.connect({ clientId: "bad-1", protocolVersion: 5 });
  await expect(v5).rejects.toMatchObject({ code: 0x8a });

  await live.restart();
  await expect(live.connect({ clientId: "bad-1" })).rejects.toMatchObject({ code: 5 });
  expect((await live.call("DELETE", "/banned/clientid/bad-1")).status).toBe(204);
  await live.connect({ clientId: "bad-1" });
  const again = await live.call("DELETE", "/banned/clientid/bad-1");
  expect(again).toMatchObject({ status: 404, body: { code: "NOT_FOUND" } });
});

test("a block of addresses can be banned", async () => {
  const live = await start();
  const { mqtt } = await live.connect({ clientId: "a" });
  const body = { as: "peerhost_net", who: "127.0.0.0/8" };
  expect((await live.call("POST", "/banned", { body })).status).toBe(200);
  await until(() => !mqtt.connected);
  await expect(live.connect({ clientId: "b" })).rejects.toMatchObject({ code: 5 });
  expect((await live.call("DELETE", "/banned/peerhost_net/127.0.0.0%2F8")).status).toBe(204);
  await live.connect({ clientId: "b" });
});

describe("with some bans", () => {
  async function some() {
    const live = await start();
    const bans = [
      { as: "clientid", who: "c-1", at: 1_700_000_000, until: "2999-01-01T00:00:00Z" },
      { as: "clientid", who: "c-2", at: 1_700_000_001, until: 4_000_000_000 },
      { as: "clientid_re", who: "^c-9", at: 1_700_000_002 },
      { as: "username", who: "ann", at: 1_700_000_003 },
      { as: "peerhost", who: "192.0.2.7", at: 1_700_000_004 },
      { as: "peerhost_net", who: "192.0.2.0/24", at: 1_700_000_005 },
    ];
    for (const body of bans)
      expect((await live.call("POST", "/banned", { body })).status).toBe(200);
    const who = async (query: string) => {
      const { body } = await live.call("GET", `/banned${query}`);
      return (body as { data: { who: string }[] }).data.map((row) => row.who);
    };
    return { live, who };
  }

  test("each filter finds what it names, and two at once are refused", async () => {
    const { live, who } = await some();
    expect(await who("?limit=2")).toEqual(["c-1", "c-2"]);
    expect(await who("?limit=2&page=3")).toEqual(["192.0.2.7", "192.0.2.0/24"]);
    expect(await who("?clientid=c-1")).toEqual(["c-1"]);
    expect(await who("?clientid=c")).toEqual([]);
    expect(await who("?like_clientid=c-")).toEqual(["c-1", "c-2", "^c-9"]);
    expect(await who("?username=ann")).toEqual(["ann"]);
    expect(await who("?like_username=^a")).toEqual(["ann"]);
    expect(await who("?peerhost=192.0.2.7")).toEqual(["192.0.2.7"]);
    expect(await who("?like_peerhost=^192")).toEqual(["192.0.2.7"]);
    expect(await who("?like_peerhost_net=24$")).toEqual(["192.0.2.0/24"]);
    const both = await live.call("GET", "/banned?clientid=a&username=b");
    expect(both).toMatchObject({ status: 400, body: { code: "BAD_REQUEST" } });
    const broken = await live.call("GET", "/banned?like_clientid=(");
    expect(broken).toMatchObject({ status: 400, body: { code: "BAD_REQUEST" } });
  });

  test("all can be lifted at once", async () => {
    const { live, who } = await some();
    expect((await live.call("DELETE", "/banned")).status).toBe(204);
    expect(await who("")).toEqual([]);
  });

  test("wrong ones are refused", async () => {
    const { live } = await some();
    const wrong = [
      [{ as: "clientid", who: "c-1" }, "ALREADY_EXISTS"],
      [{ as: "clientid", who: "x", until: 1_600_000_000 }, "BAD_REQUEST"],
      [{ as: "clientid", who: "x", until: "tomorrow" }, "BAD_REQUEST"],
      [{ as: "peerhost", who: "no address" }, "BAD_REQUEST"],
      [{ as: "username_re", who: "(" }, "BAD_REQUEST"],
      [{ as: "nobody", who: "x" }, "BAD_REQUEST"],
      [{ as: "clientid" }, "BAD_REQUEST"],
      [{ as: "clientid", who: "x", unknown: 1 }, "BAD_REQUEST"],
    ] as const;
    for (const [body, code] of wrong) {
      const answer = await live.call("POST", "/banned", { body });
      expect(answer).toMatchObject({ status: 400, body: { code } });
    }
    expect((await live.call("DELETE", "/banned/nobody/x")).status).toBe(400);
  });
});
