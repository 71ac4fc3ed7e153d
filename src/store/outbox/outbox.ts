import type { MessageProperties, QoS, Topic } from "../../mqtt/index.ts";

/** A message on its way out of the gateway, under its remote topic. */
export interface OutboxMessage {
  readonly topic: Topic;
  readonly payload: Buffer;
  readonly qos: QoS;
  readonly retain: boolean;
  readonly properties?: MessageProperties;
}

/** A kept message and its place in the order. */
export interface OutboxEntry {
  /** Grows with every message, also over restarts; never used twice, in no lane. */
  readonly seq: number;
  /** Where it waits: messages of one lane are in order, and all that wait of a topic are in one. */
  readonly lane: number;
  readonly message: OutboxMessage;
  /** When it was appended, as `clock.monotonicMs()` of this process counts; before its start < 0. */
  readonly appendedAtMs: number;
  /** The cloud was noted to have it (`setReceived`): QoS 2 goes on with PUBREL. */
  readonly isReceived: boolean;
}

/**
 * Why an outbox gave a message up: it is over a bound, larger than the whole bound, older than the
 * longest age, or (QoS 0 alone, which nobody waits for) the store takes no more.
 */
export const OUTBOX_DROP_REASONS = ["queue_full", "too_large", "too_old", "store_full"] as const;

export type OutboxDropReason = (typeof OUTBOX_DROP_REASONS)[number];

/** What is lost when an outbox is full: see OutboxConfig. */
export type OutboxPolicy = "drop_oldest" | "drop_newest" | "keep_last_per_topic";

/** How much an outbox keeps; bytes are those of topic and payload. */
export interface OutboxConfig {
  readonly maxMessages: number;
  readonly maxBytes: number;
  /** Messages that wait longer are dropped; 0 = never. */
  readonly maxAgeMs: number;
  /**
   * At a bound the oldest message goes, or the new one, or the oldest that is not the last of its
   * topic: the last ones then move to the end of the queue.
   */
  readonly policy: OutboxPolicy;
  /** With more messages waiting in lane 0 than these, new topics go past them. */
  readonly backlogMessages: number;
}

/** Messages of one topic that were dropped, and not yet reported. */
export interface OutboxGap {
  /** Null: topics beyond the bound on their number, together. */
  readonly topic: string | null;
  /** When the first and the last of them were appended; wall clock, ms. */
  readonly fromMs: number;
  readonly toMs: number;
  readonly count: number;
}

/** An outbox in numbers. */
export interface OutboxStatus {
  readonly messages: number;
  /** Bytes of topic and payload. */
  readonly bytes: number;
  /** About how long the oldest message has waited, over restarts; null when there is none. */
  readonly oldestAgeMs: number | null;
  /** Since the start. */
  readonly dropped: Readonly<Record<OutboxDropReason, number>>;
}

/** What an outbox keeps in order for itself: see `DurableOutbox.laneFor`. */
export const OUTBOX_LANES = 3;

/**
 * A durable queue, oldest first; while it is long, what need not wait behind it has lanes of its own.
 * What is appended joins the open group, with everything else that is
 * recorded for the same publication; what is removed before the group is committed is never
 * written. A message leaves only by `remove`, or by being dropped at a bound, which is counted and
 * noted as a gap. What `take` has handed out is on its way and is not dropped.
 */
export interface DurableOutbox {
  /**
   * Resolves when the message is durable, has been removed, or was dropped by the bounds. `isUrgent`:
   * nobody is there to remove it soon. `isLive`: as for `laneFor`, which says where it goes.
   * @throws GatewayError STORE_FULL or STORE_WRITE_FAILED (rejects): it is not kept. QoS 0 is
   * dropped and counted instead.
   */
  append(message: OutboxMessage, isUrgent?: boolean, isLive?: boolean): Promise<void>;
  /**
   * The lane a message of this topic goes to now: where others of its topic wait; else lane 0, or,
   * when that is long and `isLive` (somebody takes), the shortest of the others.
   */
  laneFor(topic: Topic, isLive: boolean): number;
  /**
   * Up to `limit` entries of a lane with a `seq` above `afterSeq`, in order. QoS 2 comes only when it
   * is durable: a crash would forget that it was sent, and its publisher sends it again.
   * @throws GatewayError STORE_READ_FAILED (rejects); trying again later is right
   */
  take(afterSeq: number, limit: number, lane?: number): Promise<readonly OutboxEntry[]>;
  /** Messages in a lane. */
  depth(lane: number): number;
  /** Whether messages of this topic, or of one that is not told from it, have not been taken yet. */
  isWaiting(topic: Topic): boolean;
  /**
   * Notes that the other side has received a QoS 2 message (PUBREC), or that it does not know of it
   * any more. Resolves when that is durable; at once for an entry that is gone.
   * @throws GatewayError STORE_FULL or STORE_WRITE_FAILED (rejects)
   */
  setReceived(seq: number, isReceived: boolean): Promise<void>;
  /** Forgets an entry; harmless when it is gone. */
  remove(seq: number): void;
  /** What was dropped and not reported yet, also by an earlier run. */
  gaps(): readonly OutboxGap[];
  /** Appends messages that report all gaps, above the bounds, and forgets the gaps in the same commit. */
  report(messages: readonly OutboxMessage[]): void;
  /** Messages that nobody has taken yet. */
  readonly waiting: number;
  /** Cheap, never throws. */
  status(): OutboxStatus;
}
