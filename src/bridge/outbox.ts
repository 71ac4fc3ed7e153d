import type { BridgeConfig } from "../config/index.ts";
import type { MessageProperties, QoS, Topic } from "../mqtt/index.ts";

/** A message on its way to the cloud, under its remote topic. */
export interface OutboundMessage {
  readonly topic: Topic;
  readonly payload: Buffer;
  readonly qos: QoS;
  readonly retain: boolean;
  readonly properties?: MessageProperties;
  /** Name of the forward rule it came by, for the counters; what waited over a restart may lack it. */
  readonly rule?: string;
}

/** A kept message and its place in the order. */
export interface OutboxEntry {
  /** Grows with every message, also over restarts; never used twice, in no lane. */
  readonly seq: number;
  /** Where it waits: messages of one lane are in order, and all that wait of a topic are in one. */
  readonly lane: number;
  readonly message: OutboundMessage;
  /** When it was appended, as `clock.monotonicMs()` counts; below 0 for what is older than the process. */
  readonly appendedAtMs: number;
  /** The cloud was noted to have it: QoS 2 goes on with PUBREL. */
  readonly isReceived: boolean;
}

/** Why an outbox gave a message up; `store_full` is for QoS 0, which nobody waits for. */
export type OutboxDropReason = "queue_full" | "too_large" | "too_old" | "store_full";

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
  /** How long the oldest has waited; null when none waits. */
  readonly oldestAgeMs: number | null;
  readonly dropped: Readonly<Record<OutboxDropReason, number>>;
}

/** How many lanes an outbox has. */
export const LANES = 3;

/**
 * The messages that wait for the cloud, oldest first; while those are many, what need not wait behind
 * them has lanes of its own. A message leaves only by `remove`, which the
 * cloud's PUBACK or PUBCOMP causes, or by being dropped at a bound, which is counted and noted as a
 * gap. What `take` has handed out is on its way and is not dropped.
 */
export interface Outbox {
  /**
   * Resolves when the message is durable, or was removed or dropped before; rejects when it cannot
   * be kept. `isUrgent`: there is no link, so it cannot be removed soon. `isLive`: as for `laneFor`.
   */
  append(message: OutboundMessage, isUrgent?: boolean, isLive?: boolean): Promise<void>;
  /**
   * The lane a message of this topic goes to now: where others of its topic wait; else lane 0, or,
   * when that is long and `isLive` (there is a link), the shortest of the others.
   */
  laneFor(topic: Topic, isLive: boolean): number;
  /** Up to `limit` entries of a lane with a `seq` above `afterSeq`, in order; QoS 2 only when it is durable. */
  take(afterSeq: number, limit: number, lane?: number): Promise<readonly OutboxEntry[]>;
  /** Messages in a lane. */
  depth(lane: number): number;
  /** Whether messages of this topic, or of one that is not told from it, have not been taken yet. */
  isWaiting(topic: Topic): boolean;
  /**
   * Notes that the cloud has received a QoS 2 message (PUBREC), or that it does not know of it any
   * more. Resolves when that is durable.
   */
  setReceived(seq: number, isReceived: boolean): Promise<void>;
  /** Forgets an entry; harmless when it is gone. */
  remove(seq: number): void;
  /** What was dropped and not reported yet, also by an earlier run. */
  gaps(): readonly OutboxGap[];
  /** Appends messages that report all gaps, above the bounds, and forgets the gaps in the same commit. */
  report(messages: readonly OutboundMessage[]): void;
  /** Messages that nobody has taken yet. */
  readonly waiting: number;
  /** Cheap, never throws. */
  status(): OutboxStatus;
}

/** How much an outbox keeps; bytes are those of topic and payload. */
export interface OutboxBounds {
  readonly maxMessages: number;
  readonly maxBytes: number;
}

/** Fewer are sent in a moment: nothing needs to go past them … */
const BACKLOG_MESSAGES = 100;
/** … nor past what is sent within this time where messages are paced. */
const BACKLOG_S = 0.05;

/** How much of a bridge's messages is kept, and what is given up beyond that. */
export function outboxConfig(bridge: BridgeConfig) {
  const { drain_max_messages_per_s: pace } = bridge;
  return {
    maxMessages: bridge.outbox_max_messages,
    maxBytes: bridge.outbox_max_bytes,
    maxAgeMs: bridge.outbox_max_age_s * 1000,
    policy: bridge.outbox_policy,
    backlogMessages: pace === 0 ? BACKLOG_MESSAGES : Math.min(BACKLOG_MESSAGES, pace * BACKLOG_S),
  };
}
