import { expect, test } from "vitest";
import { authenticationRoutes } from "./authentication.ts";
import { authorizationRoutes } from "./authorization.ts";
import { clientAuthorizationRoutes } from "./client-authorization.ts";
import { LiveGateway, until } from "./live-gateway.testing.ts";
import { metricsRoutes } from "./metrics.ts";

const CONFIG = `
listeners:
  tcp: {bind: 127.0.0.1, port: 0}
  ws: {enable: false}
http: {bind: 127.0.0.1, port: 0, emqx_port: null}
auth:
  allow_anonymous: false
acl: {no_match: deny}
`;

const CHAIN = "/authentication/password_based:built_in_database";
const SOURCES = "/authorization/sources";
const RULES = `${SOURCES}/built_in_database/rules`;

const allow = (topic: string, action = "all") => ({ topic, permission: "allow", action });

/** A gateway whose database and rules are there, with users of password p and their rules. */
async function start(users: Readonly<Record<string, readonly object[]>>) {
  const live = await LiveGateway.start(
    (services) => [
      ...authenticationRoutes(services),
      ...authorizationRoutes(services),
      ...clientAuthorizationRoutes(services),
      ...metricsRoutes(services),
    ],
    CONFIG,
  );
  const call = async (method: "GET" | "POST" | "PUT" | "DELETE", path: string, body?: object) => {
    const reply = await live.call(method, path, body === undefined ? {} : { body });
    if (reply.status >= 400) throw new Error(`${method} ${path}: ${JSON.stringify(reply.body)}`);
    return reply.body;
  };
  await call("POST", "/authentication", {
    mechanism: "password_based",
    backend: "built_in_database",
    password_hash_algorithm: { name: "sha256" },
  });
  await call("POST", SOURCES, { type: "built_in_database" });
  for (const [username, rules] of Object.entries(users)) {
    await call("POST", `${CHAIN}/users`, { user_id: username, password: "p" });
    await call("PUT", `${RULES}/users/${encodeURIComponent(username)}`, { username, rules });
  }
  const connect = async (username: string, clientId = username) =>
    (await live.connect({ username, password: "p", clientId, protocolVersion: 5 })).mqtt;
  const rules = (username: string, list: readonly object[]) =>
    call("PUT", `${RULES}/users/${username}`, { username, rules: list });
  return { live, call, connect, rules };
}

test("a retained message is withheld once its publisher, or its reader, has lost the right to it", async () => {
  const { live, connect, rules } = await start({
    pub: [allow("r")],
    sub: [allow("r"), allow("done")],
  });
  const publisher = await connect("pub");
  await publisher.publishAsync("r", "secret", { qos: 1, retain: true });
  const readOnce = async (clientId: string) => {
    const { mqtt, received } = await live.connect({
      username: "sub",
      password: "p",
      clientId,
      protocolVersion: 5,
    });
    await mqtt.subscribeAsync("r", { qos: 1 });
    await mqtt.subscribeAsync("done", { qos: 1 });
    await mqtt.publishAsync("done", "", { qos: 1 });
    await until(() => received.some(({ topic }) => topic === "done"));
    return received.filter(({ topic }) => topic === "r").length;
  };
  expect(await readOnce("a")).toBe(1);
  await rules("pub", []);
  expect(await readOnce("b")).toBe(0);
  await rules("pub", [allow("r")]);
  expect(await readOnce("c")).toBe(1);
});

test("a superuser is bound by no rule, until the right is taken under the live session", async () => {
  const { call, connect } = await start({ boss: [] });
  await call("PUT", `${CHAIN}/users/boss`, { is_superuser: true });
  const boss = await connect("boss");
  await boss.publishAsync("anything", "", { qos: 1 });
  await call("PUT", `${CHAIN}/users/boss`, { is_superuser: false });
  await expect(boss.publishAsync("anything", "", { qos: 1 })).rejects.toThrow("Not authorized");
  // Gained again, it counts from the next CONNECT on.
  await call("PUT", `${CHAIN}/users/boss`, { is_superuser: true });
  await expect(boss.publishAsync("anything", "", { qos: 1 })).rejects.toThrow("Not authorized");
  const again = await connect("boss");
  await again.publishAsync("anything", "", { qos: 1 });
  const counters = (await call("GET", "/metrics?aggregate=true")) as Record<string, number>;
  expect(counters["authorization.superuser"]).toBe(2);
});

