export type { Bridge, BridgeDeps } from "./bridge.ts";
export type { BridgeEntry, Bridges, BridgesDeps } from "./bridges.ts";
export { createBridges } from "./bridges.ts";
export type { LinkCertificate } from "./certificates.ts";
export { bridgeFaults } from "./faults.ts";
export type { LinkState } from "./link.ts";
export type { BridgeLoop, BridgeRing } from "./loop.ts";
export { findLoop, findRing } from "./loop.ts";
export type { Rates } from "./meter.ts";
export type {
  OutboundMessage,
  OutboxBounds,
  OutboxDropReason,
  OutboxEntry,
  OutboxGap,
  OutboxStatus,
} from "./outbox.ts";
export { outboxConfig } from "./outbox.ts";
export type { Mark, MarkTable, RepeatFilter } from "./repeat-filter.ts";
export { createRepeatFilter } from "./repeat-filter.ts";
export type { BridgeStatus, RuleStatus } from "./status.ts";
