import type { ClientDetails } from "../../mqtt/index.ts";
import { timestampMs } from "./kit/index.ts";

const text = (description: string, example: string) =>
  ({ type: "string", description, example }) as const;
const count = (description: string, example = 0) =>
  ({ type: "integer", description, example }) as const;
const flag = (description: string, example = false) =>
  ({ type: "boolean", description, example }) as const;
const time = (description: string) => text(description, "2026-01-01T12:34:56.789+08:00");

/** A client's object (reference §5.5.2); in lists with `fields` it has the named members alone. */
export const CLIENT = {
  type: "object",
  additionalProperties: false,
  properties: {
    clientid: text("Client id.", "sensor-7"),
    username: { type: ["string", "null"], description: "User name.", example: "press-3" },
    node: text("Node the client is connected to.", "tidegate@127.0.0.1"),
    ip_address: text("Address of the client.", "192.168.1.20"),
    port: count("TCP port of the client.", 52_571),
    peerport: count("The same.", 52_571),
    listener: text("Listener it came through.", "tcp:default"),
    proto_name: text("Protocol name of CONNECT.", "MQTT"),
    proto_ver: count("Protocol level: 3 = 3.1, 4 = 3.1.1, 5 = 5.0.", 4),
    connected: flag("False for a session its client has left behind.", true),
    connected_at: time("Newest CONNECT."),
    disconnected_at: time("End of the connection; only while there is none."),
    created_at: time("First CONNECT of the session."),
    clean_start: flag("Clean Start, or Clean Session, of CONNECT.", true),
    expiry_interval: count("Session Expiry Interval, s; 4294967295 = never.", 7200),
    is_expired: flag("Whether the session is over."),
    keepalive: count("Keep Alive, s; 0 = off.", 60),
    is_bridge: flag("A bridge, by its CONNECT."),
    is_persistent: flag("The session is kept on disk."),
    durable: flag("The session is kept on disk."),
    enable_authn: flag("The listener asks who the client is.", true),
    mountpoint: { type: ["string", "null"], description: "Always null.", example: null },
    client_attrs: { type: "object", description: "Always empty.", example: {} },
    subscriptions_cnt: count("Subscriptions.", 2),
    subscriptions_max: count("Most subscriptions it may have.", 1000),
    inflight_cnt: count("QoS 1 and 2 messages sent and not acknowledged."),
    inflight_max: count("Most of them at once.", 32),
    mqueue_len: count("Messages waiting to be sent."),
    mqueue_max: count("Most messages that may wait.", 2048),
    mqueue_dropped: count("Messages dropped because too many waited."),
    awaiting_rel_cnt: count("QoS 2 messages received that wait for PUBREL."),
    awaiting_rel_max: count("Most of them at once.", 100),
    recv_oct: count("Bytes received.", 2048),
    send_oct: count("Bytes sent.", 1024),
    recv_cnt: count("Reads from the network.", 4),
    send_cnt: count("Writes to the network.", 4),
    recv_pkt: count("MQTT packets received.", 4),
    send_pkt: count("MQTT packets sent.", 4),
    recv_msg: count("PUBLISH packets received."),
    send_msg: count("PUBLISH packets sent."),
    "recv_msg.qos0": count("Of QoS 0."),
    "recv_msg.qos1": count("Of QoS 1."),
    "recv_msg.qos2": count("Of QoS 2."),
    "send_msg.qos0": count("Of QoS 0."),
    "send_msg.qos1": count("Of QoS 1."),
    "send_msg.qos2": count("Of QoS 2."),
    "recv_msg.dropped": count("PUBLISH packets that were refused."),
    "recv_msg.dropped.await_pubrel_timeout": count("Always 0: PUBREL is waited for."),
    "send_msg.dropped": count("Messages for it that were dropped."),
    "send_msg.dropped.expired": count("Because their expiry interval had passed."),
    "send_msg.dropped.queue_full": count("Because too many waited."),
    "send_msg.dropped.too_large": count("Because they were larger than the client takes."),
    total_payload_bytes: count("Topic and payload bytes on their way and waiting."),
    heap_size: count("Always 0."),
    reductions: count("Always 0."),
    mailbox_len: count("Always 0."),
  },
} as const;

