import { topic } from "../../mqtt/index.ts";
import type { DelayedMessage, DelayedService, TopicSettings } from "../../services/index.ts";
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

const TEST = "src/api/emqx-v5/delayed.test.ts";

/** Longer payloads are not shown (reference §5.8.2), bytes. */
const MAX_SHOWN_PAYLOAD = 2048;

const SETTINGS = {
  type: "object",
  additionalProperties: false,
  properties: {
    enable: {
      type: "boolean",
      default: true,
      description: "Take messages to `$delayed/…`; those that wait are published either way.",
      example: true,
    },
    max_delayed_messages: {
      type: "integer",
      minimum: 0,
      maximum: 10_000_000,
      default: 0,
      description: "Messages that wait at once; 0 = as many as `delayed.max_bytes` has room for.",
      example: 0,
    },
  },
} as const;

const ROW_PROPERTIES = {
  msgid: {
    type: "string",
    description: "Id of the message.",
    example: "019A0B7C1D2E0000000112AB34CD56EF",
  },
  node: { type: "string", description: "Name of the node.", example: "tidegate@127.0.0.1" },
  publish_at: {
    type: "string",
    description: "When it came.",
    example: "2026-05-01T10:00:00.000+00:00",
  },
  delayed_interval: { type: "integer", description: "How long it waits, s.", example: 60 },
  delayed_remaining: { type: "integer", description: "How long it still waits, s.", example: 42 },
  expected_at: {
    type: "string",
    description: "When it will be published.",
    example: "2026-05-01T10:01:00.000+00:00",
  },
  topic: { type: "string", description: "Topic without `$delayed/…`.", example: "t/1" },
  qos: { type: "integer", description: "QoS.", example: 1 },
  from_clientid: { type: "string", description: "Who published it.", example: "dev-1" },
  from_username: {
    type: ["string", "null"],
    description: "That client's user name.",
    example: "ann",
  },
} as const;

const REQUIRED = [
  "msgid",
  "node",
  "publish_at",
  "delayed_interval",
  "delayed_remaining",
  "expected_at",
  "topic",
  "qos",
  "from_clientid",
  "from_username",
] as const;

const ROW = { type: "object", properties: ROW_PROPERTIES, required: REQUIRED } as const;

const MESSAGE = {
  type: "object",
  properties: {
    ...ROW_PROPERTIES,
    payload: {
      type: "string",
      description: "base64, or PAYLOAD_TOO_LARGE when it is longer than 2048 bytes.",
      example: "aGVsbG8=",
    },
  },
  required: [...REQUIRED, "payload"],
} as const;

