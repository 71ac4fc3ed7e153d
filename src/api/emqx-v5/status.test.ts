import { afterEach, beforeEach, expect, test } from "vitest";
import { createTestApi, type TestApi } from "../test-api.testing.ts";

let api: TestApi;

beforeEach(async () => {
  api = await createTestApi({ node_name: "gw-1@10.0.0.7" as never });
});

afterEach(() => api.close());

const get = async (url: string) => api.app.inject({ method: "GET", url });

test.each(["/api/v5/status", "/api/v5/status?format=text", "/status?format=text"])(
  "%s answers without login with two lines",
  async (url) => {
    const reply = await get(url);
    expect(reply.statusCode).toBe(200);
    expect(reply.body).toBe("Node gw-1@10.0.0.7 is started\nemqx is running");
    expect(reply.headers).toMatchObject({ "content-type": "text/plain", "retry-after": "15" });
  },
);

test.each(["/api/v5/status?format=json", "/status?format=json", "/status"])(
  "%s answers with JSON, without the release EMQX would tell",
  async (url) => {
    const reply = await get(url);
    expect(reply.json()).toMatchObject({
      node_name: "gw-1@10.0.0.7",
      cluster: "emqxcl",
      broker_status: "started",
      app_status: "running",
    });
    expect(reply.json()).not.toHaveProperty("rel_vsn");
  },
);

test("while the gateway comes up both say so with 503", async () => {
  api.state.isReady = false;
  for (const url of ["/api/v5/status", "/status?format=text"]) {
    const reply = await get(url);
    expect(reply.statusCode).toBe(503);
    expect(reply.body).toBe("Node gw-1@10.0.0.7 is stopped\nemqx is not_running");
    expect(reply.headers["retry-after"]).toBe("15");
  }
});

test("a probe that looks for words finds them in the JSON of /status too", async () => {
  expect((await get("/status")).body).toContain("is running");
});
