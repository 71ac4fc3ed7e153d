import type { Services } from "../../services/index.ts";
import {
  ApiError,
  formatDuration,
  noContent,
  ok,
  parseDuration,
  type Route,
  route,
} from "./kit/index.ts";

/** What slow subscriptions are made of. */
export type SlowSubscriptionServices = Pick<Services, "node" | "slowSubscriptions">;

const TEST = "src/api/emqx-v5/slow-subscriptions.test.ts";

const ROW = {
  type: "object",
  additionalProperties: false,
  properties: {
    clientid: { type: "string", description: "Who gets it slowly.", example: "c1" },
    node: { type: "string", description: "Name of the node.", example: "tidegate@127.0.0.1" },
    topic: { type: "string", description: "What it gets.", example: "plant/line1" },
    timespan: { type: "integer", description: "How long it took, ms.", example: 730 },
    last_update_time: {
      type: "integer",
      description: "When it was slow last, ms since 1970.",
      example: 1_700_000_010_000,
    },
  },
  required: ["clientid", "node", "topic", "timespan", "last_update_time"],
} as const;

const DURATION = { type: ["string", "integer"] } as const;

const SETTINGS = {
  type: "object",
  additionalProperties: false,
  properties: {
    enable: { type: "boolean", description: "Whether deliveries are timed.", example: true },
    threshold: { ...DURATION, description: "A longer delivery is slow.", example: "500ms" },
    expire_interval: {
      ...DURATION,
      description: "Forgotten after this long without another slow delivery.",
      example: "300s",
    },
    top_k_num: {
      type: "integer",
      minimum: 1,
      maximum: 1000,
      description: "Most subscriptions kept, the slowest.",
      example: 10,
    },
    stats_type: {
      type: "string",
      enum: ["whole", "internal", "response"],
      description:
        "From the message's arrival to its acknowledgement, to its sending, or between these two.",
      example: "whole",
    },
  },
} as const;

/** `/slow_subscriptions` (reference §5.9). */
export function slowSubscriptionRoutes(services: SlowSubscriptionServices): readonly Route[] {
  const { node, slowSubscriptions } = services;
  const shared = {
    tag: "Slow subscriptions",
    section: "5.9",
    priority: "P3",
    test: TEST,
  } as const;
  const settings = () => {
    const now = slowSubscriptions.settings();
    return ok({
      enable: now.enable,
      threshold: formatDuration(now.threshold_ms),
      expire_interval: formatDuration(now.expire_interval_s * 1000),
      top_k_num: now.top_k_num,
      stats_type: now.stats_type,
    });
  };
  return [
    route({
      ...shared,
      method: "GET",
      path: "/slow_subscriptions",
      summary: "Who gets messages slowly, slowest first",
      schema: {
        answers: {
          200: {
            type: "object",
            additionalProperties: false,
            properties: { data: { type: "array", items: ROW } },
            required: ["data"],
          },
        },
      },
      handle() {
        const data = slowSubscriptions.list().map((row) => ({
          clientid: row.clientId,
          node: node.name,
          topic: row.topic,
          timespan: Math.round(row.timespanMs),
          last_update_time: Math.round(row.updatedAtMs),
        }));
        return ok({ data });
      },
    }),
    route({
      ...shared,
      method: "DELETE",
      path: "/slow_subscriptions",
      summary: "Forget who was slow",
      schema: { answers: { 204: null } },
      handle() {
        slowSubscriptions.clear();
        return noContent();
      },
    }),
    route({
      ...shared,
      method: "GET",
      path: "/slow_subscriptions/settings",
      summary: "What counts as slow",
      schema: { answers: { 200: SETTINGS } },
      handle: settings,
    }),
    route({
      ...shared,
      method: "PUT",
      path: "/slow_subscriptions/settings",
      summary: "Say what counts as slow",
      description: "What is left out stays as it is. Applies at once.",
      schema: { body: SETTINGS, answers: { 200: SETTINGS } },
      async handle({ body }) {
        const { enable, threshold, expire_interval, top_k_num, stats_type } = body;
        await slowSubscriptions.change({
          ...(enable === undefined ? {} : { enable }),
          ...(threshold === undefined
            ? {}
            : { threshold_ms: within("threshold", parseDuration(threshold), 0, 3_600_000) }),
          ...(expire_interval === undefined
            ? {}
            : {
                expire_interval_s: Math.ceil(
                  within("expire_interval", parseDuration(expire_interval), 1000, 86_400_000) /
                    1000,
                ),
              }),
          ...(top_k_num === undefined ? {} : { top_k_num }),
          ...(stats_type === undefined ? {} : { stats_type }),
        });
        return settings();
      },
    }),
  ];
}

function within(name: string, ms: number, least: number, most: number): number {
  if (ms >= least && ms <= most) return ms;
  const expected = `${formatDuration(least)} to ${formatDuration(most)}`;
  throw new ApiError(400, "BAD_REQUEST", `${name}: expected ${expected}`);
}
