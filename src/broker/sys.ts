import { createHash } from "node:crypto";
import { MAX_STRING_BYTES, type Message, type Topic, topic } from "../mqtt/index.ts";
import { connectReturnCode, type ReasonCode } from "./codec/index.ts";
import type { Connection } from "./connection.ts";

const STATUS = "$SYS/brokers/client_status/";
const CONNECTED = topic("$SYS/brokers/connected");
const DISCONNECTED = topic("$SYS/brokers/disconnected");

/**
 * The events of a CONNACK, as NanoMQ publishes them: `client_status/<clientid>` with status `online`
 * (0.24.1 and later; accepted clients only, since a refused one must not speak for the owner of the
 * id), and `connected` (refused ones too, by their code). QoS 0, not retained.
 */
export function connackEvents(connection: Connection, code: ReasonCode, nowMs: number): Message[] {
  const { connect, clientId, username, peer } = connection;
  const returned = connect?.version === 5 ? code : (connectReturnCode(code) ?? code);
  const members = {
    username: username ?? "",
    ts: nowMs,
    proto_name: connect?.version === 3 ? "MQIsdp" : "MQTT",
    keepalive: connect?.keepAliveS ?? 0,
    return_code: returned.toString(16),
    proto_ver: connect?.version ?? 0,
    client_id: clientId,
    clean_start: connect?.cleanStart === true ? 1 : 0,
    IPv4: peer.address,
  };
  const old = event(CONNECTED, members);
  if (code !== 0) return [old];
  return [event(statusTopic(clientId), { status: "online", ...members }), old];
}

/** The events of an accepted client's end: `client_status/<clientid>` with `offline`, and `disconnected`. */
export function closeEvents(connection: Connection, nowMs: number): Message[] {
  const { clientId, username, peer, endReason } = connection;
  const members = {
    username: username ?? "",
    ts: nowMs,
    reason_code: endReason.toString(16),
    client_id: clientId,
    IPv4: peer.address,
  };
  return [
    event(statusTopic(clientId), { status: "offline", ...members }),
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

function event(name: Topic, members: object): Message {
  return {
    topic: name,
    payload: Buffer.from(JSON.stringify(members)),
    qos: 0,
    retain: false,
    origin: { kind: "system" },
  };
}
