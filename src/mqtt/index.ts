export type { Bus, MessageHandler, Unsubscribe } from "./bus.ts";
export type { ClientId } from "./client-id.ts";
export { clientId } from "./client-id.ts";
export type { Message, MessageProperties, Origin } from "./message.ts";
export type { Peer } from "./peer.ts";
export type { QoS } from "./qos.ts";
export { isQoS, qos } from "./qos.ts";
export type { Topic, TopicFilter } from "./topic.ts";
export { MAX_STRING_BYTES, matches, overlaps, parseShare, topic, topicFilter } from "./topic.ts";
export type {
  ClientInfo,
  DropReason,
  MessageCounters,
  ProtocolVersion,
  SubscriptionInfo,
} from "./views.ts";
