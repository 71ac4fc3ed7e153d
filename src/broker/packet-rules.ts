import { isGatewayError, reasonOf } from "../errors/index.ts";
import { clientId, isQoS, topic, topicFilter } from "../mqtt/index.ts";
import type { ConnectPacket, WirePacket } from "./engine.ts";

/**
 * What the specification forbids in a decoded packet and mqtt-packet lets pass, null when nothing:
 * U+0000, packet identifier 0, the filter grammar, empty lists. The connection is closed for it.
 */
export function faultOf(packet: WirePacket): string | null {
  switch (packet.cmd) {
    case "connect":
      return connectFault(packet);
    case "publish":
      if (packet.qos > 0 && packet.messageId === 0) return ZERO_PACKET_ID;
      return refusal(topic, packet.topic);
    case "subscribe":
      if (packet.messageId === 0) return ZERO_PACKET_ID;
      // [MQTT-3.8.3-3] (3.1.1), [MQTT-3.8.3-2] (5.0)
      if (packet.subscriptions.length === 0) return "SUBSCRIBE without a filter";
      return firstRefusal(
        topicFilter,
        packet.subscriptions.map((wanted) => wanted.topic),
      );
    case "unsubscribe":
      if (packet.messageId === 0) return ZERO_PACKET_ID;
      if (packet.unsubscriptions.length === 0) return "UNSUBSCRIBE without a filter";
      return firstRefusal(topicFilter, packet.unsubscriptions);
    case "puback":
    case "pubrec":
    case "pubrel":
    case "pubcomp":
      return packet.messageId === 0 ? ZERO_PACKET_ID : null;
    case "pingreq":
    case "disconnect":
      return null;
    case "auth":
    case "connack":
    case "suback":
    case "unsuback":
    case "pingresp":
      return `${packet.cmd} from a client`;
  }
}

/** Levels of a topic or filter. */
export function levelsOf(name: string): number {
  let levels = 1;
  for (let at = name.indexOf("/"); at >= 0; at = name.indexOf("/", at + 1)) levels += 1;
  return levels;
}

// [MQTT-2.2.1-3]
const ZERO_PACKET_ID = "packet identifier 0";

function connectFault(packet: ConnectPacket): string | null {
  const { will, username, password } = packet;
  if (packet.clientId !== "") {
    const fault = refusal(clientId, packet.clientId);
    if (fault !== null) return fault;
  }
  if (username?.includes("\0")) return "the user name holds U+0000";
  // [MQTT-3.1.2-22] (3.1.1)
  if (packet.protocolVersion < 5 && username === undefined && password !== undefined) {
    return "password without a user name";
  }
  if (will === undefined) return null;
  if (!isQoS(will.qos)) return "will QoS 3";
  return refusal(topic, will.topic);
}

function firstRefusal(parse: (raw: string) => string, raws: readonly string[]): string | null {
  for (const raw of raws) {
    const fault = refusal(parse, raw);
    if (fault !== null) return fault;
  }
  return null;
}

/** The reason alone: the value is hostile, and up to 64 KiB long. */
function refusal(parse: (raw: string) => string, raw: string): string | null {
  try {
    parse(raw);
    return null;
  } catch (err) {
    if (isGatewayError(err, "MQTT_TOPIC_INVALID")) return `topic: ${err.details.reason}`;
    if (isGatewayError(err, "MQTT_FILTER_INVALID")) return `filter: ${err.details.reason}`;
    if (isGatewayError(err, "MQTT_CLIENT_ID_INVALID")) return `client id: ${err.details.reason}`;
    return reasonOf(err);
  }
}

/** Bytes of the PUBLISH that carries a message (MQTT 3.1.1 §3.3). */
export function frameBytes(message: {
  readonly topic: string;
  readonly payload: Buffer | string;
  readonly qos?: number;
}): number {
  const packetIdBytes = (message.qos ?? 0) > 0 ? 2 : 0;
  const topicBytes = 2 + Buffer.byteLength(message.topic);
  const remaining = topicBytes + packetIdBytes + Buffer.byteLength(message.payload);
  const lengthBytes = remaining < 128 ? 1 : remaining < 16_384 ? 2 : remaining < 2_097_152 ? 3 : 4;
  return 1 + lengthBytes + remaining;
}
