import type { MessageProperties } from "./message.ts";
import type { QoS } from "./qos.ts";
import type { Topic } from "./topic.ts";

/** A message on its way out of the gateway, under its remote topic. */
export interface OutboxMessage {
  readonly topic: Topic;
  readonly payload: Buffer;
  readonly qos: QoS;
  readonly retain: boolean;
  readonly properties?: MessageProperties;
  /** Name of the forward rule it came by, for the counters; what waited over a restart lacks it. */
  readonly rule?: string;
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

/** One of them. */
export type OutboxDropReason = (typeof OUTBOX_DROP_REASONS)[number];

/** Messages of one topic that an outbox gave up, and that were not reported yet. */
export interface OutboxGap {
  /** Null: topics beyond the bound on their number, together. */
  readonly topic: string | null;
  /** When the first and the last of them were appended; wall clock, ms. */
  readonly fromMs: number;
  readonly toMs: number;
  readonly count: number;
}

/** What waits in an outbox, and what it gave up since the start. */
export interface OutboxStatus {
  readonly messages: number;
  /** Bytes of topic and payload. */
  readonly bytes: number;
  /** About how long the oldest message has waited, over restarts; null when none waits. */
  readonly oldestAgeMs: number | null;
  readonly dropped: Readonly<Record<OutboxDropReason, number>>;
}

/** How many lanes an outbox has: see `Outbox.laneFor`. */
export const OUTBOX_LANES = 3;

/**
 * The messages that wait for the cloud, oldest first; while those are many, what need not wait behind
 * them has lanes of its own. A message leaves only by `remove`, which the cloud's PUBACK or PUBCOMP
 * causes, or by being dropped at a bound, which is counted and noted as a gap. What `take` has handed
 * out is on its way and is not dropped.
 */
export interface Outbox {
  /**
   * Resolves when the message is durable, has been removed, or was dropped by the bounds. `patienceMs`:
   * it may well be removed within that time, and is then never written; `store.commit_delay_ms` at
   * least, 0 = it cannot be removed soon, as there is no link. `isLive`: as for `laneFor`, which says
   * where it goes.
   * @throws GatewayError STORE_FULL or STORE_WRITE_FAILED (rejects): it is not kept. QoS 0 is
   * dropped and counted instead.
   */
  append(message: OutboxMessage, patienceMs?: number, isLive?: boolean): Promise<void>;
  /**
   * The lane a message of this topic goes to now: where others of its topic wait; else lane 0, or,
   * when that is long and `isLive` (there is a link), the shortest of the others.
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
   * Notes that the cloud has received a QoS 2 message (PUBREC), or that it does not know of it
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
