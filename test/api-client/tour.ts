/**
 * A tour through the API with a client that is generated from its document: what compiles here is
 * what the document promises, and what runs is what the gateway keeps.
 *
 * Usage: node tour.ts BASE-URL
 */
import createClient from "openapi-fetch";
import type { paths } from "./generated/schema.d.ts";

declare const process: { readonly argv: readonly string[]; exitCode: number };
declare const console: { log(text: string): void };

const baseUrl = `${process.argv[2]}/api/v5`;
const done: string[] = [];

interface Result<T> {
  readonly data?: T;
  readonly error?: unknown;
  readonly response: Response;
}

/** The answer of a call that has to succeed. */
async function got<T>(what: string, call: Promise<Result<T>>): Promise<T> {
  const { data, error, response } = await call;
  if (!response.ok) throw new Error(`${what}: ${response.status} ${JSON.stringify(error)}`);
  done.push(what);
  return data as T;
}

function check(what: string, isTrue: boolean): void {
  if (!isTrue) throw new Error(`${what} is not so`);
}

const stranger = createClient<paths>({ baseUrl });
const login = await got(
  "log in",
  stranger.POST("/login", { body: { username: "admin", password: "public" } }),
);
const headers = { authorization: `Bearer ${login.token}` };
const api = createClient<paths>({ baseUrl, headers });

const refused = await stranger.GET("/nodes");
check("a stranger is refused in the document's shape", refused.error?.code !== undefined);

const key = await got(
  "make a key",
  api.POST("/api_key", { body: { name: "tour", desc: "", enable: true, role: "viewer" } }),
);
const tool = createClient<paths>({
  baseUrl,
  headers: { authorization: `Basic ${btoa(`${key.api_key}:${key.api_secret}`)}` },
});
const nodes = await got("list nodes by key", tool.GET("/nodes"));
const node = nodes[0]?.node ?? "";
await got("one node", tool.GET("/nodes/{node}", { params: { path: { node } } }));
await got("statistics", tool.GET("/stats", { params: { query: { aggregate: true } } }));
await got("metrics", tool.GET("/metrics", { params: { query: { aggregate: false } } }));
await got("monitor", tool.GET("/monitor", { params: { query: { latest: 3600 } } }));
await got("monitor now", tool.GET("/monitor_current"));
const alarms = await got(
  "alarms",
  tool.GET("/alarms", { params: { query: { activated: true, page: 1, limit: 20 } } }),
);
check("a page has its number", alarms.meta.page === 1);
const viewer = await tool.PUT("/telemetry/status", { body: { enable: false } });
check("a viewer may not change", viewer.response.status === 403);
await got("error codes", stranger.GET("/error_codes"));
await got("schemas", stranger.GET("/schemas/{name}", { params: { path: { name: "hotconf" } } }));

await got(
  "publish",
  api.POST("/publish", { body: { topic: "tour/a", payload: "x", qos: 1, retain: true } }),
);
await got(
  "publish in bulk",
  api.POST("/publish/bulk", {
    body: [{ topic: "tour/b", payload: "eA==", payload_encoding: "base64" }],
  }),
);
const kept = await got(
  "retained messages",
  api.GET("/mqtt/retainer/messages", { params: { query: { topic: "tour/#" } } }),
);
check("what was published is kept", kept.data[0]?.topic === "tour/a");
await got(
  "remove a retained message",
  api.DELETE("/mqtt/retainer/message/{topic}", { params: { path: { topic: "tour/a" } } }),
);
const clients = await got("clients", api.GET("/clients", { params: { query: { limit: 10 } } }));
check("clients come in pages", clients.meta.limit === 10);
await got("clients by cursor", api.GET("/clients_v2", { params: { query: { limit: 10 } } }));
await got("subscriptions", api.GET("/subscriptions", { params: { query: { qos: 1 } } }));
await got("topics", api.GET("/topics"));
const ban = { as: "clientid", who: "tour-guest" } as const;
await got("ban", api.POST("/banned", { body: { ...ban, reason: "tour" } }));
await got("lift the ban", api.DELETE("/banned/{as}/{who}", { params: { path: ban } }));
await got("listeners", api.GET("/listeners"));
await got("connectors", api.GET("/connectors"));
await got("actions", api.GET("/actions"));
await got("authenticators", api.GET("/authentication"));
await got("authorization", api.GET("/authorization/sources"));
await got("rewriting", api.PUT("/mqtt/topic_rewrite", { body: [] }));

await got(
  "add a user",
  api.POST("/users", {
    body: { username: "tourist", password: "tourist-1", role: "viewer", description: "" },
  }),
);
const path = { username: "tourist" };
await got(
  "change a user",
  api.PUT("/users/{username}", { params: { path }, body: { role: "viewer", description: "x" } }),
);
await got(
  "change a password",
  api.POST("/users/{username}/change_pwd", {
    params: { path },
    body: { old_pwd: "tourist-1", new_pwd: "tourist-2" },
  }),
);
const users = await got("list users", api.GET("/users"));
check(
  "the user is listed",
  users.some(({ username }) => username === "tourist"),
);
await got("remove a user", api.DELETE("/users/{username}", { params: { path } }));

const keyPath = { name: "tour" };
await got("remove the key", api.DELETE("/api_key/{name}", { params: { path: keyPath } }));
await got("log out", api.POST("/logout", { body: { username: "admin" } }));
const after = await api.GET("/nodes");
check("the token is dead", after.error?.code === "BAD_TOKEN");

console.log(JSON.stringify({ done }));
