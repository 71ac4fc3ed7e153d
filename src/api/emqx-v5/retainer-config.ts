import { type Config, SCHEMA } from "../../config/index.ts";
import { isGatewayError } from "../../errors/index.ts";
import type { Services } from "../../services/index.ts";
import {
  ApiError,
  formatDuration,
  formatSize,
  ok,
  parseDuration,
  parseSize,
  type Route,
  route,
} from "./kit/index.ts";

/** What the retainer's operations are made of. */
export type RetainerServices = Pick<Services, "retained">;

type Settings = Config["retainer"];

const TEST = "src/api/emqx-v5/retainer.test.ts";
const TAG = "MQTT";

/** What is the same whatever anybody wants: see `fixedFault`. */
const FIXED = {
  allow_never_expire: true,
  msg_clear_interval: "0s",
  delivery_rate: "infinity",
  max_publish_rate: "infinity",
} as const;

/** What EMQX's clients send back untouched, as its own defaults are. */
const RATES: ReadonlySet<string> = new Set(["infinity", "1000/s"]);

const duration = (description: string) =>
  ({ type: ["string", "integer"], description, example: "0s" }) as const;
const rate = (description: string) =>
  ({ type: "string", description, example: "infinity" }) as const;
const none = (description: string) => ({ type: "integer", description, example: 0 }) as const;

const CONFIG = {
  type: "object",
  additionalProperties: false,
  properties: {
    enable: {
      type: "boolean",
      description: "Keep retained messages, and send them to new subscribers.",
      example: true,
    },
    msg_expiry_interval: duration("Life of a message that names none; 0s = for ever."),
    allow_never_expire: { type: "boolean", description: "Always true.", example: true },
    msg_clear_interval: duration("Messages whose life is over are removed at once: always 0s."),
    max_payload_size: {
      type: ["string", "integer"],
      description: "Larger payloads are delivered and not retained.",
      example: "1MB",
    },
    stop_publish_clear_msg: {
      type: "boolean",
      description: "An empty message does not remove the one that is kept.",
      example: false,
    },
    delivery_rate: rate("Retained messages are sent as fast as a client reads: always infinity."),
    max_publish_rate: rate("Always infinity."),
    backend: {
      type: "object",
      additionalProperties: false,
      description: "Where they are kept.",
      properties: {
        type: { type: "string", enum: ["built_in_database"], description: "The gateway's store." },
        storage_type: {
          type: "string",
          enum: ["ram", "disc"],
          description: "On disk, whatever is asked for: always disc.",
          example: "disc",
        },
        max_retained_messages: {
          type: "integer",
          minimum: 0,
          maximum: 100_000_000,
          description: "Topics with a message; 0 = as many as the store takes.",
          example: 250_000,
        },
        enable: { type: "boolean", description: "Always true.", example: true },
      },
    },
    flow_control: {
      type: "object",
      additionalProperties: false,
      description: "Always 0: a client gets as much at once as it reads.",
      properties: {
        batch_read_number: none("Read at once."),
        batch_deliver_number: none("Delivered at once."),
      },
    },
  },
} as const;

/** `/mqtt/retainer`: settings that count at once and last (reference §5.8.1). */
export function retainerConfigRoutes({ retained }: RetainerServices): readonly Route[] {
  return [
    route({
      method: "GET",
      path: "/mqtt/retainer",
      tag: TAG,
      summary: "Show the settings of retained messages",
      section: "5.8.1",
      priority: "P2",
      schema: { answers: { 200: CONFIG } },
      test: TEST,
      handle: () => ok(viewOf(retained.settings())),
    }),

    route({
      method: "PUT",
      path: "/mqtt/retainer",
      tag: TAG,
      summary: "Change the settings of retained messages",
      description:
        "Counts at once and lasts. What is left out falls back to its default; what this gateway has " +
        "no choice of is refused unless it is as GET shows it.",
      section: "5.8.1",
      priority: "P2",
      schema: { body: CONFIG, answers: { 200: CONFIG } },
      test: TEST,
      async handle({ body }) {
        const fault = fixedFault(body);
        if (fault !== null) throw new ApiError(400, "UPDATE_FAILED", `${fault} cannot be changed`);
        try {
          await retained.change(settingsOf(body));
        } catch (err) {
          if (!isGatewayError(err) || err.status >= 500) throw err;
          throw new ApiError(400, "UPDATE_FAILED", err.message);
        }
        return ok(viewOf(retained.settings()));
      },
    }),
  ];
}

/** What the schema of `CONFIG` lets through. */
interface RetainerBody {
  readonly enable?: boolean;
  readonly msg_expiry_interval?: string | number;
  readonly allow_never_expire?: boolean;
  readonly msg_clear_interval?: string | number;
  readonly max_payload_size?: string | number;
  readonly stop_publish_clear_msg?: boolean;
  readonly delivery_rate?: string;
  readonly max_publish_rate?: string;
  readonly backend?: {
    readonly max_retained_messages?: number;
    readonly enable?: boolean;
  };
  readonly flow_control?: {
    readonly batch_read_number?: number;
    readonly batch_deliver_number?: number;
  };
}

/** A member that asks for what there is not. @throws ApiError 400 BAD_REQUEST */
function fixedFault(body: RetainerBody): string | null {
  const { delivery_rate: delivery, max_publish_rate: publish, flow_control: flow } = body;
  parseDuration(body.msg_clear_interval ?? 0);
  if (body.allow_never_expire === false) return "allow_never_expire";
  if (!RATES.has(delivery ?? FIXED.delivery_rate)) return "delivery_rate";
  if (!RATES.has(publish ?? FIXED.max_publish_rate)) return "max_publish_rate";
  if (body.backend?.enable === false) return "backend.enable";
  if ((flow?.batch_read_number ?? 0) !== 0) return "flow_control.batch_read_number";
  if ((flow?.batch_deliver_number ?? 0) !== 0) return "flow_control.batch_deliver_number";
  return null;
}

/** @throws ApiError 400 BAD_REQUEST */
function settingsOf(body: RetainerBody): Settings {
  const { retainer: keys } = SCHEMA;
  const { msg_expiry_interval: life, max_payload_size: size } = body;
  return {
    enable: body.enable ?? keys.enable.default,
    msg_expiry_interval_s:
      life === undefined
        ? keys.msg_expiry_interval_s.default
        : Math.ceil(parseDuration(life) / 1000),
    max_payload_size_bytes:
      size === undefined ? keys.max_payload_size_bytes.default : parseSize(size),
    max_retained_messages:
      body.backend?.max_retained_messages ?? keys.max_retained_messages.default,
    stop_publish_clear_msg: body.stop_publish_clear_msg ?? keys.stop_publish_clear_msg.default,
  };
}

function viewOf(settings: Settings) {
  return {
    enable: settings.enable,
    msg_expiry_interval: formatDuration(settings.msg_expiry_interval_s * 1000),
    ...FIXED,
    max_payload_size: formatSize(settings.max_payload_size_bytes),
    stop_publish_clear_msg: settings.stop_publish_clear_msg,
    backend: {
      type: "built_in_database",
      storage_type: "disc",
      max_retained_messages: settings.max_retained_messages,
      enable: true,
    },
    flow_control: { batch_read_number: 0, batch_deliver_number: 0 },
  };
}
