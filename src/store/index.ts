export type { GatewayPersistence } from "./persistence.ts";
export type { Store, StoreConfig, StoreDeps, StoreStatus } from "./store.ts";
export { createStore } from "./store.ts";
