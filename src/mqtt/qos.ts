import { GatewayError } from "../errors/index.ts";

/** Quality of Service (MQTT 5.0 §4.3): at most once, at least once, exactly once. */
export type QoS = 0 | 1 | 2;

export function isQoS(value: unknown): value is QoS {
  return value === 0 || value === 1 || value === 2;
}

/** @throws GatewayError MQTT_QOS_INVALID for anything but 0, 1 and 2. */
export function qos(value: unknown): QoS {
  if (!isQoS(value)) throw new GatewayError("MQTT_QOS_INVALID", { value });
  return value;
}