test("a user named like a wildcard gets nobody else's topics", async () => {
  const { connect } = await start({
    "#": [allow("own/${username}/x")],
    "+": [allow("own/${username}/x")],
    "a/b": [allow("own/${username}/x")],
  });
  for (const name of ["#", "+", "a/b"]) {
    const client = await connect(name, "c");
    await expect(client.publishAsync("own/other/x", "", { qos: 1 })).rejects.toThrow();
    await expect(client.subscribeAsync(`own/${name}/x`, { qos: 1 })).rejects.toThrow();
  }
});

test("a deleted user's session stays, and its next CONNECT is refused", async () => {
  const { call, connect } = await start({ dev: [allow("t")] });
  const client = await connect("dev");
  await call("DELETE", `${CHAIN}/users/dev`);
  await client.publishAsync("t", "", { qos: 1 });
  await expect(connect("dev", "other")).rejects.toThrow(/Bad User Name or Password/i);
});

test("deny_action counts for live clients from the next PUBLISH on", async () => {
  const { call, connect } = await start({ dev: [] });
  const client = await connect("dev");
  await expect(client.publishAsync("t", "", { qos: 1 })).rejects.toThrow();
  expect(client.connected).toBe(true);
  await call("PUT", "/authorization/settings", { deny_action: "disconnect" });
  client.publish("t", "", { qos: 1 }, () => undefined);
  await until(() => !client.connected);
});

test("a session that comes back has lost the filters it may no longer read", async () => {
  const { live, rules } = await start({ dev: [allow("keep"), allow("lose")] });
  const options = {
    username: "dev",
    password: "p",
    clientId: "c",
    clean: false,
    protocolVersion: 5,
    properties: { sessionExpiryInterval: 60 },
  } as const;
  const first = await live.connect(options);
  await first.mqtt.subscribeAsync(["keep", "lose"], { qos: 1 });
  await first.mqtt.endAsync();
  await rules("dev", [allow("keep")]);
  const second = await live.connect(options);
  await second.mqtt.publishAsync("keep", "", { qos: 1 });
  await until(() => second.received.length > 0);
  const rows = await live.gateway.services.subscriptions.find({ clientId: "c" });
  expect(rows.map(({ filter }) => filter)).toEqual(["keep"]);
});

test("users and rules are there after a restart", async () => {
  const { live, connect, call } = await start({ dev: [allow("t")] });
  await live.restart();
  const client = await connect("dev");
  await client.publishAsync("t", "", { qos: 1 });
  await expect(client.publishAsync("u", "", { qos: 1 })).rejects.toThrow();
  expect(await call("GET", `${RULES}/users/dev`)).toMatchObject({ username: "dev" });
});

test("what is remembered of one client is shown and dropped", async () => {
  const { live, call, connect } = await start({ dev: ["t", "u", "v", "w"].map((t) => allow(t)) });
  const path = "/clients/dev/authorization/cache";
  for (const method of ["GET", "DELETE"] as const) {
    expect(await live.call(method, path)).toMatchObject({
      status: 404,
      body: { code: "CLIENTID_NOT_FOUND" },
    });
  }
  await call("POST", `${RULES}/all`, { rules: ["a", "b", "c", "d"].map((t) => allow(t)) });
  const client = await connect("dev");
  await client.publishAsync("t", "", { qos: 1 });
  await expect(client.publishAsync("x", "", { qos: 1, retain: true })).rejects.toThrow();
  const row = (topic: string, retain: boolean, result: string) => ({
    access: { action_type: "publish", qos: 1, retain },
    topic,
    result,
    updated_time: expect.any(Number),
  });
  expect(await call("GET", path)).toEqual([row("t", false, "allow"), row("x", true, "deny")]);
  expect(await call("DELETE", path)).toBeNull();
  expect(await call("GET", path)).toEqual([]);
});
