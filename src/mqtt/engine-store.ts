import type { GatewayError } from "../errors/index.ts";
import type { SessionRecord, StoredSubscription } from "./session-record.ts";
import type { QueuedMessage, QueueEntry, StoredMessage } from "./stored-message.ts";

/** Why nothing more may be stored now. */
export type StoreRefusal = "STORE_FULL" | "STORE_WRITE_FAILED";

/** A session's queue in numbers; what is still in an open group counts. */
export interface QueueSummary {
  readonly count: number;
  /** Topic and payload bytes of the entries. */
  readonly bytes: number;
  /** Lowest sequence present, -1 when the queue is empty. */
  readonly firstSeq: number;
  /** Highest sequence ever enqueued, as far as that is known after a restart; -1 before the first. */
  readonly lastSeq: number;
}

/** A session found at the start. */
export interface LoadedSession {
  readonly store: SessionStore;
  readonly record: SessionRecord;
  readonly subscriptions: readonly StoredSubscription[];
  /** Packet Identifiers of inbound QoS 2 messages that wait for PUBREL. */
  readonly inbound: readonly number[];
}

/** A retained message found at the start. */
export interface LoadedRetained {
  readonly topic: string;
  /** Topic and payload bytes. */
  readonly bytes: number;
  /** Gateway time, ms; null = never. */
  readonly expiresAtMs: number | null;
  /** Null when the payload is large: `getRetained` fetches it. */
  readonly message: StoredMessage | null;
}

/** Ends a registration; safe to call twice. */
export type StopListening = () => void;

/**
 * The durable memory of the protocol engine. Operations are recorded synchronously, in memory, into
 * the open group; `schedule` has the group written: one LevelDB batch, one fsync
 * (`store.durability: fsync`), atomically. One group is written at a time; what is recorded
 * meanwhile forms the next. An entry that is added and removed inside the open group is never
 * written. Reads see every operation recorded before them.
 *
 * A failed commit settles its own group with an error and forgets nothing: its operations go back in
 * front of the open group, unless a later one has overtaken them, and are tried again until they are
 * written. Whoever must not keep what was refused takes it back with the opposite operation
 * (`dequeue` what was enqueued). `admit` says beforehand that storing would be refused.
 */
export interface EngineStore {
  /**
   * Gateway time, ms, whole number ≥ 0: goes on over restarts, never steps back within a run, and
   * follows no jump of the wall clock. Deadlines are kept in it.
   */
  nowMs(): number;

  /** All sessions found at the start, in batches. Use it once, before any operation. */
  sessions(): AsyncIterable<readonly LoadedSession[]>;
  /** All retained messages found at the start, in batches ordered by the topic's UTF-8 bytes. Use it once, before any operation. */
  retained(): AsyncIterable<readonly LoadedRetained[]>;

  /**
   * The handle of a client's session; the same object for the same living session. Nothing is
   * written for it before its `put`. Any well-formed string is a client id; one holding U+0000
   * cannot come from the wire, so in-process queues (a bridge's outbox) may use such names.
   */
  session(clientId: string): SessionStore;

  /** Keeps `message` for its topic, in place of an older one. */
  putRetained(message: StoredMessage): void;
  deleteRetained(topic: string): void;
  /** @throws GatewayError STORE_READ_FAILED (rejects). */
  getRetained(topic: string): Promise<StoredMessage | null>;

  /**
   * Whether a message of `bytes` (topic and payload, times the number of copies that cannot share
   * it: none can be, count it once) may be stored now: null = yes. Costs nothing; ask before
   * `enqueue` and `putRetained`. Deletions and session state need no admission.
   */
  admit(bytes: number): StoreRefusal | null;

  /**
   * Wants everything recorded so far committed: `urgent` as soon as no commit is in flight (at the
   * end of this turn of the event loop), otherwise within `store.commit_delay_ms`. Returns the number
   * of the group to wait for: done when it is ≤ `settledGroup`, or when `onSettled` names it.
   * Numbers grow by one; waiting for a group covers all earlier operations of sessions, retained
   * messages and tables. What outboxes keep says so itself.
   */
  schedule(urgent: boolean): number;
  /** The newest group that was settled, well or not. */
  readonly settledGroup: number;
  /**
   * Calls `listener` once per settled group, in order: error null = all of it is durable (fsynced
   * with durability fsync), otherwise STORE_FULL or STORE_WRITE_FAILED. One call for all
   * waiters is what makes waiting cheap. The listener must not throw.
   */
  onSettled(listener: (group: number, error: GatewayError | null) => void): StopListening;
}

/** One session's part of the store. All but `readQueue` only record; see EngineStore. */
export interface SessionStore {
  readonly clientId: string;
  /** Always up to date; the object is the same throughout. */
  readonly queue: QueueSummary;

  /** Creates or replaces the record. A session without one is gone after a restart. */
  put(record: SessionRecord): void;
  /** Adds the subscription, or replaces the one with the same filter. */
  putSubscription(subscription: StoredSubscription): void;
  deleteSubscription(filter: string): void;

  /** Remembers that the inbound QoS 2 PUBLISH with this Packet Identifier has been routed. */
  putInbound(packetId: number): void;
  deleteInbound(packetId: number): void;

  /**
   * Appends a copy. `seq` must be higher than every one used before in this session, and below the
   * record's `seqLimit`. The entry and its message are kept by reference until they are committed
   * and must not change. Copies of one message object, made one after the other, share one stored
   * body. An entry with a sequence that is present is replaced.
   */
  enqueue(entry: QueuedMessage): void;
  /** PUBREC has come: the message is no longer needed, the entry stays as released. Unknown seq: nothing. */
  setReleased(seq: number): void;
  /** Removes the entry, read or not. Unknown seq: nothing. */
  dequeue(seq: number): void;
  /** Topic and payload bytes of an entry; 0 for a released one, -1 when there is none. Costs a binary search. */
  bytesOf(seq: number): number;
  /**
   * The entries with sequence ≥ `fromSeq` in order, at most `maxMessages`, ending with the first one
   * that reaches `maxBytes` (at least one entry). Shorter than `maxMessages` and below `maxBytes`
   * means there are no more. What is removed while the read is under way is left out; what is added
   * meanwhile may be missing.
   * @throws GatewayError STORE_READ_FAILED (rejects); trying again later is right.
   */
  readQueue(fromSeq: number, maxMessages: number, maxBytes: number): Promise<readonly QueueEntry[]>;

  /**
   * Ends the session: record, subscriptions, markers and queue are gone with the group's commit.
   * The space is freed afterwards in bounded slices. The handle is dead; `EngineStore.session`
   * gives a fresh one at once.
   */
  delete(): void;
}
