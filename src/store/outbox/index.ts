export type { OutboxState } from "./chunk-codec.ts";
export { readState } from "./chunk-codec.ts";
export { LanedOutbox, laneOfRows } from "./laned-outbox.ts";
export type { OutboxConfig, OutboxPolicy } from "./outbox-config.ts";
export { OutboxFace } from "./outbox-face.ts";
export type { OutboxHost, OutboxTotals, OutboxWriter } from "./outbox-host.ts";
export { StoredOutbox } from "./stored-outbox.ts";
