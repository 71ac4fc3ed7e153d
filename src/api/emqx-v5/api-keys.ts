import type { ApiKey, ApiKeyChange, Services } from "../../services/index.ts";
import { noContent, ok, parseTime, type Route, route, timestampS } from "./kit/index.ts";

const NAME = {
  type: "string",
  description: "A letter, then letters, digits, `_` and `-`, at most 256.",
  example: "sensor-exporter",
} as const;
const ROLE = {
  type: "string",
  enum: ["administrator", "viewer", "publisher"],
  description: "What its holder may do: everything, look, or publish.",
  example: "viewer",
} as const;
const DESC = { type: "string", description: "Free text.", example: "for the exporter" } as const;
const ENABLE = { type: "boolean", description: "False refuses the key at once." } as const;
const EXPIRED_AT = {
  anyOf: [{ type: "string" }, { type: "integer", minimum: 0 }],
  description: 'RFC 3339, or epoch seconds, or "infinity".',
  example: "2027-12-05T02:01:34+08:00",
} as const;

const KEY = {
  name: NAME,
  api_key: {
    type: "string",
    description: "The user name of a Basic login.",
    example: "7c1e09b25f3ad846",
  },
  enable: ENABLE,
  expired: { type: "boolean", description: "Whether `expired_at` is past." },
  expired_at: {
    type: "string",
    description: 'When it expires; "infinity" = never.',
    example: "infinity",
  },
  created_at: {
    type: "string",
    description: "When it was made.",
    example: "2026-12-05T02:01:34+08:00",
  },
  desc: DESC,
  role: ROLE,
} as const;

const REQUIRED = [
  "name",
  "api_key",
  "enable",
  "expired",
  "expired_at",
  "created_at",
  "desc",
  "role",
] as const;
const KEY_OBJECT = { type: "object", properties: KEY, required: REQUIRED } as const;
const NEW_KEY_OBJECT = {
  type: "object",
  properties: {
    ...KEY,
    api_secret: { type: "string", description: "The password of a Basic login, told only here." },
  },
  required: [...REQUIRED, "api_secret"],
} as const;

const common = {
  section: "5.2",
  priority: "P1",
  test: "src/api/emqx-v5/api-keys.test.ts",
  tag: "API keys",
  access: "bearer",
} as const;

/** `/api_key` (reference §5.2); what a dashboard sends back of a key is tolerated. */
export function apiKeyRoutes({ apiKeys }: Pick<Services, "apiKeys">): readonly Route[] {
  return [
    route({
      ...common,
      method: "GET",
      path: "/api_key",
      summary: "List the API keys",
      schema: { answers: { 200: { type: "array", items: KEY_OBJECT } } },
      handle: () => ok(apiKeys.list().map(shown)),
    }),
    route({
      ...common,
      method: "POST",
      path: "/api_key",
      summary: "Make an API key",
      description: "The answer is the only place the secret ever stands in.",
      schema: {
        body: {
          type: "object",
          properties: {
            name: NAME,
            desc: { ...DESC, default: "" },
            enable: { ...ENABLE, default: true },
            expired_at: EXPIRED_AT,
            role: { ...ROLE, default: "administrator" },
          },
          required: ["name"],
        },
        answers: { 200: NEW_KEY_OBJECT },
      },
      async handle({ body }) {
        const { secret, ...key } = await apiKeys.create(body.name, changeOf(body));
        return ok({ ...shown(key), api_secret: secret });
      },
    }),
    route({
      ...common,
      method: "GET",
      path: "/api_key/{name}",
      summary: "One API key",
      schema: { answers: { 200: KEY_OBJECT } },
      handle: ({ params }) => ok(shown(apiKeys.get(params.name))),
    }),
    route({
      ...common,
      method: "PUT",
      path: "/api_key/{name}",
      summary: "Change an API key",
      description:
        "What is left out stays, but for `expired_at`: without it the key never expires.",
      schema: {
        body: {
          type: "object",
          properties: { desc: DESC, enable: ENABLE, expired_at: EXPIRED_AT, role: ROLE },
        },
        answers: { 200: KEY_OBJECT },
      },
      async handle({ params, body }) {
        return ok(shown(await apiKeys.update(params.name, changeOf(body))));
      },
    }),
    route({
      ...common,
      method: "DELETE",
      path: "/api_key/{name}",
      summary: "Remove an API key",
      schema: { answers: { 204: null } },
      async handle({ params }) {
        await apiKeys.remove(params.name);
        return noContent();
      },
    }),
  ];
}

function changeOf(body: {
  readonly desc?: string;
  readonly enable?: boolean;
  readonly role?: "administrator" | "viewer" | "publisher";
  readonly expired_at?: string | number;
}): ApiKeyChange {
  const { desc, enable, role, expired_at: at } = body;
  const isNever = at === undefined || at === "infinity" || at === "";
  return { desc, enable, role, expiredAtMs: isNever ? null : parseTime(at, "s") };
}

function shown(key: ApiKey) {
  return {
    name: key.name,
    api_key: key.apiKey,
    enable: key.enable,
    expired: key.isExpired,
    expired_at: key.expiredAtMs === null ? "infinity" : timestampS(key.expiredAtMs),
    created_at: timestampS(key.createdAtMs),
    desc: key.desc,
    role: key.role,
  };
}
