import { GatewayError } from "../errors/index.ts";
import { type Bus, clientId, type Message, qos, topic } from "../mqtt/index.ts";
import { readProperties } from "./message-properties.ts";

/** How a text stands for bytes: as UTF-8, or as base64. */
export type PayloadCoding = "plain" | "base64";

/** A message somebody wants published through an API; every part is still to be checked. */
export interface PublishRequest {
  /** One message is published to each. */
  readonly topics: readonly string[];
  readonly payload: string;
  /** How to read `payload`. */
  readonly decodeFrom: PayloadCoding;
  /** How to write the bytes that are published. */
  readonly encodeTo: PayloadCoding;
  readonly qos: number;
  readonly retain: boolean;
  /** Whom the message is said to come from. */
  readonly clientId: string;
  /** MQTT 5 properties by their snake_case names; others are ignored. */
  readonly properties: Readonly<Record<string, unknown>>;
}

export interface PublishDeps {
  readonly bus: Pick<Bus, "publish">;
  /** Largest PUBLISH the gateway takes at the moment. */
  maxPacketSizeBytes(): number;
}

/** Publishing on behalf of an API's caller. */
export interface Publisher {
  /**
   * Publishes to every topic, or to none when something is wrong; resolves once what must last is
   * stored.
   * @throws GatewayError MQTT_TOPIC_INVALID (also for the gateway's own `$SYS/…`),
   * MQTT_QOS_INVALID, MQTT_CLIENT_ID_INVALID, PARAMETER_INVALID naming `payload` or `properties.…`
   */
  publish(request: PublishRequest): Promise<void>;
}

/** Fixed header and packet id of the largest PUBLISH (MQTT 5.0 §2.1, §3.3.2). */
const PUBLISH_OVERHEAD_BYTES = 7;

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==)?|[A-Za-z0-9+/]{3}=?)?$/;

export function createPublisher(deps: PublishDeps): Publisher {
  return {
    async publish(request) {
      const payload = payloadOf(request);
      const properties = readProperties(request.properties);
      const shared = {
        payload,
        qos: qos(request.qos),
        retain: request.retain,
        ...(Object.keys(properties).length === 0 ? {} : { properties }),
        origin: { kind: "api", clientId: clientId(request.clientId) },
      } as const;
      const maxBytes = deps.maxPacketSizeBytes();
      const messages = request.topics.map((raw): Message => {
        const message = { ...shared, topic: topic(raw) };
        if (/^\$SYS(\/|$)/.test(raw)) {
          throw new GatewayError("MQTT_TOPIC_INVALID", {
            value: raw,
            reason: "$SYS is for the gateway itself",
          });
        }
        const bytes = PUBLISH_OVERHEAD_BYTES + Buffer.byteLength(raw) + payload.length;
        if (bytes > maxBytes) {
          throw new GatewayError("PARAMETER_INVALID", {
            field: "payload",
            value: `a message of ${bytes} bytes`,
            expected: `at most ${maxBytes} bytes`,
          });
        }
        return message;
      });
      for (const message of messages) await deps.bus.publish(message);
    },
  };
}

function payloadOf({ payload, decodeFrom, encodeTo }: PublishRequest): Buffer {
  if (decodeFrom === "base64" && !BASE64.test(payload)) {
    throw new GatewayError("PARAMETER_INVALID", {
      field: "payload",
      value: payload.slice(0, 40),
      expected: "base64",
    });
  }
  const bytes = Buffer.from(payload, decodeFrom === "base64" ? "base64" : "utf8");
  return encodeTo === "base64" ? Buffer.from(bytes.toString("base64")) : bytes;
}
