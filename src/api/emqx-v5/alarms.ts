import type { AlarmView, Services } from "../../services/index.ts";
import {
  ApiError,
  noContent,
  ok,
  PAGE_QUERY,
  pageSchema,
  paginate,
  type Route,
  route,
  timestampMs,
} from "./kit/index.ts";

/** What the alarm operations are made of. */
export type AlarmServices = Pick<Services, "node" | "alarms">;

const TEST = "src/api/emqx-v5/alarms.test.ts";

const ALARM = {
  type: "object",
  additionalProperties: false,
  properties: {
    node: { type: "string", description: "Name of the node.", example: "tidegate@127.0.0.1" },
    name: { type: "string", description: "Name of the alarm.", example: "high_temperature" },
    message: {
      type: "string",
      description: "What is wrong, in one sentence.",
      example: "The processor is hotter than 80 °C.",
    },
    details: {
      type: "object",
      description: "Readings that belong to it.",
      additionalProperties: { type: ["number", "string"] },
      example: { temperature_c: 81.2 },
    },
    duration: {
      type: "integer",
      description: "How long it has lasted, or lasted, ms.",
      example: 60_000,
    },
    activate_at: {
      type: "string",
      description: "When it was raised.",
      example: "2026-05-01T10:00:00.000+00:00",
    },
    deactivate_at: {
      type: "string",
      description: "When it was cleared; only of alarms that are over.",
      example: "2026-05-01T10:01:00.000+00:00",
    },
  },
  required: ["node", "name", "message", "details", "duration", "activate_at"],
} as const;

/** `/alarms` (reference §5.9). */
export function alarmRoutes({ node, alarms }: AlarmServices): readonly Route[] {
  const shown = (alarm: AlarmView) => ({
    node: node.name,
    name: alarm.name,
    message: alarm.message,
    details: alarm.details,
    duration: alarm.durationMs,
    activate_at: timestampMs(alarm.activatedAtMs),
    ...(alarm.deactivatedAtMs === null
      ? {}
      : { deactivate_at: timestampMs(alarm.deactivatedAtMs) }),
  });
  return [
    route({
      method: "GET",
      path: "/alarms",
      tag: "Alarms",
      summary: "What is wrong, or was",
      description: "Newest first. The history keeps what `alarm.size_limit` and its age allow.",
      section: "5.9",
      priority: "P2",
      schema: {
        query: {
          type: "object",
          properties: {
            ...PAGE_QUERY,
            activated: {
              type: "boolean",
              default: true,
              description: "Active alarms; false = those that are over.",
            },
          },
        },
        answers: { 200: pageSchema(ALARM) },
      },
      test: TEST,
      async handle({ query }) {
        const rows = query.activated === false ? alarms.history() : alarms.active();
        return ok(
          await paginate(rows, query, { isCountKnown: true, count: rows.length, pick: shown }),
        );
      },
    }),
    route({
      method: "DELETE",
      path: "/alarms",
      tag: "Alarms",
      summary: "Forget the alarms that are over",
      section: "5.9",
      priority: "P2",
      schema: { answers: { 204: null } },
      test: TEST,
      handle() {
        alarms.clearHistory();
        return noContent();
      },
    }),
    route({
      method: "POST",
      path: "/alarms/force_deactivate",
      tag: "Alarms",
      summary: "End an active alarm",
      description:
        "For alarms that stay until somebody has seen them. What is still wrong is raised again when it happens anew.",
      section: "5.9",
      priority: "P3",
      schema: {
        body: {
          type: "object",
          additionalProperties: false,
          properties: {
            name: {
              type: "string",
              minLength: 1,
              maxLength: 1024,
              description: "Name of the alarm.",
              example: "store_set_aside",
            },
          },
          required: ["name"],
        },
        answers: { 204: null },
      },
      test: TEST,
      handle({ body }) {
        if (alarms.forceClear(body.name)) return noContent();
        throw new ApiError(400, "BAD_REQUEST", `alarm ${body.name} is not active`);
      },
    }),
  ];
}
