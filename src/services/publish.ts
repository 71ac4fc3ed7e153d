import { randomInt } from "node:crypto";
import { setImmediate as nextTurn } from "node:timers/promises";
import { GatewayError } from "../errors/index.ts";
import {
  type Bus,
  clientId,
  type Message,
  messageId,
  qos,
  serialNumbers,
  topic,
} from "../mqtt/index.ts";
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

/** What became of a message. */
export interface PublishOutcome {
  /** See `messageId`. */
  readonly id: string;
  /** Clients, sessions left behind and parts of the gateway, bridges among them, it was meant for. */
  readonly receivers: number;
}

export interface PublishDeps {
  readonly bus: Pick<Bus, "publish"> & {
    /** As `publish`, and tells whom it was meant for. */
    publishCounted(
      message: Message,
    ): Promise<{ readonly receivers: number; readonly publishedMs: number }>;
    /** Whether the topic would be taken. @throws GatewayError MQTT_TOPIC_INVALID */
    checkPublish(message: Message): void;
  };
  /** Largest PUBLISH the gateway takes at the moment. */
  maxPacketSizeBytes(): number;
}

/** Publishing on behalf of an API's caller. */
export interface Publisher {
  /**
   * Publishes to every topic, or to none when something is wrong; resolves once what must last is
   * stored.
   * @throws GatewayError MQTT_TOPIC_INVALID (also for the gateway's own `$SYS/…`),
   * MQTT_QOS_INVALID, MQTT_CLIENT_ID_INVALID, PAYLOAD_NOT_BASE64, MESSAGE_TOO_LARGE, PARAMETER_INVALID
   * naming `properties.…`
   */
  publish(request: PublishRequest): Promise<void>;
  /**
   * Publishes many messages, or none when something is wrong with one: in their order, and waiting for
   * the store once. An outcome for each, in the same order; null where the message was not taken.
   * @throws GatewayError as `publish`
   */
  publishAll(requests: readonly PublishRequest[]): Promise<readonly (PublishOutcome | null)[]>;
}

/** Fixed header and packet id of the largest PUBLISH (MQTT 5.0 §2.1, §3.3.2). */
const PUBLISH_OVERHEAD_BYTES = 7;
/** Checked, or published, in one turn of the loop. */
const BATCH = 100;

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==)?|[A-Za-z0-9+/]{3}=?)?$/;

export function createPublisher(deps: PublishDeps): Publisher {
  const nextSerial = serialNumbers(randomInt(2 ** 32));

  async function send(message: Message): Promise<PublishOutcome> {
    const { receivers, publishedMs } = await deps.bus.publishCounted(message);
    return { id: messageId({ ...message, publishedMs }), receivers };
  }

  function messagesOf(request: PublishRequest): Message[] {
    const payload = payloadOf(request);
    const properties = readProperties(request.properties);
    const shared = {
      payload,
      qos: qos(request.qos),
      retain: request.retain,
      ...(Object.keys(properties).length === 0 ? {} : { properties }),
    } as const;
    const sender = clientId(request.clientId);
    const maxBytes = deps.maxPacketSizeBytes();
    return request.topics.map((raw) => {
      const origin = { kind: "api", clientId: sender, serial: nextSerial() } as const;
      const message = { ...shared, topic: topic(raw), origin };
      if (/^\$SYS(\/|$)/.test(raw)) {
        throw new GatewayError("MQTT_TOPIC_INVALID", {
          value: raw,
          reason: "$SYS is for the gateway itself",
        });
      }
      const bytes = PUBLISH_OVERHEAD_BYTES + Buffer.byteLength(raw) + payload.length;
      if (bytes > maxBytes) throw new GatewayError("MESSAGE_TOO_LARGE", { bytes, maxBytes });
      deps.bus.checkPublish(message);
      return message;
    });
  }

  return {
    async publish(request) {
      for (const message of messagesOf(request)) await deps.bus.publish(message);
    },

    async publishAll(requests) {
      const messages: Message[] = [];
      for (const [i, request] of requests.entries()) {
        messages.push(...messagesOf(request));
        if (i % BATCH === BATCH - 1) await nextTurn();
      }
      const outcomes: Promise<PublishOutcome | null>[] = [];
      for (const message of messages) {
        outcomes.push(send(message).catch(() => null));
        if (outcomes.length % BATCH === 0) await nextTurn();
      }
      return Promise.all(outcomes);
    },
  };
}

function payloadOf({ payload, decodeFrom, encodeTo }: PublishRequest): Buffer {
  if (decodeFrom === "base64" && !BASE64.test(payload)) {
    throw new GatewayError("PAYLOAD_NOT_BASE64", { value: payload.slice(0, 40) });
  }
  const bytes = Buffer.from(payload, decodeFrom === "base64" ? "base64" : "utf8");
  return encodeTo === "base64" ? Buffer.from(bytes.toString("base64")) : bytes;
}
