import { GatewayError } from "../errors/index.ts";
import { MAX_STRING_BYTES, type MessageProperties, topic } from "../mqtt/index.ts";

/** Largest Message Expiry Interval: a Four Byte Integer (MQTT 5.0 §3.3.2.3.3). */
const MAX_EXPIRY_S = 4_294_967_295;

/**
 * Reads PUBLISH properties (MQTT 5.0 §3.3.2.3) named as NanoMQ and EMQX name them. Members that are
 * absent, null or not a publisher's to set (`subscription_identifier`) are left out.
 * @throws GatewayError PARAMETER_INVALID naming `properties.…`; MQTT_TOPIC_INVALID for the response topic
 */
export function readProperties(raw: Readonly<Record<string, unknown>>): MessageProperties {
  const text = (name: string): string | undefined =>
    memberOf(raw, name, isMqttString, "an MQTT string of at most 65535 bytes");
  const indicator = memberOf(raw, "payload_format_indicator", isFlag, "0 or 1");
  const expiryS = memberOf(
    raw,
    "message_expiry_interval",
    isExpiry,
    `0 to ${MAX_EXPIRY_S} seconds`,
  );
  const contentType = text("content_type");
  const responseTopic = text("response_topic");
  const correlationData = text("correlation_data");
  const userProperties = memberOf(raw, "user_properties", isTextMap, "an object of MQTT strings");
  return {
    ...(indicator === undefined ? {} : { payloadFormatIndicator: Boolean(indicator) }),
    ...(expiryS === undefined ? {} : { messageExpiryInterval: expiryS }),
    ...(contentType === undefined ? {} : { contentType }),
    ...(responseTopic === undefined ? {} : { responseTopic: topic(responseTopic) }),
    ...(correlationData === undefined ? {} : { correlationData: Buffer.from(correlationData) }),
    ...(userProperties === undefined ? {} : { userProperties: Object.entries(userProperties) }),
  };
}

function memberOf<T>(
  raw: Readonly<Record<string, unknown>>,
  name: string,
  isValid: (value: unknown) => value is T,
  expected: string,
): T | undefined {
  const value = Object.hasOwn(raw, name) ? raw[name] : undefined;
  if (value === undefined || value === null) return undefined;
  if (isValid(value)) return value;
  throw new GatewayError("PARAMETER_INVALID", {
    field: `properties.${name}`,
    value: typeof value === "object" ? "an object" : String(value).slice(0, 100),
    expected,
  });
}

function isMqttString(value: unknown): value is string {
  return (
    typeof value === "string" &&
    value.isWellFormed() &&
    !value.includes("\0") &&
    Buffer.byteLength(value) <= MAX_STRING_BYTES
  );
}

function isFlag(value: unknown): value is 0 | 1 | boolean {
  return value === 0 || value === 1 || typeof value === "boolean";
}

function isExpiry(value: unknown): value is number {
  return Number.isInteger(value) && Number(value) >= 0 && Number(value) <= MAX_EXPIRY_S;
}

function isTextMap(value: unknown): value is Readonly<Record<string, string>> {
  return (
    typeof value === "object" &&
    value !== null &&
    !Array.isArray(value) &&
    Object.entries(value).every((entry) => entry.every(isMqttString))
  );
}
