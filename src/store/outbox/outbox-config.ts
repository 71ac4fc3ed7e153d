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
