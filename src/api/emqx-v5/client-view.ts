import type { ClientDetails } from "../../mqtt/index.ts";
import { type JSONSchema, timestampMs } from "./kit/index.ts";

interface Field {
  readonly schema: JSONSchema;
  /** Undefined leaves the member out. */
  of(client: ClientDetails, node: string): unknown;
  /** Cannot be asked for by `fields`. */
  readonly isFixed?: true;
}

const text = (description: string, example: string) => ({ type: "string", description, example });
const count = (description: string, example = 0) => ({ type: "integer", description, example });
const flag = (description: string, example = false) => ({ type: "boolean", description, example });
const time = (description: string) => text(description, "2026-01-01T12:34:56.789+08:00");
const nothing = (description: string) => ({ schema: count(description), of: () => 0 });

/** Every member of a client's object (reference §5.5.2), in the order they are written. */
const FIELDS: Readonly<Record<string, Field>> = {
  clientid: { schema: text("Client id.", "sensor-7"), of: (c) => c.clientId },
  username: {
    schema: { type: ["string", "null"], description: "User name.", example: "press-3" },
    of: (c) => c.username,
  },
  node: {
    schema: text("Node the client is connected to.", "tidegate@127.0.0.1"),
    of: (_, node) => node,
  },
  ip_address: { schema: text("Address of the client.", "192.168.1.20"), of: (c) => c.peerAddress },
  port: { schema: count("TCP port of the client.", 52_571), of: (c) => c.peerPort },
  peerport: {
    schema: count("The same.", 52_571),
    of: (c) => c.peerPort,
    isFixed: true,
  },
  listener: {
    schema: text("Listener it came through.", "tcp:default"),
    of: (c) => listenerId(c.listener),
    isFixed: true,
  },
  proto_name: {
    schema: text("Protocol name of CONNECT.", "MQTT"),
    of: (c) => (c.protocolVersion === 3 ? "MQIsdp" : "MQTT"),
  },
  proto_ver: {
    schema: count("Protocol level: 3 = 3.1, 4 = 3.1.1, 5 = 5.0.", 4),
    of: (c) => c.protocolVersion,
  },
  connected: {
    schema: flag("False for a session its client has left behind.", true),
    of: (c) => c.isConnected,
  },
  connected_at: { schema: time("Newest CONNECT."), of: (c) => timestampMs(c.connectedMs) },
  disconnected_at: {
    schema: time("End of the connection; only while there is none."),
    of: (c) => (c.isConnected ? undefined : timestampMs(c.sinceMs)),
  },
  created_at: {
    schema: time("First CONNECT of the session."),
    of: (c) => timestampMs(c.createdMs),
  },
  clean_start: {
    schema: flag("Clean Start, or Clean Session, of CONNECT.", true),
    of: (c) => c.cleanStart,
  },
  expiry_interval: {
    schema: count("Session Expiry Interval, s; 4294967295 = never.", 7200),
    of: (c) => c.expiryIntervalS,
  },
  is_expired: { schema: flag("Whether the session is over."), of: () => false },
  keepalive: { schema: count("Keep Alive, s; 0 = off.", 60), of: (c) => c.keepAliveS },
  is_bridge: { schema: flag("A bridge, by its CONNECT."), of: (c) => c.isBridge },
  is_persistent: {
    schema: flag("The session is kept on disk."),
    of: (c) => c.isDurable,
    isFixed: true,
  },
  durable: { schema: flag("The session is kept on disk."), of: (c) => c.isDurable },
  enable_authn: {
    schema: flag("The listener asks who the client is.", true),
    of: () => true,
    isFixed: true,
  },
  mountpoint: {
    schema: { type: ["string", "null"], description: "Always null.", example: null },
    of: () => null,
  },
  client_attrs: {
    schema: { type: "object", description: "Always empty.", example: {} },
    of: () => ({}),
  },
  subscriptions_cnt: { schema: count("Subscriptions.", 2), of: (c) => c.subscriptions },
  subscriptions_max: {
    schema: count("Most subscriptions it may have.", 1000),
    of: (c) => c.maxSubscriptions,
  },
  inflight_cnt: {
    schema: count("QoS 1 and 2 messages sent and not acknowledged."),
    of: (c) => c.inflight,
  },
  inflight_max: { schema: count("Most of them at once.", 32), of: (c) => c.maxInflight },
  mqueue_len: { schema: count("Messages waiting to be sent."), of: (c) => c.queued },
  mqueue_max: { schema: count("Most messages that may wait.", 2048), of: (c) => c.maxQueued },
  mqueue_dropped: {
    schema: count("Messages dropped because too many waited."),
    of: (c) => c.dropped.queue_full,
  },
  awaiting_rel_cnt: {
    schema: count("QoS 2 messages received that wait for PUBREL."),
    of: (c) => c.awaitingRelease,
  },
  awaiting_rel_max: {
    schema: count("Most of them at once.", 100),
    of: (c) => c.maxAwaitingRelease,
  },
  recv_oct: { schema: count("Bytes received.", 2048), of: (c) => c.traffic.bytesIn },
  send_oct: { schema: count("Bytes sent.", 1024), of: (c) => c.traffic.bytesOut },
  recv_cnt: { schema: count("Reads from the network.", 4), of: (c) => c.traffic.readsIn },
  send_cnt: { schema: count("Writes to the network.", 4), of: (c) => c.traffic.writesOut },
  recv_pkt: { schema: count("MQTT packets received.", 4), of: (c) => c.traffic.packetsIn },
  send_pkt: { schema: count("MQTT packets sent.", 4), of: (c) => c.traffic.packetsOut },
  recv_msg: { schema: count("PUBLISH packets received."), of: (c) => sum(c.traffic.messagesIn) },
  send_msg: { schema: count("PUBLISH packets sent."), of: (c) => sum(c.traffic.messagesOut) },
  "recv_msg.qos0": { schema: count("Of QoS 0."), of: (c) => c.traffic.messagesIn[0] },
  "recv_msg.qos1": { schema: count("Of QoS 1."), of: (c) => c.traffic.messagesIn[1] },
  "recv_msg.qos2": { schema: count("Of QoS 2."), of: (c) => c.traffic.messagesIn[2] },
  "send_msg.qos0": { schema: count("Of QoS 0."), of: (c) => c.traffic.messagesOut[0] },
  "send_msg.qos1": { schema: count("Of QoS 1."), of: (c) => c.traffic.messagesOut[1] },
  "send_msg.qos2": { schema: count("Of QoS 2."), of: (c) => c.traffic.messagesOut[2] },
  "recv_msg.dropped": {
    schema: count("PUBLISH packets that were refused."),
    of: (c) => c.traffic.refusedIn,
  },
  "recv_msg.dropped.await_pubrel_timeout": nothing("Always 0: PUBREL is waited for."),
  "send_msg.dropped": {
    schema: count("Messages for it that were dropped."),
    of: ({ dropped }) => dropped.expired + dropped.queue_full + dropped.too_large,
  },
  "send_msg.dropped.expired": {
    schema: count("Because their expiry interval had passed."),
    of: (c) => c.dropped.expired,
  },
  "send_msg.dropped.queue_full": {
    schema: count("Because too many waited."),
    of: (c) => c.dropped.queue_full,
  },
  "send_msg.dropped.too_large": {
    schema: count("Because they were larger than the client takes."),
    of: (c) => c.dropped.too_large,
  },
  total_payload_bytes: {
    schema: count("Topic and payload bytes on their way and waiting."),
    of: (c) => c.heldBytes,
  },
  heap_size: nothing("Always 0."),
  reductions: nothing("Always 0."),
  mailbox_len: nothing("Always 0."),
};

