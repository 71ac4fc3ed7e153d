import { isGatewayError } from "../../errors/index.ts";
import type { PublishOutcome, PublishRequest, Services } from "../../services/index.ts";
import { type Answer, json, type Route, route } from "./kit/index.ts";

/** What publishing is made of. */
export type PublishServices = Pick<Services, "publisher">;

const TEST = "src/api/emqx-v5/publish.test.ts";
const TAG = "Publish";
/** Messages in one request. */
const MAX_MESSAGES = 5000;
/** Whom a message comes from that names nobody. */
const SENDER = "api";

const text = (description: string, example: string) =>
  ({ type: "string", description, example }) as const;

const MESSAGE = {
  type: "object",
  additionalProperties: false,
  properties: {
    topic: text("Topic, without wildcards.", "press/3/command"),
    payload: text("Content; may be empty.", "start"),
    payload_encoding: {
      type: "string",
      enum: ["plain", "base64"],
      description: "How `payload` is to be read; plain unless stated.",
    },
    encoding: {
      type: "string",
      enum: ["plain", "base64"],
      description: "The same by its old name.",
    },
    qos: {
      type: "integer",
      minimum: 0,
      maximum: 2,
      default: 0,
      description: "QoS.",
      example: 1,
    },
    retain: {
      type: "boolean",
      default: false,
      description: "Keep it for those who subscribe later; an empty one removes what is kept.",
    },
    properties: {
      type: "object",
      additionalProperties: false,
      default: {},
      description: "Properties of MQTT 5.0.",
      properties: {
        payload_format_indicator: {
          type: "integer",
          minimum: 0,
          maximum: 1,
          description: "1 = the payload is UTF-8 text.",
          example: 1,
        },
        message_expiry_interval: {
          type: "integer",
          minimum: 0,
          maximum: 4_294_967_295,
          description: "Life of the message, s.",
          example: 60,
        },
        response_topic: text("Where an answer is expected.", "press/3/answer"),
        correlation_data: text("What the answer will carry.", "42"),
        content_type: text("Kind of the content.", "text/plain"),
        user_properties: {
          type: "object",
          additionalProperties: { type: "string" },
          description: "Names and values of your own.",
          example: { line: "3" },
        },
      },
    },
    clientid: text("Whom the message is said to come from.", "control-room"),
  },
  required: ["topic", "payload"],
} as const;

const ID = {
  type: "string",
  description: "Id of the message, 32 hexadecimal digits.",
  example: "018F89A1D3E40F31C5B37D2A6E1B90C4",
} as const;

const FAILURE = {
  type: "object",
  properties: {
    reason_code: {
      type: "integer",
      description: "Reason code of MQTT 5.0 (16 = nobody is subscribed).",
      example: 16,
    },
    message: text("The same in words.", "no_matching_subscribers"),
  },
} as const;

/** An id, or what is wrong. */
const OUTCOME = {
  type: "object",
  properties: { id: ID, ...FAILURE.properties },
} as const;

const REFUSED = {
  type: "object",
  properties: {
    ...FAILURE.properties,
    code: text("Of a body that is not as described.", "BAD_REQUEST"),
  },
} as const;

const NO_SUBSCRIBERS = { reason_code: 16, message: "no_matching_subscribers" };
const NOT_DISPATCHED = { reason_code: 131, message: "failed_to_dispatch" };

/** What the schema of `MESSAGE` lets through. */
interface PublishBody {
  readonly topic: string;
  readonly payload: string;
  readonly payload_encoding?: "plain" | "base64";
  readonly encoding?: "plain" | "base64";
  readonly qos: number;
  readonly retain: boolean;
  readonly properties: Readonly<Record<string, unknown>>;
  readonly clientid?: string;
}

/** `/publish` and `/publish/bulk` (reference §5.7). */
export function publishRoutes({ publisher }: PublishServices): readonly Route[] {
  async function publish(
    bodies: readonly PublishBody[],
    answerOf: (outcomes: readonly (PublishOutcome | null)[]) => unknown,
  ): Promise<Answer> {
    try {
      const outcomes = await publisher.publishAll(bodies.map(requestOf));
      return json(statusOf(outcomes), answerOf(outcomes));
    } catch (err) {
      const refusal = refusalOf(err);
      if (refusal === null) throw err;
      return json(400, refusal);
    }
  }

  const description =
    "200 when at least one client, session or bridge gets it; 202 when nobody is subscribed: a " +
    "retained message is kept all the same.";

  return [
    route({
      method: "POST",
      path: "/publish",
      tag: TAG,
      summary: "Publish a message",
      description,
      section: "5.7",
      priority: "P1",
      access: "publish",
      schema: {
        body: MESSAGE,
        answers: {
          200: { type: "object", properties: { id: ID }, required: ["id"] },
          202: FAILURE,
          400: REFUSED,
          503: FAILURE,
        },
      },
      test: TEST,
      handle: ({ body }) => publish([body], ([outcome]) => viewOf(outcome ?? null)),
    }),

    route({
      method: "POST",
      path: "/publish/bulk",
      tag: TAG,
      summary: "Publish many messages",
      description: `${description} When one of them is not valid none is published.`,
      section: "5.7",
      priority: "P1",
      access: "publish",
      schema: {
        body: {
          type: "array",
          items: MESSAGE,
          minItems: 1,
          maxItems: MAX_MESSAGES,
          description: "Published in this order.",
        },
        answers: {
          200: { type: "array", items: OUTCOME },
          202: { type: "array", items: OUTCOME },
          400: REFUSED,
          503: { type: "array", items: OUTCOME },
        },
      },
      test: TEST,
      handle: ({ body }) => publish(body, (outcomes) => outcomes.map(viewOf)),
    }),
  ];
}

function requestOf(body: PublishBody): PublishRequest {
  return {
    topics: [body.topic],
    payload: body.payload,
    decodeFrom: body.payload_encoding ?? body.encoding ?? "plain",
    encodeTo: "plain",
    qos: body.qos,
    retain: body.retain,
    clientId: body.clientid ?? SENDER,
    properties: body.properties,
  };
}

function statusOf(outcomes: readonly (PublishOutcome | null)[]): number {
  if (outcomes.includes(null)) return 503;
  return outcomes.every((outcome) => (outcome?.receivers ?? 0) > 0) ? 200 : 202;
}

function viewOf(outcome: PublishOutcome | null) {
  if (outcome === null) return NOT_DISPATCHED;
  return outcome.receivers > 0 ? { id: outcome.id } : NO_SUBSCRIBERS;
}

/** What is wrong with a message; null for anything else. */
function refusalOf(err: unknown): { reason_code: number; message: string } | null {
  if (isGatewayError(err, "MQTT_TOPIC_INVALID")) {
    return { reason_code: 144, message: "topic_name_invalid" };
  }
  if (isGatewayError(err, "PAYLOAD_NOT_BASE64")) return { reason_code: 131, message: err.message };
  if (isGatewayError(err, "MESSAGE_TOO_LARGE")) {
    return { reason_code: 151, message: "packet_too_large" };
  }
  return null;
}
