export type { Broker, BrokerConfig, BrokerDeps } from "./broker.ts";
export { createBroker } from "./broker.ts";
export type { Emitter as BrokerEmitter } from "./exchange.ts";
export { boundsWithin } from "./limits.ts";
export type {
  Authenticator,
  Authorizer,
  AutoSubscriptions,
  DelayedMessages,
  TopicRewrite,
} from "./ports.ts";
export type { SysTopics, SysTopicsConfig, SysTopicsDeps, SysTopicsSettings } from "./sys-topics.ts";
export { createSysTopics } from "./sys-topics.ts";