const ALL = Object.entries(FIELDS);

/** Names that the `fields` parameter knows. */
export const FIELD_NAMES: ReadonlySet<string> = new Set(
  ALL.filter(([, { isFixed }]) => isFixed !== true).map(([name]) => name),
);

/** A client's object; in lists with `fields` it has the named members alone. */
export const CLIENT = {
  type: "object",
  additionalProperties: false,
  properties: Object.fromEntries(ALL.map(([name, { schema }]) => [name, schema])),
} as const;

/** The whole object, or the named members of it. */
export function clientView(
  client: ClientDetails,
  node: string,
  names: ReadonlySet<string> | null = null,
): Record<string, unknown> {
  const view: Record<string, unknown> = {};
  for (const [name, field] of ALL) {
    if (names !== null && !names.has(name)) continue;
    const value = field.of(client, node);
    if (value !== undefined) view[name] = value;
  }
  return view;
}

const KINDS: ReadonlyMap<string, string> = new Map([
  ["tcp", "tcp:default"],
  ["tls", "ssl:default"],
  ["ws", "ws:default"],
  ["wss", "wss:default"],
]);

/** EMQX's id of a listener: those that are always there are called `default`. */
function listenerId(name: string): string {
  return KINDS.get(name) ?? name;
}

function sum([qos0, qos1, qos2]: readonly [number, number, number]): number {
  return qos0 + qos1 + qos2;
}
