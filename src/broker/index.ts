export type { Broker, BrokerConfig, BrokerDeps } from "./broker.ts";
export { createBroker } from "./broker.ts";
export type { BrokerPersistence } from "./persistence.ts";
export type { Authenticator, Authorizer } from "./ports.ts";
