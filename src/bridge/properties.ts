import type { IPublishPacket } from "mqtt";
import type { MessageProperties } from "../mqtt/index.ts";

/** The PUBLISH properties as MQTT.js gives them. */
export type WireProperties = NonNullable<IPublishPacket["properties"]>;

const MAX_UINT32 = 0xffff_ffff;

/** Properties from the wire; whatever a hostile server made of them, only sound ones are kept. */
export function fromWire(wire: WireProperties | undefined): MessageProperties | undefined {
  if (wire === undefined) return undefined;
  const {
    payloadFormatIndicator,
    messageExpiryInterval,
    contentType,
    responseTopic,
    correlationData,
    userProperties,
  } = wire;
  const properties: MessageProperties = {
    ...(typeof payloadFormatIndicator === "boolean" && { payloadFormatIndicator }),
    ...(isUint32(messageExpiryInterval) && { messageExpiryInterval }),
    ...(typeof contentType === "string" && { contentType }),
    ...(typeof responseTopic === "string" && { responseTopic }),
    ...(Buffer.isBuffer(correlationData) && { correlationData }),
    ...(userProperties !== undefined && { userProperties: pairs(userProperties) }),
  };
  return Object.keys(properties).length > 0 ? properties : undefined;
}

/** The subscription identifiers a PUBLISH carries (MQTT 5.0 §3.3.2.3.8). */
export function subscriptionIds(wire: WireProperties | undefined): readonly number[] {
  const ids: unknown = wire?.subscriptionIdentifier;
  const list: readonly unknown[] = Array.isArray(ids) ? ids : [ids];
  return list.filter((id) => typeof id === "number");
}

function pairs(
  userProperties: NonNullable<WireProperties["userProperties"]>,
): readonly (readonly [string, string])[] {
  return Object.entries(userProperties).flatMap(([name, values]) =>
    [values]
      .flat()
      .filter((value) => typeof value === "string")
      .map((value) => [name, value] as const),
  );
}

function isUint32(value: unknown): value is number {
  return Number.isInteger(value) && Number(value) >= 0 && Number(value) <= MAX_UINT32;
}
