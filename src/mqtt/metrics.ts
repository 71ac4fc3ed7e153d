/**
 * The counters of an MQTT broker under the names EMQX 5.8 gives them (dots belong to the name), each
 * with what it counts here. All of them start at 0 with the process and only grow. One marked
 * "always 0" stands for something Tidegate does not have: dashboards expect the name.
 */
export const METRIC_DOCS = {
  "bytes.received": "Bytes received from MQTT clients, TLS and WebSocket framing left out.",
  "bytes.sent": "Bytes sent to MQTT clients, TLS and WebSocket framing left out.",
  "packets.received": "Control packets received.",
  "packets.sent": "Control packets sent.",
  "packets.connect.received": "CONNECT packets received.",
  "packets.connack.sent": "CONNACK packets sent.",
  "packets.connack.error": "CONNACK packets sent with a failure code.",
  "packets.connack.auth_error": "Of these, those that refuse the client's credentials or rights.",
  "packets.publish.received": "PUBLISH packets received, repeated ones included.",
  "packets.publish.sent": "PUBLISH packets sent, repeated ones included.",
  "packets.publish.inuse": "QoS 2 PUBLISH packets received with an identifier still in use.",
  "packets.publish.error": "PUBLISH packets that break the protocol.",
  "packets.publish.auth_error": "PUBLISH packets that the access rules deny.",
  "packets.publish.quota_exceeded": "PUBLISH packets refused because the store takes no more.",
  "packets.puback.received": "PUBACK packets received.",
  "packets.puback.sent": "PUBACK packets sent.",
  "packets.puback.inuse": "PUBACK packets received for a message of another QoS.",
  "packets.puback.missed": "PUBACK packets received with an unknown identifier.",
  "packets.pubrec.received": "PUBREC packets received.",
  "packets.pubrec.sent": "PUBREC packets sent.",
  "packets.pubrec.inuse": "PUBREC packets received for a message that was released already.",
  "packets.pubrec.missed": "PUBREC packets received with an unknown identifier.",
  "packets.pubrel.received": "PUBREL packets received.",
  "packets.pubrel.sent": "PUBREL packets sent.",
  "packets.pubrel.missed": "PUBREL packets received with an unknown identifier.",
  "packets.pubcomp.received": "PUBCOMP packets received.",
  "packets.pubcomp.sent": "PUBCOMP packets sent.",
  "packets.pubcomp.inuse": "PUBCOMP packets received for a message that was not released.",
  "packets.pubcomp.missed": "PUBCOMP packets received with an unknown identifier.",
  "packets.subscribe.received": "SUBSCRIBE packets received.",
  "packets.subscribe.error": "Filters of SUBSCRIBE refused, and SUBSCRIBE that break the protocol.",
  "packets.subscribe.auth_error": "Filters of SUBSCRIBE that the access rules deny.",
  "packets.suback.sent": "SUBACK packets sent.",
  "packets.unsubscribe.received": "UNSUBSCRIBE packets received.",
  "packets.unsubscribe.error": "UNSUBSCRIBE packets that break the protocol.",
  "packets.unsuback.sent": "UNSUBACK packets sent.",
  "packets.pingreq.received": "PINGREQ packets received.",
  "packets.pingresp.sent": "PINGRESP packets sent.",
  "packets.disconnect.received": "DISCONNECT packets received.",
  "packets.disconnect.sent": "DISCONNECT packets sent.",
  "packets.auth.received": "AUTH packets received.",
  "packets.auth.sent": "Always 0: no enhanced authentication.",
  "messages.received": "Application messages received from clients.",
  "messages.sent": "Application messages sent to clients.",
  "messages.qos0.received": "QoS 0 messages received from clients.",
  "messages.qos0.sent": "QoS 0 messages sent to clients.",
  "messages.qos1.received": "QoS 1 messages received from clients.",
  "messages.qos1.sent": "QoS 1 messages sent to clients.",
  "messages.qos2.received": "QoS 2 messages received from clients.",
  "messages.qos2.sent": "QoS 2 messages sent to clients.",
  "messages.publish": "Messages published by clients, bridges, serial ports and the API.",
  "messages.dropped": "Messages dropped before delivery, for whatever reason.",
  "messages.dropped.await_pubrel_timeout": "Always 0: a QoS 2 message is routed when it comes.",
  "messages.dropped.no_subscribers": "Messages dropped because nobody receives them.",
  "messages.dropped.quota_exceeded": "Messages dropped because the store takes no more.",
  "messages.dropped.receive_maximum": "Messages dropped because too many await PUBREL.",
  "messages.forward": "Always 0: one node.",
  "messages.delayed": "Messages kept for delayed publishing.",
  "messages.retained": "Retained messages stored.",
  "messages.delivered": "Messages handed to clients, repeated ones left out.",
  "messages.acked": "Messages acknowledged by clients.",
  "messages.validation_succeeded": "Always 0: no schema validation.",
  "messages.validation_failed": "Always 0: no schema validation.",
  "messages.transformation_succeeded": "Always 0: no message transformation.",
  "messages.transformation_failed": "Always 0: no message transformation.",
  "messages.persisted": "Always 0: no durable sessions of EMQX's kind.",
  "delivery.dropped": "Copies dropped on the way to a client, for whatever reason.",
  "delivery.dropped.no_local": "Copies left out because of No Local.",
  "delivery.dropped.too_large": "Copies larger than the client takes.",
  "delivery.dropped.qos0_msg": "QoS 0 copies for a client that is away or does not read.",
  "delivery.dropped.queue_full": "QoS 1 and 2 copies dropped because the session's queue is full.",
  "delivery.dropped.expired": "Copies whose message expired in the queue.",
  "delivery.dropped.filter": "Copies that an extension held back.",
  "client.connect": "CONNECTs that were understood.",
  "client.connack": "CONNECTs that were answered.",
  "client.connected": "Clients connected.",
  "client.disconnected": "Clients disconnected.",
  "client.authenticate": "Credentials checked.",
  "client.post_authn": "Clients accepted by the check of credentials.",
  "client.auth.anonymous": "Clients accepted without a user name.",
  "client.authorize": "Access rules asked.",
  "client.subscribe": "SUBSCRIBE operations.",
  "client.unsubscribe": "UNSUBSCRIBE operations.",
  "session.created": "Sessions begun.",
  "session.resumed": "Sessions resumed.",
  "session.takenover": "Sessions taken over by a newer connection.",
  "session.discarded": "Sessions discarded by Clean Start.",
  "session.terminated": "Sessions ended.",
  "session.disconnected": "Sessions left behind for their client to come back.",
  "authorization.allow": "Operations that were allowed.",
  "authorization.deny": "Operations that were denied.",
  "authorization.cache_hit": "Publications decided by a remembered answer.",
  "authorization.cache_miss": "Decisions that asked the access rules.",
  "authorization.superuser": "Decisions because of a superuser.",
  "authorization.nomatch": "Decisions by default, since no rule fits.",
  "authorization.matched_allow": "Decisions by a rule that allows.",
  "authorization.matched_deny": "Decisions by a rule that denies.",
  "authentication.success": "Clients whose credentials were accepted.",
  "authentication.success.anonymous": "Of these, clients without a user name.",
  "authentication.failure": "Clients whose credentials were refused.",
  "rules.matched": "Always 0: no rule engine.",
  "actions.executed": "Messages handed to cloud brokers.",
  "actions.messages": "Messages handed to cloud brokers.",
  "overload_protection.delay.ok": "Always 0: every client has its own bounds.",
  "overload_protection.delay.timeout": "Always 0: every client has its own bounds.",
  "overload_protection.hibernation": "Always 0: every client has its own bounds.",
  "overload_protection.gc": "Always 0: every client has its own bounds.",
  "overload_protection.new_conn": "Always 0: every client has its own bounds.",
} as const;

