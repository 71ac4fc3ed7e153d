export type { Bus, MessageHandler, Unsubscribe } from "./bus.ts";
export type { ClientId } from "./client-id.ts";
export { clientId } from "./client-id.ts";
export type {
  EngineStore,
  LoadedRetained,
  LoadedSession,
  QueueSummary,
  SessionStore,
  StopListening,
  StoreRefusal,
} from "./engine-store.ts";
export type { Message, MessageProperties, Origin } from "./message.ts";
export { messageId, serialNumbers } from "./message-id.ts";
export type { Level, LevelName, Levels, MetricName, Metrics } from "./metrics.ts";
export { LEVEL_DOCS, LEVEL_NAMES, METRIC_DOCS, METRIC_NAMES } from "./metrics.ts";
export type { ClientEvent, Loss, Observer, PassingMessage } from "./observer.ts";
export type {
  Outbox,
  OutboxDropReason,
  OutboxEntry,
  OutboxGap,
  OutboxMessage,
  OutboxStatus,
} from "./outbox.ts";
export { OUTBOX_DROP_REASONS, OUTBOX_LANES } from "./outbox.ts";
export { MAX_PACKET_ID, packetIdOf } from "./packet-id.ts";
export type { Peer } from "./peer.ts";
export type { QoS } from "./qos.ts";
export { isQoS, qos } from "./qos.ts";
export type { SessionRecord, StoredSubscription, StoredWill } from "./session-record.ts";
export { SESSION_NEVER_EXPIRES } from "./session-record.ts";
export type {
  QueuedMessage,
  QueueEntry,
  ReleasedMessage,
  StoredMessage,
} from "./stored-message.ts";
export type { Topic, TopicFilter } from "./topic.ts";
export { MAX_STRING_BYTES, matches, parseShare, topic, topicFilter } from "./topic.ts";
export type {
  ClientDetails,
  ClientInfo,
  ConnectionTraffic,
  DropReason,
  MessageCounters,
  ProtocolVersion,
  QueuedView,
  QueuePage,
  QueuePart,
  SessionGlance,
  SubscriptionInfo,
  WantedSubscription,
} from "./views.ts";
export { QUEUE_PLACES } from "./views.ts";
