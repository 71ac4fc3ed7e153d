export type { AedesPacket, AedesSubscription } from "./aedes/index.ts";
export type { StoreState } from "./durable-memory.ts";
export type { OutboxConfig, OutboxPolicy } from "./outbox/index.ts";
export type { RecordTable } from "./record-table.ts";
export type { SetAside, StoreStatus, WriteCause, WriteCount, WriteCounts } from "./status.ts";
export type { Store, StoreConfig, StoreDeps } from "./store.ts";
export { createStore } from "./store.ts";
