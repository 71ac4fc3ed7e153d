import type { AclRule, OwnedRules, RuleOwner } from "../../services/index.ts";
import type { AuthorizationServices } from "./authorization.ts";
import {
  ApiError,
  type JSONSchema,
  noContent,
  ok,
  PAGE_QUERY,
  pageSchema,
  paginate,
  type Route,
  route,
} from "./kit/index.ts";

const RULE = {
  topic: {
    type: "string",
    minLength: 1,
    maxLength: 65_535,
    description: "Topic filter, with `${clientid}` and `${username}`; `eq x` means x literally.",
    example: "devices/${username}/#",
  },
  permission: {
    type: "string",
    enum: ["allow", "deny"],
    description: "What the rule decides.",
    example: "allow",
  },
  action: {
    type: "string",
    enum: ["publish", "subscribe", "all"],
    description: "What it is about.",
    example: "all",
  },
} as const;

const QOS = { type: "integer", minimum: 0, maximum: 2 } as const;

const SHOWN_RULE = {
  type: "object",
  properties: {
    ...RULE,
    qos: { type: "array", items: QOS, description: "QoS it is about.", example: [0, 1, 2] },
    retain: {
      anyOf: [{ type: "string", enum: ["all"] }, { type: "boolean" }],
      description: "Retain flag of the messages it is about; not shown of subscriptions.",
      example: "all",
    },
  },
  required: ["topic", "permission", "action", "qos"],
} as const;

const GIVEN_RULE = {
  type: "object",
  properties: {
    ...RULE,
    qos: {
      anyOf: [
        {
          type: "array",
          items: { anyOf: [QOS, { type: "string", enum: ["0", "1", "2"] }] },
          maxItems: 16,
        },
        QOS,
        { type: "string", enum: ["0", "1", "2"] },
      ],
      description: "QoS it is about; left out = all.",
      example: [0, 1, 2],
    },
    retain: {
      anyOf: [{ type: "string", enum: ["all", "true", "false"] }, { type: "boolean" }],
      description: "Retain flag of the messages it is about; left out = all.",
      example: "all",
    },
  },
  required: ["topic", "permission", "action"],
  additionalProperties: false,
} as const;

const GIVEN_RULES = { type: "array", items: GIVEN_RULE, maxItems: 1000 } as const;
const SHOWN_RULES = { type: "array", items: SHOWN_RULE } as const;

const NAME = { type: "string", minLength: 1, maxLength: 1024 } as const;

/** Whose rules: the path, and the member that names them. */
const OWNERS = {
  users: { member: "username", description: "User name.", example: "device-001" },
  clients: { member: "clientid", description: "Client id.", example: "sensor-17" },
} as const;

const common = {
  tag: "Authorization",
  section: "5.10.2",
  priority: "P2",
  test: "src/api/emqx-v5/authorization.test.ts",
} as const;

const BASE = "/authorization/sources/built_in_database";

type GivenRule = {
  readonly topic: string;
  readonly permission: AclRule["permission"];
  readonly action: AclRule["action"];
  readonly qos?: readonly (number | string)[] | number | string;
  readonly retain?: string | boolean;
};

/** The rules of the built-in database, at their paths and at those of 5.0 without `/rules`. */
export function authorizationRuleRoutes(services: AuthorizationServices): readonly Route[] {
  const routes = [
    ...allRoutes(services),
    ...ownerRoutes(services, "users"),
    ...ownerRoutes(services, "clients"),
  ];
  const aliases = routes.map(
    (one): Route => ({ ...one, path: one.path.replace("/rules/", "/"), isAlias: true }),
  );
  return [...routes, ...aliases, purgeRoute(services)];
}

function allRoutes({ mqttAccess }: AuthorizationServices): readonly Route[] {
  const path = `${BASE}/rules/all` as const;
  return [
    route({
      ...common,
      method: "GET",
      path,
      summary: "The rules about everybody",
      schema: {
        answers: {
          200: { type: "object", properties: { rules: SHOWN_RULES }, required: ["rules"] },
        },
      },
      handle: () => ok({ rules: mqttAccess.rules().all().map(shownRule) }),
    }),
    route({
      ...common,
      method: "POST",
      path,
      summary: "Replace the rules about everybody",
      schema: {
        body: {
          type: "object",
          properties: { rules: GIVEN_RULES },
          required: ["rules"],
          additionalProperties: false,
        },
        answers: { 204: null },
      },
      async handle({ body }) {
        await mqttAccess.rules().putAll(body.rules.map(ruleOf));
        return noContent();
      },
    }),
    route({
      ...common,
      method: "DELETE",
      path,
      summary: "Remove the rules about everybody",
      schema: { answers: { 204: null } },
      async handle() {
        await mqttAccess.rules().putAll([]);
        return noContent();
      },
    }),
  ];
}

