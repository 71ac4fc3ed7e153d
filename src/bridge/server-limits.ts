import type { IConnackPacket } from "mqtt";
import type { QoS } from "../mqtt/index.ts";

/** What the server can take, by its CONNACK (MQTT 5.0 §3.2.2.3). */
export interface ServerLimits {
  /** QoS 1 and 2 messages it takes at once. */
  readonly receiveMaximum: number;
  readonly maximumQos: QoS;
  readonly isRetainAvailable: boolean;
  readonly maximumPacketBytes: number;
  readonly hasSubscriptionIds: boolean;
  /** Seconds; null where ours is taken. */
  readonly serverKeepAlive: number | null;
}

/** MQTT 3.1.1 knows none, and 5.0 assumes these. */
export const DEFAULT_LIMITS: ServerLimits = {
  receiveMaximum: 65_535,
  maximumQos: 2,
  isRetainAvailable: true,
  maximumPacketBytes: 268_435_460,
  hasSubscriptionIds: true,
  serverKeepAlive: null,
};

/** Reads the limits; a value that is missing, doubled or out of range leaves the default. */
export function serverLimits(properties: IConnackPacket["properties"]): ServerLimits {
  const given = properties ?? {};
  return {
    receiveMaximum: whole(given.receiveMaximum, 1, DEFAULT_LIMITS.receiveMaximum),
    maximumQos: given.maximumQoS === 0 ? 0 : given.maximumQoS === 1 ? 1 : 2,
    isRetainAvailable: given.retainAvailable !== false,
    maximumPacketBytes: whole(given.maximumPacketSize, 1, DEFAULT_LIMITS.maximumPacketBytes),
    hasSubscriptionIds: given.subscriptionIdentifiersAvailable !== false,
    serverKeepAlive: whole(given.serverKeepAlive, 1, null),
  };
}

function whole<T>(value: unknown, min: number, otherwise: T): number | T {
  return typeof value === "number" && Number.isInteger(value) && value >= min ? value : otherwise;
}
