import type { TopicSettings } from "../../services/index.ts";
import { ApiError, ok, type Route, route } from "./kit/index.ts";

const TEST = "src/api/emqx-v5/topic-features.test.ts";

/** Twenty rules and more are refused (reference §5.8.3). */
const REWRITE_LIMIT = 20;
const AUTO_SUBSCRIBE_LIMIT = 20;

const RULE = {
  type: "object",
  additionalProperties: false,
  properties: {
    action: {
      type: "string",
      enum: ["publish", "subscribe", "all"],
      description: "What the rule is about.",
      example: "all",
    },
    source_topic: {
      type: "string",
      minLength: 1,
      description: "Filter of the topics the rule is for.",
      example: "x/#",
    },
    dest_topic: {
      type: "string",
      minLength: 1,
      description:
        "What they become: `$1` … are groups, `${clientid}` and `${username}` the client's.",
      example: "z/y/$1",
    },
    re: {
      type: "string",
      minLength: 1,
      description: "Regular expression searched for in the topic.",
      example: "^x/y/(.+)$",
    },
  },
  required: ["action", "source_topic", "dest_topic", "re"],
} as const;

const RULES = { type: "array", items: RULE } as const;

const flag = (description: string) =>
  ({ type: "integer", enum: [0, 1], default: 0, description, example: 0 }) as const;

const AUTO = {
  type: "object",
  additionalProperties: false,
  properties: {
    topic: {
      type: "string",
      minLength: 1,
      description: "Filter; `${clientid}`, `${username}`, `${host}`, `${port}` are the client's.",
      example: "c/${clientid}",
    },
    qos: { type: "integer", enum: [0, 1, 2], default: 0, description: "QoS.", example: 1 },
    rh: {
      type: "integer",
      enum: [0, 1, 2],
      default: 0,
      description: "Retain Handling (MQTT 5.0 §3.8.3.1).",
      example: 0,
    },
    rap: flag("Retain As Published."),
    nl: flag("No Local."),
  },
  required: ["topic"],
} as const;

const AUTOS = { type: "array", items: AUTO } as const;

/** `/mqtt/topic_rewrite` and `/mqtt/auto_subscribe` (reference §5.8.3). */
export function topicFeatureRoutes({
  topicSettings,
}: {
  readonly topicSettings: TopicSettings;
}): readonly Route[] {
  return [
    route({
      method: "GET",
      path: "/mqtt/topic_rewrite",
      tag: "MQTT",
      summary: "The rules by which topics are renamed",
      section: "5.8.3",
      priority: "P2",
      schema: { answers: { 200: RULES } },
      test: TEST,
      handle: () => ok(topicSettings.rewriteRules()),
    }),
    route({
      method: "PUT",
      path: "/mqtt/topic_rewrite",
      tag: "MQTT",
      summary: "Replace all rules",
      description:
        "They apply at once to what is published and subscribed from now on. Of the rules for an action the last whose source matches is the only one tried. Clients need the right to both names.",
      section: "5.8.3",
      priority: "P2",
      schema: { body: RULES, answers: { 200: RULES } },
      test: TEST,
      async handle({ body }) {
        if (body.length >= REWRITE_LIMIT) {
          const most = REWRITE_LIMIT - 1;
          throw new ApiError(413, "EXCEED_LIMIT", `at most ${most} rules are taken`);
        }
        await topicSettings.setRewriteRules(body);
        return ok(topicSettings.rewriteRules());
      },
    }),
    route({
      method: "GET",
      path: "/mqtt/auto_subscribe",
      tag: "MQTT",
      summary: "What clients are subscribed to without asking",
      section: "5.8.3",
      priority: "P2",
      schema: { answers: { 200: AUTOS } },
      test: TEST,
      handle: () => ok(topicSettings.autoSubscriptions()),
    }),
    route({
      method: "PUT",
      path: "/mqtt/auto_subscribe",
      tag: "MQTT",
      summary: "Replace all automatic subscriptions",
      description: "For clients that connect from now on, whatever the access rules say.",
      section: "5.8.3",
      priority: "P2",
      schema: { body: AUTOS, answers: { 200: AUTOS } },
      test: TEST,
      async handle({ body }) {
        if (body.length > AUTO_SUBSCRIBE_LIMIT) {
          const text = `at most ${AUTO_SUBSCRIBE_LIMIT} subscriptions are taken`;
          throw new ApiError(409, "EXCEED_LIMIT", text);
        }
        await topicSettings.setAutoSubscriptions(
          body.map(({ topic, qos = 0, rh = 0, rap = 0, nl = 0 }) => ({ topic, qos, rh, rap, nl })),
        );
        return ok(topicSettings.autoSubscriptions());
      },
    }),
  ];
}
