import type { Log } from "../../log/index.ts";
import type { StoreRefusal } from "../../mqtt/index.ts";
import type { Clock } from "../../time/index.ts";
import type { ByteWriter } from "../bytes.ts";
import type { Database } from "../database.ts";
import type { Pending } from "../pending.ts";
import type { DamageReport } from "../reader.ts";

/** Rows read at once; their bytes are bounded by the read-ahead. */
export const ROWS_PER_READ = 16;

/** What an outbox needs of the store it is part of. */
export interface OutboxHost {
  readonly log: Log;
  readonly clock: Clock;
  readonly database: Database;
  readonly pending: Pending;
  readonly totals: OutboxTotals;
  readonly onDamage: DamageReport;
  /** Gateway time, ms. */
  nowMs(): number;
  admit(bytes: number): StoreRefusal | null;
  recorded(): void;
  /** Of the configuration: the least patience, and what is due within it goes along with a commit. */
  readonly commitDelayMs: number;
  /** Wants what is recorded committed then, monotonic ms, if it is still to be. */
  scheduleBy(dueMs: number): void;
  committed(): Promise<void>;
}

/** Topic and payload bytes of all outboxes: what is there, and what was removed since the last compaction. */
export interface OutboxTotals {
  bytes: number;
  removedBytes: number;
  /** Messages removed before they were committed. */
  cancelled: number;
}

/** How an outbox has its rows written into a batch. */
export interface OutboxWriter {
  chunk(first: number, writeValue: (out: ByteWriter) => void): void;
  state(writeValue: (out: ByteWriter) => void): void;
  gap(topic: string, writeValue: ((out: ByteWriter) => void) | null): void;
  deleteChunk(first: number): void;
}
