import type { StoreState } from "./durable-memory.ts";

/** What a write was for. */
export const WRITE_CAUSES = [
  "queue",
  "session",
  "retained",
  "inbound",
  "record",
  "outbox",
  "time",
  "delete",
] as const;

export type WriteCause = (typeof WRITE_CAUSES)[number];

/** Writes of one cause. */
export interface WriteCount {
  /** Records put or deleted. */
  readonly operations: number;
  /** Bytes handed to LevelDB's log: keys, values and their framing. */
  readonly bytes: number;
  /** Commits with fsync; each counts for the cause with most bytes in it. */
  readonly fsyncs: number;
}

/** Writes by cause. */
export type WriteCounts = Readonly<Record<WriteCause, WriteCount>>;

/** A damaged store that was put aside and kept. */
export interface SetAside {
  /** Where it is now. */
  readonly path: string;
  /** What was wrong with it. */
  readonly reason: string;
  /** True when a repaired copy is in use; false when the store started empty. */
  readonly isRepaired: boolean;
  /** Wall clock, ms. */
  readonly atMs: number;
}

/** The store in numbers. Sizes in bytes, times in milliseconds. */
export interface StoreStatus {
  readonly state: StoreState;
  /** Text of what keeps the store from `ready`, null otherwise. */
  readonly trouble: string | null;
  /** Sessions with a handle, and entries in all queues with their topic and payload bytes. */
  readonly sessions: number;
  readonly queuedMessages: number;
  readonly queuedBytes: number;
  /** Bodies shared by several entries, or too large to stand in one. */
  readonly bodies: number;
  /** Bytes of the store's files, sampled. */
  readonly bytesOnDisk: number;
  /** The volume, sampled: free for this process, all of it, and what is kept free. */
  readonly freeBytes: number;
  readonly volumeBytes: number;
  readonly reserveBytes: number;
  /** Most bytes of files the store may have. */
  readonly maxBytes: number;
  readonly pendingBytes: number;
  readonly pendingOperations: number;
  /** Groups written, groups that failed, the newest commit's and the longest commit's duration. */
  readonly commits: number;
  readonly failedCommits: number;
  readonly lastCommitMs: number;
  readonly longestCommitMs: number;
  /** Topic and payload bytes in all outboxes. */
  readonly outboxBytes: number;
  /** Entries added and removed again before their commit, which therefore were never written. */
  readonly cancelled: number;
  /** Compactions asked for after entries were removed. */
  readonly compactions: number;
  /** Writes since the start, and by day of gateway time; `writesYesterday` is null before the second day. */
  readonly writes: WriteCounts;
  readonly writesToday: WriteCounts;
  readonly writesYesterday: WriteCounts | null;
  /** Bytes LevelDB wrote into tables since the start (flushes and compactions), in steps of 1 MB. */
  readonly tableBytesWritten: number;
  /** Damage found at the start, null when there was none. */
  readonly setAside: SetAside | null;
  /** Records that could not be read and were left out, since the start. */
  readonly damagedRecords: number;
}

/** The status of a store that has not been started. */
export function statusBeforeStart(maxBytes: number): StoreStatus {
  const none = { operations: 0, bytes: 0, fsyncs: 0 };
  const writes = {
    queue: none,
    session: none,
    retained: none,
    inbound: none,
    record: none,
    outbox: none,
    time: none,
    delete: none,
  };
  return {
    state: "stopped",
    trouble: null,
    sessions: 0,
    queuedMessages: 0,
    queuedBytes: 0,
    bodies: 0,
    bytesOnDisk: 0,
    freeBytes: 0,
    volumeBytes: 0,
    reserveBytes: 0,
    maxBytes,
    pendingBytes: 0,
    pendingOperations: 0,
    commits: 0,
    failedCommits: 0,
    lastCommitMs: 0,
    longestCommitMs: 0,
    outboxBytes: 0,
    cancelled: 0,
    compactions: 0,
    writes,
    writesToday: writes,
    writesYesterday: null,
    tableBytesWritten: 0,
    setAside: null,
    damagedRecords: 0,
  };
}
