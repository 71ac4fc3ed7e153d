import { isGatewayError } from "../../errors/index.ts";
import type { TopicFilter } from "../../mqtt/index.ts";
import type { Services } from "../../services/index.ts";
import { ApiError, ok, PAGE_QUERY, pageSchema, paginate, type Route, route } from "./kit/index.ts";
import { checkNode, NODE } from "./node-name.ts";
import { FILTER_PROPERTY } from "./subscription-view.ts";

/** What the lists of filters are made of. */
export type TopicServices = Pick<Services, "node" | "subscriptions">;

const TEST = "src/api/emqx-v5/topics.test.ts";
const TAG = "Topics";

const TOPIC = {
  type: "object",
  additionalProperties: false,
  properties: {
    topic: FILTER_PROPERTY,
    node: { type: "string", description: "Name of the node.", example: "tidegate@127.0.0.1" },
  },
  required: ["topic", "node"],
} as const;

/** `/topics`: what somebody is subscribed to (reference §5.6). */
export function topicRoutes({ node, subscriptions }: TopicServices): readonly Route[] {
  const view = (topic: string) => ({ topic, node: node.name });

  function filtersAt(raw: string, refusal: ApiError): readonly TopicFilter[] {
    try {
      return subscriptions.filtersAt(raw);
    } catch (err) {
      throw isGatewayError(err, "MQTT_FILTER_INVALID") ? refusal : err;
    }
  }

  return [
    route({
      method: "GET",
      path: "/topics",
      tag: TAG,
      summary: "List the filters that are subscribed to",
      description: "Each once, and once more in each share.",
      section: "5.6",
      priority: "P1",
      schema: {
        query: {
          type: "object",
          properties: {
            ...PAGE_QUERY,
            node: NODE,
            topic: { ...FILTER_PROPERTY, description: "This filter alone, in all its shares." },
          },
        },
        answers: { 200: pageSchema(TOPIC) },
      },
      test: TEST,
      async handle({ query }) {
        checkNode(query.node, node);
        const { topic: wanted, page, limit } = query;
        const invalid = new ApiError(400, "INVALID_PARAMETER", "topic_filter_invalid");
        const found = wanted === undefined ? null : filtersAt(wanted, invalid);
        const isCountKnown = found === null || found.length <= page * limit;
        const rows = found ?? subscriptions.filters();
        return ok(await paginate(rows, query, { isCountKnown, where: () => true, pick: view }));
      },
    }),

    route({
      method: "GET",
      path: "/topics/{topic}",
      tag: TAG,
      summary: "Show a filter that is subscribed to",
      description: "Itself and its shares; the filter is percent-encoded.",
      section: "5.6",
      priority: "P1",
      schema: { answers: { 200: { type: "array", items: TOPIC } } },
      test: TEST,
      handle({ params }) {
        const missing = new ApiError(404, "TOPIC_NOT_FOUND", "Topic not found");
        const found = filtersAt(params.topic, missing);
        if (found.length === 0) throw missing;
        return ok(found.map(view));
      },
    }),
  ];
}
