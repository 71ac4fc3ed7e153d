import type { Services } from "../../services/index.ts";
import {
  AUTHENTICATOR,
  AUTHENTICATOR_BODY,
  AUTHENTICATOR_ID,
  changedDatabase,
  databaseOf,
  shownDatabase,
} from "./authentication-schemas.ts";
import { authenticationUserRoutes } from "./authentication-users.ts";
import { ApiError, noContent, ok, type Route, route } from "./kit/index.ts";
import { shownMetrics, statusSchema } from "./source-status.ts";

/** What the operations on MQTT clients' logins are made of. */
export type AuthenticationServices = Pick<Services, "node" | "mqttAccess">;

const common = {
  tag: "Authentication",
  section: "5.10.1",
  priority: "P2",
  test: "src/api/emqx-v5/authentication.test.ts",
} as const;

const ORDER = {
  type: "array",
  maxItems: 100,
  items: {
    type: "object",
    properties: {
      id: { type: "string", description: "Id of an authenticator.", example: AUTHENTICATOR_ID },
    },
    required: ["id"],
  },
} as const;

const CACHE_SETTINGS = {
  type: "object",
  properties: {
    node_cache: {
      type: "object",
      description:
        "Logins are remembered as long as nothing of the user changes; there is no other cache.",
      properties: {
        enable: { type: "boolean", description: "Cannot be switched on.", example: false },
      },
      required: ["enable"],
    },
  },
  required: ["node_cache"],
} as const;

/** `/authentication…` (reference §5.10.1): the chain of one authenticator, the built-in database. */
export function authenticationRoutes(services: AuthenticationServices): readonly Route[] {
  const { node, mqttAccess } = services;

  /** @throws ApiError 404 for the id of an authenticator that there is not */
  function databaseNamed(id: string) {
    const database = id === AUTHENTICATOR_ID ? mqttAccess.database() : null;
    if (database === null) {
      throw new ApiError(404, "NOT_FOUND", `there is no authenticator ${id}`);
    }
    return database;
  }

  /** The only one there is stands where it is; a neighbour it should have must exist. */
  function move(id: string, position: string) {
    databaseNamed(id);
    if (position === "front" || position === "rear") return noContent();
    const neighbour = /^(?:before|after):(.+)$/.exec(position)?.[1];
    if (neighbour === undefined || neighbour === id) {
      const message = `${position} is no position: front, rear, before:{id} or after:{id}`;
      throw new ApiError(400, "BAD_REQUEST", message);
    }
    throw new ApiError(404, "NOT_FOUND", `there is no authenticator ${neighbour}`);
  }

  return [
    route({
      ...common,
      method: "GET",
      path: "/authentication",
      summary: "List the authenticators",
      description:
        "In the order in which they are asked, after the users of the configuration. Clients without credentials are let in only where `auth.allow_anonymous` says so.",
      schema: { answers: { 200: { type: "array", items: AUTHENTICATOR } } },
      handle() {
        const database = mqttAccess.database();
        return ok(database === null ? [] : [shownDatabase(database)]);
      },
    }),
    route({
      ...common,
      method: "POST",
      path: "/authentication",
      summary: "Add an authenticator",
      schema: { body: AUTHENTICATOR_BODY, answers: { 200: AUTHENTICATOR } },
      async handle({ body }) {
        const database = databaseOf(body);
        await mqttAccess.createDatabase(database);
        return ok(shownDatabase(database));
      },
    }),
    route({
      ...common,
      method: "PUT",
      path: "/authentication/order",
      summary: "Order the authenticators",
      schema: { body: ORDER, answers: { 204: null } },
      handle({ body }) {
        const present = mqttAccess.database() === null ? [] : [AUTHENTICATOR_ID];
        const wanted = body.map(({ id }) => id);
        if (wanted.join() === present.join()) return noContent();
        const message = `expected each of ${JSON.stringify(present)} once`;
        throw new ApiError(400, "BAD_REQUEST", message);
      },
    }),
    route({
      ...common,
      priority: "P3",
      method: "GET",
      path: "/authentication/settings",
      summary: "Settings of all authenticators",
      schema: { answers: { 200: CACHE_SETTINGS } },
      handle: () => ok({ node_cache: { enable: false } }),
    }),
    route({
      ...common,
      priority: "P3",
      method: "PUT",
      path: "/authentication/settings",
      summary: "Change the settings of all authenticators",
      schema: { body: CACHE_SETTINGS, answers: { 204: null } },
      handle({ body }) {
        if (!body.node_cache.enable) return noContent();
        throw new ApiError(400, "BAD_REQUEST", "there is no cache that could be switched on");
      },
    }),
    route({
      ...common,
      method: "GET",
      path: "/authentication/{id}",
      summary: "One authenticator",
      schema: { answers: { 200: AUTHENTICATOR } },
      handle: ({ params }) => ok(shownDatabase(databaseNamed(params.id))),
    }),
    route({
      ...common,
      method: "PUT",
      path: "/authentication/{id}",
      summary: "Change an authenticator",
      description: "Users keep the algorithm their password was hashed with.",
      schema: { body: AUTHENTICATOR_BODY, answers: { 204: null } },
      async handle({ params, body }) {
        databaseNamed(params.id);
        const wanted = databaseOf(body);
        await mqttAccess.changeDatabase((present) => changedDatabase(wanted, present));
        return noContent();
      },
    }),
    route({
      ...common,
      method: "DELETE",
      path: "/authentication/{id}",
      summary: "Remove an authenticator with its users",
      description: "Clients that are connected stay.",
      schema: { answers: { 204: null } },
      async handle({ params }) {
        databaseNamed(params.id);
        await mqttAccess.deleteDatabase();
        return noContent();
      },
    }),
    route({
      ...common,
      method: "GET",
      path: "/authentication/{id}/status",
      summary: "What an authenticator did since the start",
      schema: { answers: { 200: statusSchema(["total", "success", "failed", "nomatch"]) } },
      handle({ params }) {
        databaseNamed(params.id);
        const { success, failed, nomatch, rates } = mqttAccess.databaseStatus();
        const total = success + failed + nomatch;
        return ok(shownMetrics(node.name, { total, success, failed, nomatch }, rates));
      },
    }),
    route({
      ...common,
      method: "PUT",
      path: "/authentication/{id}/position/{position}",
      summary: "Move an authenticator",
      description: "To `front`, `rear`, `before:{id}` or `after:{id}`.",
      schema: { answers: { 204: null } },
      handle: ({ params }) => move(params.id, params.position),
    }),
    route({
      ...common,
      method: "POST",
      path: "/authentication/{id}/move",
      summary: "Move an authenticator (5.0)",
      isAlias: true,
      schema: {
        body: {
          type: "object",
          properties: { position: { type: "string", description: "Where to." } },
          required: ["position"],
        },
        answers: { 204: null },
      },
      handle: ({ params, body }) => move(params.id, body.position),
    }),
    ...authenticationUserRoutes(services, databaseNamed),
  ];
}
