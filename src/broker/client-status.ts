import { createHash } from "node:crypto";
import { MAX_STRING_BYTES, type Topic, topic } from "../mqtt/index.ts";
import type { ConnectPacket } from "./engine.ts";

/** One event to publish, QoS 0 and not retained. */
export interface StatusEvent {
  readonly topic: Topic;
  readonly payload: Buffer;
}

const STATUS = "$SYS/brokers/client_status/";
const CONNECTED = topic("$SYS/brokers/connected");
const DISCONNECTED = topic("$SYS/brokers/disconnected");

/**
 * The events of a CONNACK, as NanoMQ publishes them: `client_status/<clientid>` with status `online`
 * (0.24.1 and later; accepted clients only, since a refused one must not speak for the owner of the
 * id), and `connected` (refused ones too, by their return code).
 */
export function connackEvents(
  client: { connect: ConnectPacket; address: string },
  returnCode: number,
  nowMs: number,
): StatusEvent[] {
  const { connect, address } = client;
  const members = {
    username: connect.username ?? "",
    ts: nowMs,
    proto_name: connect.protocolId,
    keepalive: connect.keepalive,
    return_code: returnCode.toString(16),
    proto_ver: connect.protocolVersion,
    client_id: connect.clientId,
    clean_start: connect.clean ? 1 : 0,
    IPv4: address,
  };
  const old = event(CONNECTED, members);
  if (returnCode !== 0) return [old];
  return [event(statusTopic(connect.clientId), { status: "online", ...members }), old];
}

/** The events of an accepted client's end: `client_status/<clientid>` with `offline`, and `disconnected`. */
export function closeEvents(
  client: { connect: ConnectPacket; address: string },
  reasonCode: number,
  nowMs: number,
): StatusEvent[] {
  const { connect, address } = client;
  const members = {
    username: connect.username ?? "",
    ts: nowMs,
    reason_code: reasonCode.toString(16),
    client_id: connect.clientId,
    IPv4: address,
  };
  return [
    event(statusTopic(connect.clientId), { status: "offline", ...members }),
    event(DISCONNECTED, members),
  ];
}

/**
 * The client id as one topic level: `/ + # %` and control characters are percent-encoded, so that an
 * id can neither add levels nor be a wildcard. An id too long for a topic that way is named by
 * `sha256-` and its digest. The payload always holds the id itself.
 */
function statusTopic(clientId: string): Topic {
  const level = clientId.replace(/[\p{Cc}%+#/]/gu, (char) => encodeURIComponent(char));
  if (Buffer.byteLength(STATUS) + Buffer.byteLength(level) <= MAX_STRING_BYTES) {
    return topic(STATUS + level);
  }
  return topic(`${STATUS}sha256-${createHash("sha256").update(clientId).digest("hex")}`);
}

function event(name: Topic, members: object): StatusEvent {
  return { topic: name, payload: Buffer.from(JSON.stringify(members)) };
}
