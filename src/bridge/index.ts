export type { Bridge, BridgeDeps, BridgeStatus } from "./bridge.ts";
export { createBridge } from "./bridge.ts";
export { bridgeFaults } from "./faults.ts";
export type { LinkState } from "./link.ts";
export type { BridgeLoop } from "./loop.ts";
export { findLoop } from "./loop.ts";
export type {
  OutboundMessage,
  Outbox,
  OutboxBounds,
  OutboxDropReason,
  OutboxEntry,
  OutboxStatus,
} from "./outbox.ts";
export { createMemoryOutbox } from "./outbox.ts";
export { bridgeFileFaults } from "./tls.ts";