/** `/mqtt/delayed` (reference §5.8.2). */
export function delayedRoutes({
  node,
  delayed,
  topicSettings,
}: {
  readonly node: { readonly name: string };
  readonly delayed: DelayedService;
  readonly topicSettings: TopicSettings;
}): readonly Route[] {
  const settings = () => {
    const { enable, maxMessages } = topicSettings.delayed();
    return { enable, max_delayed_messages: maxMessages };
  };
  const shown = (row: DelayedMessage) => {
    const { id, message, publishedMs, delayS, remainingMs, expectedMs } = row;
    return {
      msgid: id,
      node: node.name,
      publish_at: timestampMs(publishedMs),
      delayed_interval: delayS,
      delayed_remaining: Math.ceil(remainingMs / 1000),
      expected_at: timestampMs(expectedMs),
      topic: message.topic,
      qos: message.qos,
      ...senderOf(row),
    };
  };
  const idOf = (params: { readonly node: string; readonly msgid: string }): string => {
    if (!/^[0-9A-Fa-f]{32}$/.test(params.msgid)) {
      throw new ApiError(400, "MESSAGE_ID_SCHEMA_ERROR", "an id has 32 hexadecimal digits");
    }
    if (params.node !== node.name) {
      throw new ApiError(400, "INVALID_NODE", `there is no node ${params.node}`);
    }
    return params.msgid.toUpperCase();
  };
  const missing = (id: string) =>
    new ApiError(404, "MESSAGE_ID_NOT_FOUND", `no message with id ${id} waits`);

  return [
    route({
      method: "GET",
      path: "/mqtt/delayed",
      tag: "MQTT",
      summary: "Settings of delayed publishing",
      section: "5.8.2",
      priority: "P2",
      schema: { answers: { 200: SETTINGS } },
      test: TEST,
      handle: () => ok(settings()),
    }),
    route({
      method: "PUT",
      path: "/mqtt/delayed",
      tag: "MQTT",
      summary: "Change the settings of delayed publishing",
      description: "At once; what is left out gets its default.",
      section: "5.8.2",
      priority: "P2",
      schema: { body: SETTINGS, answers: { 200: SETTINGS } },
      test: TEST,
      async handle({ body: { enable = true, max_delayed_messages: maxMessages = 0 } }) {
        await topicSettings.setDelayed({ enable, maxMessages });
        return ok(settings());
      },
    }),
    route({
      method: "GET",
      path: "/mqtt/delayed/messages",
      tag: "MQTT",
      summary: "Messages that wait for their time",
      description: "In order of arrival.",
      section: "5.8.2",
      priority: "P2",
      schema: {
        query: { type: "object", properties: PAGE_QUERY },
        answers: { 200: pageSchema(ROW) },
      },
      test: TEST,
      async handle({ query }) {
        const every = () => true;
        const options = { isCountKnown: true, where: every, pick: shown };
        return ok(await paginate(delayed.list(), query, options));
      },
    }),
    route({
      method: "GET",
      path: "/mqtt/delayed/messages/{node}/{msgid}",
      tag: "MQTT",
      summary: "One message that waits, with its payload",
      section: "5.8.2",
      priority: "P2",
      schema: { answers: { 200: MESSAGE } },
      test: TEST,
      handle({ params }) {
        const id = idOf(params);
        const row = delayed.get(id);
        if (row === undefined) throw missing(id);
        const { payload } = row.message;
        const isShort = payload.length <= MAX_SHOWN_PAYLOAD;
        return ok({
          ...shown(row),
          payload: isShort ? payload.toString("base64") : "PAYLOAD_TOO_LARGE",
        });
      },
    }),
    route({
      method: "DELETE",
      path: "/mqtt/delayed/messages/{node}/{msgid}",
      tag: "MQTT",
      summary: "Take a message back",
      section: "5.8.2",
      priority: "P2",
      schema: { answers: { 204: null } },
      test: TEST,
      async handle({ params }) {
        const id = idOf(params);
        if (!(await delayed.remove(id))) throw missing(id);
        return noContent();
      },
    }),
    route({
      method: "DELETE",
      path: "/mqtt/delayed/messages/{topic}",
      tag: "MQTT",
      summary: "Take all messages of one topic back",
      section: "5.8.2",
      priority: "P2",
      schema: { answers: { 204: null } },
      test: TEST,
      async handle({ params }) {
        if (!isTopic(params.topic)) {
          throw new ApiError(400, "INVALID_TOPIC_NAME", `${params.topic} is no topic`);
        }
        if ((await delayed.removeTopic(params.topic)) === 0) {
          throw new ApiError(404, "MESSAGE_NOT_FOUND", `nothing waits for topic ${params.topic}`);
        }
        return noContent();
      },
    }),
  ];
}

function senderOf({ message: { origin } }: DelayedMessage) {
  if (origin.kind === "client") {
    return { from_clientid: origin.clientId, from_username: origin.username };
  }
  const name = origin.kind === "bridge" ? `bridge:${origin.bridge}` : origin.kind;
  return { from_clientid: origin.kind === "api" ? origin.clientId : name, from_username: null };
}

function isTopic(raw: string): boolean {
  try {
    topic(raw);
    return true;
  } catch {
    return false;
  }
}
