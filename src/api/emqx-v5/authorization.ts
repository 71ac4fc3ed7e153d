import type { AclSource, AclSourceType, Position, Services } from "../../services/index.ts";
import { authorizationRuleRoutes } from "./authorization-rules.ts";
import {
  ApiError,
  formatDuration,
  noContent,
  ok,
  parseDuration,
  type Route,
  route,
} from "./kit/index.ts";
import { shownMetrics, statusSchema } from "./source-status.ts";

/** What the operations on MQTT clients' rights are made of. */
export type AuthorizationServices = Pick<Services, "node" | "mqttAccess">;

const common = {
  tag: "Authorization",
  section: "5.10.2",
  priority: "P2",
  test: "src/api/emqx-v5/authorization.test.ts",
} as const;

const TYPES = ["file", "built_in_database"] as const;
const DEFAULT_MAX_RULES = 100;

const SOURCE = {
  type: {
    type: "string",
    description: "Kind of source, each once: file or built_in_database.",
    example: "file",
  },
  enable: { type: "boolean", description: "Whether it is asked.", example: true },
  rules: {
    type: "string",
    maxLength: 32_768,
    description: "Of a file: ACL text, a rule on each line; the first that fits decides.",
    example: '{allow, {username, "operator"}, all, ["#"]}.\n{deny, all, subscribe, ["$SYS/#"]}.',
  },
  max_rules: {
    type: "integer",
    minimum: 1,
    maximum: 1000,
    description: "Of the database: rules of one client or user.",
    example: DEFAULT_MAX_RULES,
  },
} as const;

const SHOWN_SOURCE = {
  type: "object",
  properties: SOURCE,
  required: ["type", "enable"],
} as const;

/** Members of other kinds get past the schema, so that it is the kind that is refused. */
const GIVEN_SOURCE = {
  type: "object",
  properties: { ...SOURCE, enable: { ...SOURCE.enable, default: true } },
  required: ["type"],
} as const;

const SETTINGS = {
  type: "object",
  additionalProperties: false,
  properties: {
    no_match: {
      type: "string",
      enum: ["allow", "deny"],
      description: "What is decided when no rule fits.",
      example: "deny",
    },
    deny_action: {
      type: "string",
      enum: ["ignore", "disconnect"],
      description: "What becomes of a client whose PUBLISH is denied.",
      example: "ignore",
    },
    cache: {
      type: "object",
      additionalProperties: false,
      description: "What is remembered of decisions; each change of a rule drops them all.",
      properties: {
        enable: { type: "boolean", description: "Whether any are.", example: true },
        max_size: {
          type: "integer",
          minimum: 1,
          maximum: 1024,
          description: "Topics of one client.",
          example: 32,
        },
        ttl: {
          anyOf: [{ type: "string" }, { type: "integer" }],
          description: "How long at most; whole seconds up to a day.",
          example: "1m",
        },
        excludes: {
          type: "array",
          maxItems: 100,
          items: { type: "string" },
          description: "Filters of topics that are not remembered.",
          example: ["alarms/#"],
        },
      },
    },
  },
} as const;

const MAX_TTL_MS = 86_400_000;

