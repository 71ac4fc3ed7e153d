export type { OutboxState } from "./chunk-codec.ts";
export { readState } from "./chunk-codec.ts";
export { LanedOutbox, laneOfRows } from "./laned-outbox.ts";
export type {
  DurableOutbox,
  OutboxConfig,
  OutboxDropReason,
  OutboxEntry,
  OutboxGap,
  OutboxMessage,
  OutboxPolicy,
  OutboxStatus,
} from "./outbox.ts";
export { OutboxFace } from "./outbox-face.ts";
export type { OutboxHost, OutboxTotals, OutboxWriter } from "./stored-outbox.ts";
export { StoredOutbox } from "./stored-outbox.ts";
