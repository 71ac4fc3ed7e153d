import type { LiveSettings } from "../../services/index.ts";
import { RESULT, renamed } from "../errors.ts";
import { type JsonObject, member } from "../json.ts";
import { object, required } from "../parameters.ts";
import { CODE_ONLY, FAILURE, type Resource } from "./schema.ts";

const SETTINGS = {
  type: "object",
  properties: {
    property_size: { type: "integer" },
    max_packet_size: { type: "integer", description: "KiB" },
    client_max_packet_size: { type: "integer", description: "KiB" },
    msq_len: { type: "integer" },
    qos_duration: { type: "integer", description: "Seconds" },
    keepalive_backoff: { type: "number", description: "Times the Keep Alive." },
    allow_anonymous: { type: "boolean" },
    enable_mqtt_stream: { type: "boolean" },
    bridge_mode: { type: "boolean" },
  },
  required: [
    "property_size",
    "max_packet_size",
    "client_max_packet_size",
    "msq_len",
    "qos_duration",
    "keepalive_backoff",
    "allow_anonymous",
    "enable_mqtt_stream",
    "bridge_mode",
  ],
} as const;

const VIEW = {
  type: "object",
  properties: { code: { type: "integer" }, data: SETTINGS },
  required: ["code", "data"],
} as const;

const BYTES_PER_KIB = 1024;
const PER_MILLE = 1000;

/** From here on a keepalive_backoff is per mille: NanoMQ's own samples hold 1250 (reference §3.3). */
const MIN_PER_MILLE = 100;

const MEMBER_OF: Readonly<Record<keyof LiveSettings, string>> = {
  allowAnonymous: "allow_anonymous",
  msqLen: "msq_len",
  maxPacketSizeBytes: "max_packet_size",
  clientMaxPacketSizeBytes: "client_max_packet_size",
  keepaliveMultiplier: "keepalive_backoff",
  propertySize: "property_size",
  qosDurationS: "qos_duration",
  isBridgeOn: "bridge_mode",
};

/** `/reload`: what can change without a restart. Changes last until the process ends. */
export const reload: Resource = (app, { liveSettings }) => {
  app.get("/reload", { schema: { response: { 200: VIEW, "4xx": FAILURE } } }, async () => {
    const live = liveSettings.view();
    return {
      code: RESULT.success,
      data: {
        property_size: live.propertySize,
        max_packet_size: Math.floor(live.maxPacketSizeBytes / BYTES_PER_KIB),
        client_max_packet_size: Math.floor(live.clientMaxPacketSizeBytes / BYTES_PER_KIB),
        msq_len: live.msqLen,
        qos_duration: live.qosDurationS,
        keepalive_backoff: live.keepaliveMultiplier / PER_MILLE,
        allow_anonymous: live.allowAnonymous,
        enable_mqtt_stream: false,
        bridge_mode: live.isBridgeOn,
      },
    };
  });

  app.post(
    "/reload",
    { schema: { body: { type: "object" }, response: { 200: CODE_ONLY, "4xx": FAILURE } } },
    async ({ body }) => {
      try {
        liveSettings.apply(readSettings(required(body, "data", object)));
        return { code: RESULT.success };
      } catch (err) {
        throw renamed(err, memberNameOf);
      }
    },
  );
};

/** Members of another type are ignored (reference §5.1); a number out of range is refused later. */
function readSettings(data: JsonObject): Partial<LiveSettings> {
  const number = (name: string) => {
    const value = member(data, name);
    return typeof value === "number" ? value : undefined;
  };
  const flag = (name: string) => {
    const value = member(data, name);
    return typeof value === "boolean" ? value : undefined;
  };
  const bytes = (name: string) => {
    const kib = number(name);
    return kib === undefined ? undefined : kib * BYTES_PER_KIB;
  };
  const backoff = number("keepalive_backoff");
  const perMille =
    backoff === undefined || backoff >= MIN_PER_MILLE ? backoff : Math.round(backoff * PER_MILLE);
  return present({
    propertySize: number("property_size"),
    maxPacketSizeBytes: bytes("max_packet_size"),
    clientMaxPacketSizeBytes: bytes("client_max_packet_size"),
    msqLen: number("msq_len"),
    qosDurationS: number("qos_duration"),
    keepaliveMultiplier: perMille,
    allowAnonymous: flag("allow_anonymous"),
    isBridgeOn: flag("bridge_mode"),
  });
}

function present(settings: { [K in keyof LiveSettings]: LiveSettings[K] | undefined }) {
  return Object.fromEntries(
    Object.entries(settings).filter(([, value]) => value !== undefined),
  ) satisfies Partial<LiveSettings>;
}

function memberNameOf(field: string): string {
  return Object.hasOwn(MEMBER_OF, field) ? MEMBER_OF[field as keyof LiveSettings] : field;
}
