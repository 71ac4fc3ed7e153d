import {
  ApiError,
  createTurns,
  noContent,
  ok,
  PAGE_QUERY,
  pageSchema,
  paginate,
  type Route,
  route,
  timestampMs,
} from "./kit/index.ts";
import { MESSAGE_PROPERTIES, messageView } from "./message-view.ts";
import { type RetainerServices, retainerConfigRoutes } from "./retainer-config.ts";

const TEST = "src/api/emqx-v5/retainer.test.ts";
const TAG = "MQTT";
/** Larger payloads are not shown. */
const MOST_SHOWN_BYTES = 1_048_576;

const PROPERTIES = {
  ...MESSAGE_PROPERTIES,
  publish_at: {
    type: "string",
    description: "When it was published.",
    example: "2026-01-01T12:34:56.789+08:00",
  },
} as const;

const ROW = {
  type: "object",
  additionalProperties: false,
  properties: PROPERTIES,
  required: ["msgid", "topic", "qos", "publish_at", "from_clientid", "from_username"],
} as const;

const MESSAGE = {
  ...ROW,
  properties: {
    ...PROPERTIES,
    payload: {
      type: "string",
      description: "Payload, base64; left out when it is larger than 1 MiB.",
      example: "b24=",
    },
  },
} as const;

/** `/mqtt/retainer` and its messages (reference §5.8.1). */
export function retainerRoutes(services: RetainerServices): readonly Route[] {
  const { retained } = services;

  async function viewOf(topic: string) {
    const message = await retained.message(topic);
    if (message === null) return null;
    const view = { ...messageView(message), publish_at: timestampMs(message.publishedMs) };
    return { view, payload: message.payload };
  }

  return [
    ...retainerConfigRoutes(services),

    route({
      method: "GET",
      path: "/mqtt/retainer/messages",
      tag: TAG,
      summary: "List retained messages",
      description:
        "Without payloads, topics in order of their first message. With `topic` `meta.count` is left " +
        "out: use `meta.hasnext`.",
      section: "5.8.1",
      priority: "P1",
      schema: {
        query: {
          type: "object",
          properties: {
            ...PAGE_QUERY,
            topic: {
              type: "string",
              description: "Topic filter.",
              example: "press/+/state",
            },
          },
        },
        answers: { 200: pageSchema(ROW) },
      },
      test: TEST,
      async handle({ query }) {
        const { topic } = query;
        const isFiltered = topic !== undefined;
        const { data: topics, meta } = await paginate(retained.topics(topic), query, {
          isCountKnown: !isFiltered,
          ...(isFiltered ? { where: () => true } : { count: retained.count() }),
        });
        const data: unknown[] = [];
        const turns = createTurns();
        for (const name of topics) {
          const found = await viewOf(name);
          if (found !== null) data.push(found.view);
          if (turns.isDue()) await turns.take();
        }
        return ok({ data, meta });
      },
    }),

    route({
      method: "DELETE",
      path: "/mqtt/retainer/messages",
      tag: TAG,
      summary: "Remove all retained messages",
      section: "5.8.1",
      priority: "P1",
      schema: { answers: { 204: null } },
      test: TEST,
      async handle() {
        await retained.removeAll();
        return noContent();
      },
    }),

    route({
      method: "GET",
      path: "/mqtt/retainer/message/{topic}",
      tag: TAG,
      summary: "Show a retained message",
      description: "The topic is percent-encoded; of a filter the first topic that it matches.",
      section: "5.8.1",
      priority: "P1",
      schema: { answers: { 200: MESSAGE } },
      test: TEST,
      async handle({ params }) {
        const found = await viewOf(firstOf(params.topic));
        if (found === null) throw notFound();
        const { view, payload } = found;
        const isShown = payload.length <= MOST_SHOWN_BYTES;
        return ok({ ...view, ...(isShown ? { payload: payload.toString("base64") } : {}) });
      },
    }),

    route({
      method: "DELETE",
      path: "/mqtt/retainer/message/{topic}",
      tag: TAG,
      summary: "Remove a retained message",
      description: "The topic is percent-encoded; a filter removes all that it matches.",
      section: "5.8.1",
      priority: "P1",
      schema: { answers: { 204: null } },
      test: TEST,
      async handle({ params }) {
        if ((await retained.remove(params.topic)) === 0) throw notFound();
        return noContent();
      },
    }),
  ];

  function firstOf(topic: string): string {
    if (!/[+#]/.test(topic)) return topic;
    const [first] = retained.topics(topic);
    if (first === undefined) throw notFound();
    return first;
  }
}

function notFound(): ApiError {
  return new ApiError(404, "NOT_FOUND", "No retained message of this topic");
}
