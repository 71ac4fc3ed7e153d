export type { Broker, BrokerConfig, BrokerDeps } from "./broker.ts";
export { createBroker } from "./broker.ts";
export type { EngineStore as BrokerStore } from "./engine-store.ts";
export type { Authenticator, Authorizer } from "./ports.ts";
