import { isGatewayError } from "../../errors/index.ts";
import { topic as checkTopic } from "../../mqtt/index.ts";
import type { Services, TopicReportView } from "../../services/index.ts";
import { ApiError, noContent, ok, type Route, route, timestampS } from "./kit/index.ts";

/** What topic metrics are made of. */
export type TopicMetricsServices = Pick<Services, "topicMetrics">;

const TEST = "src/api/emqx-v5/topic-metrics.test.ts";

const TOPIC = {
  type: "string",
  description: "A topic.",
  example: "plant/line1/temp",
} as const;

const REPORT = {
  type: "object",
  additionalProperties: false,
  properties: {
    topic: TOPIC,
    create_time: {
      type: "string",
      description: "Since when it is counted.",
      example: "2026-05-01T10:00:00+00:00",
    },
    reset_time: {
      type: "string",
      description: "When it was reset; left out when it never was.",
      example: "2026-05-01T10:05:00+00:00",
    },
    metrics: {
      type: "object",
      description:
        "Messages published (in), sent to clients (out) and dropped: count and per second.",
      additionalProperties: { type: "number" },
      example: { "messages.in.count": 12, "messages.in.rate": 0.4 },
    },
  },
  required: ["topic", "create_time", "metrics"],
} as const;

/** `/mqtt/topic_metrics` (reference §5.8.3). */
export function topicMetricsRoutes({ topicMetrics }: TopicMetricsServices): readonly Route[] {
  const shared = { tag: "Topic metrics", section: "5.8.3", priority: "P2", test: TEST } as const;
  return [
    route({
      ...shared,
      method: "GET",
      path: "/mqtt/topic_metrics",
      summary: "Counted topics",
      schema: { answers: { 200: { type: "array", items: REPORT } } },
      handle: () => ok(topicMetrics.list().map(shown)),
    }),
    route({
      ...shared,
      method: "POST",
      path: "/mqtt/topic_metrics",
      summary: "Count a topic",
      description:
        "At most 512 topics, without wildcards. It outlives a restart, its counts do not.",
      schema: {
        body: {
          type: "object",
          additionalProperties: false,
          properties: { topic: TOPIC },
          required: ["topic"],
        },
        answers: { 200: REPORT },
      },
      async handle({ body: { topic } }) {
        if (topic === "") throw new ApiError(400, "BAD_REQUEST", "topic: must not be empty");
        requireTopic(topic);
        const outcome = await topicMetrics.register(topic);
        if (outcome === "exists")
          throw new ApiError(400, "BAD_TOPIC", `${topic} is counted already`);
        if (outcome === "full") throw new ApiError(409, "EXCEED_LIMIT", "at most 512 topics");
        return ok(shown(found(topic)));
      },
    }),
    route({
      ...shared,
      method: "PUT",
      path: "/mqtt/topic_metrics",
      summary: "Begin counting anew",
      description: "For one topic, or for all when it is left out.",
      schema: {
        body: {
          type: "object",
          additionalProperties: false,
          properties: {
            topic: TOPIC,
            action: { type: "string", enum: ["reset"], example: "reset" },
          },
          required: ["action"],
        },
        answers: { 204: null },
      },
      handle({ body: { topic } }) {
        if (topic === undefined) topicMetrics.resetAll();
        else if (!topicMetrics.reset(topic)) throw notFound(topic);
        return noContent();
      },
    }),
    route({
      ...shared,
      method: "GET",
      path: "/mqtt/topic_metrics/{topic}",
      summary: "What was counted for a topic",
      description: "In the path, `/` of the topic is `%2F`.",
      schema: { answers: { 200: REPORT } },
      handle: ({ params }) => ok(shown(found(params.topic))),
    }),
    route({
      ...shared,
      method: "DELETE",
      path: "/mqtt/topic_metrics/{topic}",
      summary: "Stop counting a topic",
      schema: { answers: { 204: null } },
      async handle({ params: { topic } }) {
        if (!(await topicMetrics.unregister(topic))) throw notFound(topic);
        return noContent();
      },
    }),
  ];

  function found(topic: string): TopicReportView {
    const report = topicMetrics.find(topic);
    if (report === null) throw notFound(topic);
    return report;
  }
}

function shown({ topic, createdAtMs, resetAtMs, counts }: TopicReportView) {
  const metrics = Object.entries(counts).flatMap(([name, { count, rate }]) => [
    [`${name}.count`, count] as const,
    [`${name}.rate`, rate] as const,
  ]);
  return {
    topic,
    create_time: timestampS(createdAtMs),
    ...(resetAtMs === null ? {} : { reset_time: timestampS(resetAtMs) }),
    metrics: Object.fromEntries(metrics),
  };
}

function requireTopic(raw: string): void {
  try {
    checkTopic(raw);
  } catch (err) {
    if (isGatewayError(err)) throw new ApiError(400, "BAD_TOPIC", err.message);
    throw err;
  }
}

function notFound(topic: string): ApiError {
  return new ApiError(404, "TOPIC_NOT_FOUND", `${topic} is not counted`);
}
