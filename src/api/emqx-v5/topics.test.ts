import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BrokerApi, NODE, startBrokerApi } from "./broker-api.testing.ts";
import { topicRoutes } from "./topics.ts";

let api: BrokerApi;

beforeAll(async () => {
  api = await startBrokerApi(topicRoutes);
  for (const clientId of ["c", "d"]) {
    const client = await api.connect(clientId, {});
    for (const filter of ["a/b", "a/#", "$share/g/a/b", "$share/h/a/b"]) {
      await client.subscribe(filter, 0);
    }
  }
});

afterAll(() => api.close());

const get = (path: string) => api.send("GET", path);
const rows = (...topics: string[]) => topics.map((topic) => ({ topic, node: NODE }));

describe("GET /topics", () => {
  it("lists each filter once, and once more in each share", async () => {
    const { body } = await get("/topics");
    expect(body.data).toHaveLength(4);
    expect(body.data).toEqual(
      expect.arrayContaining(rows("a/b", "a/#", "$share/g/a/b", "$share/h/a/b")),
    );
    expect(body.meta).toEqual({ page: 1, limit: 100, count: 4, hasnext: false });
    const pages = [await get("/topics?limit=3"), await get("/topics?limit=3&page=2")];
    expect(pages.flatMap(({ body: page }) => page.data)).toEqual(body.data);
  });

  it("finds one filter exactly", async () => {
    expect((await get("/topics?topic=a/b")).body.data).toEqual(
      rows("a/b", "$share/g/a/b", "$share/h/a/b"),
    );
    expect((await get("/topics?topic=$share/h/a/b")).body.data).toEqual(rows("$share/h/a/b"));
    expect((await get("/topics?topic=a/c")).body).toMatchObject({ data: [], meta: { count: 0 } });
    expect((await get("/topics?topic=a/b&limit=1")).body.meta).toEqual({
      page: 1,
      limit: 1,
      hasnext: true,
    });
  });

  it("refuses what is no filter, and another node", async () => {
    expect(await get("/topics?topic=a/%23/b")).toMatchObject({
      status: 400,
      body: { code: "INVALID_PARAMETER", message: "topic_filter_invalid" },
    });
    expect(await get("/topics?node=other")).toMatchObject({
      status: 500,
      body: { code: "NODE_DOWN" },
    });
  });
});

describe("GET /topics/{topic}", () => {
  it("shows a filter with its shares", async () => {
    expect((await get("/topics/a%2Fb")).body).toEqual(rows("a/b", "$share/g/a/b", "$share/h/a/b"));
    expect((await get("/topics/a%2F%23")).body).toEqual(rows("a/#"));
  });

  it.each(["a%2Fc", "a%2F%23%2Fb"])("%s is 404", async (topic) => {
    expect(await get(`/topics/${topic}`)).toMatchObject({
      status: 404,
      body: { code: "TOPIC_NOT_FOUND", message: "Topic not found" },
    });
  });
});