function purgeRoute({ mqttAccess }: AuthorizationServices): Route {
  return route({
    ...common,
    method: "DELETE",
    path: `${BASE}/rules`,
    summary: "Remove every rule",
    description: "Only while the source is disabled.",
    schema: { answers: { 204: null } },
    async handle() {
      await mqttAccess.clearRules();
      return noContent();
    },
  });
}

function ownerRoutes({ mqttAccess }: AuthorizationServices, owner: RuleOwner): readonly Route[] {
  const { member, description, example } = OWNERS[owner];
  const name = { ...NAME, description, example };
  const like = `like_${member}`;
  const shown = (row: OwnedRules) => ({ [member]: row.name, rules: row.rules.map(shownRule) });
  const shownSchema = {
    type: "object",
    properties: { [member]: name, rules: SHOWN_RULES },
    required: [member, "rules"],
  } as const;
  const given = (required: readonly string[]): JSONSchema => ({
    type: "object",
    properties: { [member]: name, rules: GIVEN_RULES },
    required,
    additionalProperties: false,
  });
  const list = `${BASE}/rules/${owner}` as const;
  // In the document the parameter is called as the member is.
  const one = `${list}/{${member}}` as const;
  return [
    route({
      ...common,
      method: "GET",
      path: list,
      summary: `List the rules of ${owner}`,
      schema: {
        query: {
          type: "object",
          properties: {
            ...PAGE_QUERY,
            [like]: { type: "string", maxLength: 1024, description: "Part of the name.", example },
          },
        },
        answers: { 200: pageSchema(shownSchema) },
      },
      async handle({ query }) {
        const rules = mqttAccess.rules();
        const part = textOf(query, like);
        const page = pageOf(query);
        const options =
          part === undefined
            ? { isCountKnown: true, count: rules.count(owner), pick: shown }
            : {
                isCountKnown: false,
                where: (row: OwnedRules) => row.name.includes(part),
                pick: shown,
              };
        return ok(await paginate(rules.list(owner), page, options));
      },
    }),
    route({
      ...common,
      method: "POST",
      path: list,
      summary: `Add rules of ${owner}`,
      description: "All of them or, when one has rules already, none.",
      schema: {
        body: { type: "array", items: given([member, "rules"]), maxItems: 10_000 },
        answers: { 204: null },
      },
      async handle({ body }) {
        const entries = (body as readonly GivenRules[]).map((entry) => ({
          name: textOf(entry, member) ?? "",
          rules: entry.rules.map(ruleOf),
        }));
        await mqttAccess.rules().create(owner, entries);
        return noContent();
      },
    }),
    route({
      ...common,
      method: "GET",
      path: one,
      summary: `The rules of one of the ${owner}`,
      schema: { answers: { 200: shownSchema } },
      handle({ params: given }) {
        const name = textOf(given, member) ?? "";
        const rules = mqttAccess.rules().get(owner, name);
        if (rules === null) throw new ApiError(404, "NOT_FOUND", `there are no rules of ${name}`);
        return ok(shown({ name, rules }));
      },
    }),
    route({
      ...common,
      method: "PUT",
      path: one,
      summary: `Set the rules of one of the ${owner}`,
      description: "Replaces them, or adds them where there are none.",
      schema: { body: given(["rules"]), answers: { 204: null } },
      async handle({ params: path, body }) {
        const name = textOf(path, member) ?? "";
        const entry = body as GivenRules;
        const inBody = textOf(entry, member) ?? name;
        if (inBody !== name) {
          const message = `${member} is ${inBody} in the body and ${name} in the path`;
          throw new ApiError(400, "BAD_REQUEST", message);
        }
        await mqttAccess.rules().put(owner, { name, rules: entry.rules.map(ruleOf) });
        return noContent();
      },
    }),
    route({
      ...common,
      method: "DELETE",
      path: one,
      summary: `Remove the rules of one of the ${owner}`,
      schema: { answers: { 204: null } },
      async handle({ params: path }) {
        await mqttAccess.rules().delete(owner, textOf(path, member) ?? "");
        return noContent();
      },
    }),
  ];
}

/** A body that its schema, whose members are computed, has accepted. */
interface GivenRules {
  readonly rules: readonly GivenRule[];
}

function ruleOf({ topic, permission, action, qos, retain }: GivenRule): AclRule {
  const wanted = qos === undefined ? [0, 1, 2] : [qos].flat().map(Number);
  return {
    topic,
    permission,
    action,
    qos: ([0, 1, 2] as const).filter((one) => wanted.includes(one)),
    retain: retain === undefined || retain === "all" ? "all" : String(retain) === "true",
  };
}

function shownRule({ topic, permission, action, qos, retain }: AclRule) {
  return { topic, permission, action, qos, ...(action === "subscribe" ? {} : { retain }) };
}

function textOf(values: object, name: string): string | undefined {
  const value: unknown = Reflect.get(values, name);
  return typeof value === "string" ? value : undefined;
}

function pageOf(query: object): { page?: number; limit?: number } {
  const { page, limit } = query as { page?: number; limit?: number };
  return { ...(page === undefined ? {} : { page }), ...(limit === undefined ? {} : { limit }) };
}
