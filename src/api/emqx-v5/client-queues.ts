import { isUtf8 } from "node:buffer";
import type { QueuedView, QueuePart } from "../../mqtt/index.ts";
import { QUEUE_PLACES } from "../../mqtt/index.ts";
import type { ClientServices } from "./clients.ts";
import { ApiError, inTurns, ok, PAGE_QUERY, parseSize, type Route, route } from "./kit/index.ts";
import { MESSAGE_PROPERTIES, messageView } from "./message-view.ts";

/** More payload than this is never gathered for one page; the next one goes on. */
const MOST_BYTES = 4_194_304;
/** Digits of a place in `inserted_at`, which is in nanoseconds. */
const PLACE_DIGITS = String(QUEUE_PLACES - 1).length;
/** Priority of every message. */
const PRIORITY = 0;

const QUERY = {
  type: "object",
  properties: {
    position: {
      type: "string",
      default: "none",
      description: "`meta.position` of the page before; only what stands behind it is shown.",
      example: "none",
    },
    limit: PAGE_QUERY.limit,
    payload: {
      type: "string",
      enum: ["none", "base64", "plain"],
      default: "base64",
      description: "Form of the payloads.",
    },
    max_payload_bytes: {
      type: "string",
      default: "1MB",
      description:
        "The page ends before its payloads are longer together; it has one message at least.",
      example: "1MB",
    },
  },
} as const;

const POSITION = {
  type: "string",
  description: "A place in the queue, or `none`.",
  example: "1716187698260000042_0",
};

const ANSWER = {
  type: "object",
  properties: {
    data: {
      type: "array",
      items: {
        type: "object",
        additionalProperties: false,
        properties: {
          ...MESSAGE_PROPERTIES,
          publish_at: {
            type: "integer",
            description: "When it was published, ms since 1970.",
            example: 1_716_187_698_260,
          },
          inserted_at: {
            type: "string",
            description: "Its place: the time in ns, with a count in the last six digits.",
            example: "1716187698260000042",
          },
          mqueue_priority: {
            type: "integer",
            description: "Always 0; of waiting messages only.",
            example: 0,
          },
          payload: {
            type: "string",
            description: "The payload, in the form asked for.",
            example: "SGVsbG8=",
          },
        },
        required: ["msgid", "topic", "qos", "publish_at", "inserted_at"],
      },
    },
    meta: {
      type: "object",
      properties: {
        start: { ...POSITION, description: "Of the first message there is now." },
        position: { ...POSITION, description: "Of the last message shown." },
      },
      required: ["start", "position"],
    },
  },
  required: ["data", "meta"],
} as const;

/** What waits for a client, and what is on its way to it (reference §5.5.3). */
export function clientQueueRoutes(services: ClientServices): readonly Route[] {
  return [
    queueRoute(services, {
      part: "waiting",
      path: "/clients/{clientid}/mqueue_messages",
      summary: "Show the messages that wait for a client",
      description: "Oldest first. Reading them changes nothing.",
    }),
    queueRoute(services, {
      part: "inflight",
      path: "/clients/{clientid}/inflight_messages",
      summary: "Show the messages on their way to a client",
      description:
        "QoS 1 and 2 messages that were sent and are not acknowledged, oldest first. A session that " +
        "ends with its connection keeps no copy of what it has sent: its list is empty.",
    }),
  ];
}

interface QueueRoute {
  readonly part: QueuePart;
  readonly path: "/clients/{clientid}/mqueue_messages" | "/clients/{clientid}/inflight_messages";
  readonly summary: string;
  readonly description: string;
}

function queueRoute({ clients }: ClientServices, spec: QueueRoute): Route {
  const { part, path, summary, description } = spec;
  return route({
    method: "GET",
    path,
    tag: "Clients",
    summary,
    description,
    section: "5.5",
    priority: "P1",
    schema: { query: QUERY, answers: { 200: ANSWER } },
    test: "src/api/emqx-v5/client-queues.test.ts",
    async handle({ params, query }) {
      const after = placeOf(query.position, part);
      const budget = budgetOf(query.max_payload_bytes);
      const page = await clients.queue(params.clientid, {
        part,
        after,
        maxMessages: query.limit,
        maxBytes: budget,
      });
      const messages = within(page.messages, budget);
      const data = await inTurns(messages, (view) => rowOf(view, part, query.payload), 1);
      const start = positionOf(page.first, part);
      const last = messages.at(-1);
      const position = page.first === null ? "none" : query.position;
      return ok({
        data,
        meta: { start, position: last === undefined ? position : positionOf(last, part) },
      });
    },
  });
}

/** @throws ApiError 400 INVALID_PARAMETER */
function placeOf(position: string, part: QueuePart): number | null {
  if (position === "none") return null;
  const form = part === "waiting" ? /^(\d{1,20})_(?:\d{1,5}|infinity)$/ : /^(\d{1,20})$/;
  const digits = form.exec(position)?.[1];
  if (digits !== undefined) return Number(digits.slice(-PLACE_DIGITS));
  throw new ApiError(400, "INVALID_PARAMETER", "position_limit_invalid");
}

function budgetOf(size: string): number {
  const bytes = parseSize(size);
  if (bytes > 0) return Math.min(bytes, MOST_BYTES);
  throw new ApiError(400, "BAD_REQUEST", "max_payload_bytes is 0; a page has one message at least");
}

/** The first of `messages`, as far as their payloads fit together. */
function within(messages: readonly QueuedView[], budget: number): readonly QueuedView[] {
  let bytes = 0;
  const end = messages.findIndex(({ message }, i) => {
    bytes += message.payload.length;
    return i > 0 && bytes > budget;
  });
  return end < 0 ? messages : messages.slice(0, end);
}

function rowOf(view: QueuedView, part: QueuePart, form: "none" | "base64" | "plain") {
  const { message, qos } = view;
  return {
    ...messageView(message),
    qos,
    publish_at: message.publishedMs,
    inserted_at: insertedAt(view),
    ...(part === "waiting" ? { mqueue_priority: PRIORITY } : {}),
    ...(form === "none" ? {} : { payload: payloadText(message.payload, form) }),
  };
}

/** @throws ApiError 400 INVALID_PARAMETER */
function payloadText(payload: Buffer, form: "base64" | "plain"): string {
  if (form === "base64") return payload.toString("base64");
  if (isUtf8(payload)) return payload.toString();
  throw new ApiError(400, "INVALID_PARAMETER", "a payload is not UTF-8; ask for base64");
}

function insertedAt({ message, place }: QueuedView): string {
  return `${message.publishedMs}${String(place).padStart(PLACE_DIGITS, "0")}`;
}

function positionOf(view: QueuedView | null, part: QueuePart): string {
  if (view === null) return "none";
  return part === "waiting" ? `${insertedAt(view)}_${PRIORITY}` : insertedAt(view);
}
