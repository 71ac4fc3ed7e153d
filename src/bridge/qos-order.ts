import type { QoS } from "../mqtt/index.ts";

export function lowerQos(a: QoS, b: QoS): QoS {
  return RANK.find((qos) => qos === a || qos === b) ?? 0;
}

export function higherQos(a: QoS, b: QoS): QoS {
  return RANK.findLast((qos) => qos === a || qos === b) ?? 0;
}

const RANK: readonly QoS[] = [0, 1, 2];