/** Members that cannot be asked for by `fields`. */
const FIXED: ReadonlySet<string> = new Set([
  "listener",
  "enable_authn",
  "is_persistent",
  "peerport",
]);

/** Names that the `fields` parameter knows. */
export const FIELD_NAMES: ReadonlySet<string> = new Set(
  Object.keys(CLIENT.properties).filter((name) => !FIXED.has(name)),
);

/** The whole object, or the named members of it. */
export function clientView(
  client: ClientDetails,
  node: string,
  names: ReadonlySet<string> | null = null,
): object {
  const view = wholeView(client, node);
  if (names === null) return view;
  return Object.fromEntries(Object.entries(view).filter(([name]) => names.has(name)));
}

/** One literal of one shape: there may be ten thousand to make and to write. */
function wholeView(client: ClientDetails, node: string) {
  const { traffic, dropped } = client;
  const [in0, in1, in2] = traffic.messagesIn;
  const [out0, out1, out2] = traffic.messagesOut;
  return {
    clientid: client.clientId,
    username: client.username,
    node,
    ip_address: client.peerAddress,
    port: client.peerPort,
    peerport: client.peerPort,
    listener: LISTENERS.get(client.listener) ?? client.listener,
    proto_name: client.protocolVersion === 3 ? "MQIsdp" : "MQTT",
    proto_ver: client.protocolVersion,
    connected: client.isConnected,
    connected_at: timestampMs(client.connectedMs),
    disconnected_at: client.isConnected ? undefined : timestampMs(client.sinceMs),
    created_at: timestampMs(client.createdMs),
    clean_start: client.cleanStart,
    expiry_interval: client.expiryIntervalS,
    is_expired: false,
    keepalive: client.keepAliveS,
    is_bridge: client.isBridge,
    is_persistent: client.isDurable,
    durable: client.isDurable,
    enable_authn: true,
    mountpoint: null,
    client_attrs: {},
    subscriptions_cnt: client.subscriptions,
    subscriptions_max: client.maxSubscriptions,
    inflight_cnt: client.inflight,
    inflight_max: client.maxInflight,
    mqueue_len: client.queued,
    mqueue_max: client.maxQueued,
    mqueue_dropped: dropped.queue_full,
    awaiting_rel_cnt: client.awaitingRelease,
    awaiting_rel_max: client.maxAwaitingRelease,
    recv_oct: traffic.bytesIn,
    send_oct: traffic.bytesOut,
    recv_cnt: traffic.readsIn,
    send_cnt: traffic.writesOut,
    recv_pkt: traffic.packetsIn,
    send_pkt: traffic.packetsOut,
    recv_msg: in0 + in1 + in2,
    send_msg: out0 + out1 + out2,
    "recv_msg.qos0": in0,
    "recv_msg.qos1": in1,
    "recv_msg.qos2": in2,
    "send_msg.qos0": out0,
    "send_msg.qos1": out1,
    "send_msg.qos2": out2,
    "recv_msg.dropped": traffic.refusedIn,
    "recv_msg.dropped.await_pubrel_timeout": 0,
    "send_msg.dropped": dropped.expired + dropped.queue_full + dropped.too_large,
    "send_msg.dropped.expired": dropped.expired,
    "send_msg.dropped.queue_full": dropped.queue_full,
    "send_msg.dropped.too_large": dropped.too_large,
    total_payload_bytes: client.heldBytes,
    heap_size: 0,
    reductions: 0,
    mailbox_len: 0,
  } satisfies { readonly [Name in keyof typeof CLIENT.properties]: unknown };
}

/** EMQX's ids of the listeners that are always there. */
const LISTENERS: ReadonlyMap<string, string> = new Map([
  ["tcp", "tcp:default"],
  ["tls", "ssl:default"],
  ["ws", "ws:default"],
  ["wss", "wss:default"],
]);
