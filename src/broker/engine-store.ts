import type {
  QueuedMessage,
  QueueEntry,
  SessionRecord,
  StoredMessage,
  StoredSubscription,
} from "../mqtt/index.ts";

/**
 * What the engine asks of its durable memory. Operations are recorded synchronously into the open
 * group; a group is written at once or not at all, one at a time, and settled in order.
 */
export interface EngineStore {
  /** Gateway time, ms: goes on over restarts and follows no jump of the wall clock. */
  nowMs(): number;
  /** All sessions, then all retained messages, found at the start; before any operation. */
  sessions(): AsyncIterable<readonly LoadedSession[]>;
  retained(): AsyncIterable<readonly LoadedRetained[]>;
  session(clientId: string): SessionStore;
  putRetained(message: StoredMessage): void;
  deleteRetained(topic: string): void;
  getRetained(topic: string): Promise<StoredMessage | null>;
  /** Null when a message of so many bytes may be stored now. */
  admit(bytes: number): "STORE_FULL" | "STORE_WRITE_FAILED" | null;
  /** Has the open group written, at once or within the commit delay; answers its number. */
  schedule(urgent: boolean): number;
  readonly settledGroup: number;
  onSettled(listener: (group: number, error: Error | null) => void): () => void;
}

/** One session's part of the store. */
export interface SessionStore {
  readonly queue: {
    readonly count: number;
    readonly bytes: number;
    readonly firstSeq: number;
    readonly lastSeq: number;
  };
  put(record: SessionRecord): void;
  putSubscription(subscription: StoredSubscription): void;
  deleteSubscription(filter: string): void;
  putInbound(packetId: number): void;
  deleteInbound(packetId: number): void;
  enqueue(entry: QueuedMessage): void;
  setReleased(seq: number): void;
  dequeue(seq: number): void;
  bytesOf(seq: number): number;
  readQueue(fromSeq: number, maxMessages: number, maxBytes: number): Promise<readonly QueueEntry[]>;
  delete(): void;
}

/** A session as the store found it. */
export interface LoadedSession {
  readonly store: SessionStore & { readonly clientId: string };
  readonly record: SessionRecord;
  readonly subscriptions: readonly StoredSubscription[];
  readonly inbound: readonly number[];
}

/** A retained message as the store found it; a large one comes without its payload. */
export interface LoadedRetained {
  readonly topic: string;
  readonly bytes: number;
  readonly expiresAtMs: number | null;
  readonly message: StoredMessage | null;
}
