import { afterAll, beforeAll, expect, it } from "vitest";
import { type BrokerApi, startBrokerApi } from "./broker-api.testing.ts";
import { clientAuthorizationRoutes } from "./client-authorization.ts";

const remembered = [
  { topic: "a", qos: 1, retain: false, isAllowed: true, atMs: 1_700_000_000_000 },
  { topic: "secret", qos: 0, retain: true, isAllowed: false, atMs: 1_700_000_000_001 },
] as const;

let api: BrokerApi;
let isForgotten = false;

beforeAll(async () => {
  const mqttAccess = {
    rememberedDecisions: (clientId: string) => (clientId === "c" && !isForgotten ? remembered : []),
    forgetDecisions(clientId?: string) {
      isForgotten = clientId === "c";
    },
  };
  api = await startBrokerApi(({ clients }) => clientAuthorizationRoutes({ clients, mqttAccess }));
  await api.connect("c", {});
});

afterAll(() => api.close());

it("shows what is remembered of a client, until it is forgotten", async () => {
  const cache = "/clients/c/authorization/cache";
  expect(await api.send("GET", cache)).toEqual({
    status: 200,
    body: [
      {
        access: { action_type: "publish", qos: 1, retain: false },
        topic: "a",
        result: "allow",
        updated_time: 1_700_000_000_000,
      },
      {
        access: { action_type: "publish", qos: 0, retain: true },
        topic: "secret",
        result: "deny",
        updated_time: 1_700_000_000_001,
      },
    ],
  });
  expect((await api.send("DELETE", cache)).status).toBe(204);
  expect(await api.send("GET", cache)).toEqual({ status: 200, body: [] });
});

it("is 404 for a client there is not", async () => {
  for (const method of ["GET", "DELETE"] as const) {
    expect(await api.send(method, "/clients/none/authorization/cache")).toMatchObject({
      status: 404,
      body: { code: "CLIENTID_NOT_FOUND" },
    });
  }
});