/** `/authorization…` (reference §5.10.2). */
export function authorizationRoutes(services: AuthorizationServices): readonly Route[] {
  const { node, mqttAccess } = services;

  const shownSettings = () => {
    const { no_match, deny_action, cache } = mqttAccess.settings();
    const { enable, max_size, ttl_s, excludes } = cache;
    const ttl = formatDuration(ttl_s * 1000);
    return { no_match, deny_action, cache: { enable, max_size, ttl, excludes } };
  };

  return [
    route({
      ...common,
      method: "GET",
      path: "/authorization/settings",
      summary: "What holds beside the rules",
      schema: { answers: { 200: SETTINGS } },
      handle: () => ok(shownSettings()),
    }),
    route({
      ...common,
      method: "PUT",
      path: "/authorization/settings",
      summary: "Change what holds beside the rules",
      description: "What is left out stays.",
      schema: { body: SETTINGS, answers: { 200: SETTINGS } },
      async handle({ body }) {
        const present = mqttAccess.settings();
        const { ttl, ...cache } = body.cache ?? {};
        await mqttAccess.setSettings({
          no_match: body.no_match ?? present.no_match,
          deny_action: body.deny_action ?? present.deny_action,
          cache: {
            ...present.cache,
            ...cache,
            ...(ttl === undefined ? {} : { ttl_s: secondsOf(ttl) }),
          },
        });
        return ok(shownSettings());
      },
    }),
    route({
      ...common,
      method: "DELETE",
      path: "/authorization/cache",
      summary: "Drop what is remembered of decisions",
      schema: { answers: { 204: null } },
      handle() {
        mqttAccess.forgetDecisions();
        return noContent();
      },
    }),
    route({
      ...common,
      method: "GET",
      path: "/authorization/sources",
      summary: "List the sources of rules",
      description:
        "In the order in which they are asked, after the rules of the configuration (`acl.rules`).",
      schema: {
        answers: {
          200: {
            type: "object",
            properties: { sources: { type: "array", items: SHOWN_SOURCE } },
            required: ["sources"],
          },
        },
      },
      handle: () => ok({ sources: mqttAccess.sources().map(shownSource) }),
    }),
    route({
      ...common,
      method: "POST",
      path: "/authorization/sources",
      summary: "Add a source of rules, as the first",
      schema: { body: GIVEN_SOURCE, answers: { 204: null } },
      async handle({ body }) {
        await mqttAccess.createSource(sourceOf(body));
        return noContent();
      },
    }),
    route({
      ...common,
      method: "PUT",
      path: "/authorization/sources/order",
      summary: "Order the sources",
      schema: {
        body: {
          type: "array",
          maxItems: 10,
          items: { type: "object", properties: { type: SOURCE.type }, required: ["type"] },
        },
        answers: { 204: null },
      },
      async handle({ body }) {
        await mqttAccess.orderSources(body.map(({ type }) => type));
        return noContent();
      },
    }),
    route({
      ...common,
      method: "GET",
      path: "/authorization/sources/{type}",
      summary: "One source",
      schema: { answers: { 200: SHOWN_SOURCE } },
      handle: ({ params }) => ok(shownSource(mqttAccess.source(typeOf(params.type)))),
    }),
    route({
      ...common,
      method: "PUT",
      path: "/authorization/sources/{type}",
      summary: "Change a source",
      schema: { body: GIVEN_SOURCE, answers: { 204: null } },
      async handle({ params, body }) {
        mqttAccess.source(typeOf(params.type));
        if (body.type !== params.type) {
          const message = `type is ${body.type} in the body and ${params.type} in the path`;
          throw new ApiError(400, "BAD_REQUEST", message);
        }
        await mqttAccess.changeSource(sourceOf(body));
        return noContent();
      },
    }),
    route({
      ...common,
      method: "DELETE",
      path: "/authorization/sources/{type}",
      summary: "Remove a source with its rules",
      schema: { answers: { 204: null } },
      async handle({ params }) {
        await mqttAccess.deleteSource(typeOf(params.type));
        return noContent();
      },
    }),
    route({
      ...common,
      method: "GET",
      path: "/authorization/sources/{type}/status",
      summary: "What a source did since the start",
      description: "Decisions that a connection remembers are not counted again.",
      schema: { answers: { 200: statusSchema(["total", "allow", "deny", "nomatch", "ignore"]) } },
      handle({ params }) {
        const { type } = mqttAccess.source(typeOf(params.type));
        const { allow, deny, nomatch, rates } = mqttAccess.sourceStatus(type);
        const counts = { total: allow + deny + nomatch, allow, deny, nomatch, ignore: 0 };
        return ok(shownMetrics(node.name, counts, rates));
      },
    }),
    route({
      ...common,
      method: "POST",
      path: "/authorization/sources/{type}/move",
      summary: "Move a source",
      schema: {
        body: {
          type: "object",
          properties: {
            position: {
              type: "string",
              description: "front, rear, before:{type} or after:{type}.",
              example: "front",
            },
          },
          required: ["position"],
          additionalProperties: false,
        },
        answers: { 204: null },
      },
      async handle({ params, body }) {
        await mqttAccess.moveSource(typeOf(params.type), positionOf(body.position));
        return noContent();
      },
    }),
    ...authorizationRuleRoutes(services),
  ];
}

/** @throws ApiError 404 for a kind of source that there cannot be */
function typeOf(text: string): AclSourceType {
  const type = TYPES.find((known) => known === text);
  if (type === undefined) throw new ApiError(404, "NOT_FOUND", `there is no source ${text}`);
  return type;
}

function positionOf(text: string): Position<AclSourceType> {
  if (text === "front" || text === "rear") return text;
  const parts = /^(before|after):(.+)$/.exec(text);
  if (parts === null) {
    const message = `${text} is no position: front, rear, before:{type} or after:{type}`;
    throw new ApiError(400, "BAD_REQUEST", message);
  }
  const type = typeOf(parts[2] ?? "");
  return parts[1] === "before" ? { before: type } : { after: type };
}

interface GivenSource {
  readonly type: string;
  readonly enable?: boolean;
  readonly rules?: string;
  readonly max_rules?: number;
}

/** @throws ApiError 400 for a kind or member that there is not */
function sourceOf(body: GivenSource): AclSource {
  const type = TYPES.find((known) => known === body.type);
  if (type === undefined) {
    const message = `${body.type} is not supported; ${TYPES.join(" and ")} are`;
    throw new ApiError(400, "BAD_REQUEST", message);
  }
  const own = type === "file" ? "rules" : "max_rules";
  const unknown = Object.keys(body).filter((name) => !["type", "enable", own].includes(name));
  if (unknown.length > 0) {
    const details = { kind: "validation_error", path: unknown[0], reason: "unknown_fields" };
    throw new ApiError(400, "BAD_REQUEST", JSON.stringify({ ...details, unknown: unknown.join() }));
  }
  if (type === "file" && body.rules === undefined) {
    const details = { kind: "validation_error", path: "rules", reason: "required_field" };
    throw new ApiError(400, "BAD_REQUEST", JSON.stringify(details));
  }
  return {
    type,
    enable: body.enable ?? true,
    rules: body.rules ?? null,
    max_rules: body.max_rules ?? null,
  };
}

function shownSource({ type, enable, rules, max_rules }: AclSource) {
  return type === "file"
    ? { type, enable, rules: rules ?? "" }
    : { type, enable, max_rules: max_rules ?? DEFAULT_MAX_RULES };
}

function secondsOf(ttl: string | number): number {
  const ms = parseDuration(ttl);
  if (ms >= 1000 && ms <= MAX_TTL_MS && ms % 1000 === 0) return ms / 1000;
  throw new ApiError(
    400,
    "BAD_REQUEST",
    `ttl: ${ttl} is not valid; expected whole seconds up to 1d`,
  );
}