export type MetricName = keyof typeof METRIC_DOCS;

/** Every counter by name. */
export type Metrics = Readonly<Record<MetricName, number>>;

/** Every name, in the order of the table. */
export const METRIC_NAMES: readonly MetricName[] = Object.keys(METRIC_DOCS) as MetricName[];

/** Figures of the moment under EMQX's names, each with its maximum since the start. */
export const LEVEL_DOCS = {
  connections: "Connections, those kept for sessions left behind included.",
  live_connections: "Open connections of accepted clients.",
  sessions: "Sessions.",
  cluster_sessions: "Sessions; one node is the whole cluster.",
  channels: "Sessions.",
  topics: "Distinct topic filters subscribed to.",
  subscriptions: "Subscriptions, shared ones included.",
  "subscriptions.shared": "Shared subscriptions.",
  subscribers: "Subscriptions by client and filter.",
  suboptions: "Subscriptions with their options.",
  retained: "Retained messages.",
  delayed: "Messages waiting for delayed publishing.",
  durable_subscriptions: "Always 0: no durable sessions of EMQX's kind.",
} as const;

export type LevelName = keyof typeof LEVEL_DOCS;

/** A figure now, and its maximum since the start. */
export interface Level {
  readonly now: number;
  readonly max: number;
}

export type Levels = Readonly<Record<LevelName, Level>>;

export const LEVEL_NAMES: readonly LevelName[] = Object.keys(LEVEL_DOCS) as LevelName[];
