import { linearRegex } from "../../regex/index.ts";
import type { Ban, BanKind, BansService } from "../../services/index.ts";
import {
  ApiError,
  noContent,
  ok,
  PAGE_QUERY,
  pageSchema,
  paginate,
  parseTime,
  type Route,
  route,
  timestampS,
} from "./kit/index.ts";

const TEST = "src/api/emqx-v5/banned.test.ts";

const KINDS = [
  "clientid",
  "username",
  "peerhost",
  "clientid_re",
  "username_re",
  "peerhost_net",
] as const;

const BAN = {
  type: "object",
  additionalProperties: false,
  properties: {
    as: {
      type: "string",
      enum: KINDS,
      description: "What the clients are named by; `_re` are regular expressions.",
      example: "clientid",
    },
    who: { type: "string", description: "Whom it keeps out.", example: "bad-1" },
    by: { type: "string", description: "Who banned.", example: "admin" },
    reason: { type: "string", description: "Why.", example: "flood" },
    at: {
      type: "string",
      description: "When it was made.",
      example: "2026-05-01T10:00:00+00:00",
    },
    until: {
      type: "string",
      description: 'When it ends, or "infinity".',
      example: "2026-05-01T10:05:00+00:00",
    },
  },
  required: ["as", "who", "by", "reason", "at", "until"],
} as const;

const TIME = { type: ["string", "integer"] } as const;

const text = (description: string, example: string) =>
  ({ type: "string", minLength: 1, maxLength: 1024, description, example }) as const;

/** What each filter looks at; `like_` ones are regular expressions. */
const FILTERS: Readonly<Record<string, readonly BanKind[]>> = {
  clientid: ["clientid"],
  username: ["username"],
  peerhost: ["peerhost"],
  like_clientid: ["clientid", "clientid_re"],
  like_username: ["username", "username_re"],
  like_peerhost: ["peerhost"],
  like_peerhost_net: ["peerhost_net"],
};

/** `/banned` (reference §5.9). */
export function bannedRoutes({ bans }: { readonly bans: BansService }): readonly Route[] {
  return [
    route({
      method: "GET",
      path: "/banned",
      tag: "Banned",
      summary: "Who is kept out",
      description: "Oldest first. At most one filter; `like_` ones are regular expressions.",
      section: "5.9",
      priority: "P2",
      schema: {
        query: {
          type: "object",
          properties: {
            ...PAGE_QUERY,
            clientid: text("This client id.", "bad-1"),
            username: text("This user name.", "eve"),
            peerhost: text("This address.", "192.0.2.7"),
            like_clientid: text("Found in a client id.", "^bad-"),
            like_username: text("Found in a user name.", "^eve"),
            like_peerhost: text("Found in an address.", "^192\\."),
            like_peerhost_net: text("Found in a block of addresses.", "/24$"),
          },
        },
        answers: { 200: pageSchema(BAN) },
      },
      test: TEST,
      async handle({ query }) {
        const where = filterOf(query);
        const all = { isCountKnown: true, pick: shown };
        return ok(await paginate(bans.list(), query, where === null ? all : { ...all, where }));
      },
    }),
    route({
      method: "POST",
      path: "/banned",
      tag: "Banned",
      summary: "Keep clients out",
      description:
        "Disconnects those that are in. A later CONNECT is refused before its password is looked at.",
      section: "5.9",
      priority: "P2",
      schema: {
        body: {
          type: "object",
          additionalProperties: false,
          properties: {
            as: BAN.properties.as,
            who: { ...BAN.properties.who, minLength: 1, maxLength: 65_535 },
            by: { ...BAN.properties.by, maxLength: 1024, default: "mgmt_api" },
            reason: { ...BAN.properties.reason, maxLength: 4096, default: "" },
            at: { ...TIME, description: "When it was made; now unless given. RFC 3339 or s." },
            until: {
              ...TIME,
              description: 'When it ends: RFC 3339, s since 1970, or "infinity".',
              default: "infinity",
              example: "infinity",
            },
          },
          required: ["as", "who"],
        },
        answers: { 200: BAN },
      },
      test: TEST,
      async handle({ body }) {
        const { as, who, by = "mgmt_api", reason = "", at, until = "infinity" } = body;
        const untilMs = until === "infinity" ? null : parseTime(until, "s");
        const atMs = at === undefined ? null : parseTime(at, "s");
        return ok(shown(await bans.add({ as, who, by, reason, atMs, untilMs })));
      },
    }),
    route({
      method: "DELETE",
      path: "/banned",
      tag: "Banned",
      summary: "Let everybody in again",
      section: "5.9",
      priority: "P2",
      schema: { answers: { 204: null } },
      test: TEST,
      async handle() {
        await bans.clear();
        return noContent();
      },
    }),
    route({
      method: "DELETE",
      path: "/banned/{as}/{who}",
      tag: "Banned",
      summary: "Lift one ban",
      section: "5.9",
      priority: "P2",
      schema: {
        params: {
          type: "object",
          properties: { as: BAN.properties.as, who: BAN.properties.who },
          required: ["as", "who"],
        },
        answers: { 204: null },
      },
      test: TEST,
      async handle({ params: { as, who } }) {
        if (await bans.remove(as, who)) return noContent();
        throw new ApiError(404, "NOT_FOUND", `${as} ${who} is not banned`);
      },
    }),
  ];
}

function shown(ban: Ban) {
  const { as, who, by, reason, atMs, untilMs } = ban;
  const until = untilMs === null ? "infinity" : timestampS(untilMs);
  return { as, who, by, reason, at: timestampS(atMs), until };
}

/** Null when all are wanted. @throws ApiError for several filters, GatewayError REGEX_INVALID */
function filterOf(query: Readonly<Record<string, unknown>>): ((ban: Ban) => boolean) | null {
  const names = Object.keys(FILTERS).filter((name) => query[name] !== undefined);
  const [name] = names;
  if (names.length > 1) {
    throw new ApiError(400, "BAD_REQUEST", "too_many_filters: at most one filter is taken");
  }
  if (name === undefined) return null;
  const kinds = FILTERS[name] ?? [];
  const wanted = String(query[name]);
  if (!name.startsWith("like_")) return (ban) => kinds.includes(ban.as) && ban.who === wanted;
  const regex = linearRegex(wanted);
  return (ban) => kinds.includes(ban.as) && regex.test(ban.who);
}
