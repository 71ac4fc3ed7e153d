/** Where a canary is to sing. */
export interface CanaryOrders {
  readonly tcpPort: number;
  /** Topics of others; the canary also publishes to them and measures the acknowledgement alone. */
  readonly crowdedTopics: readonly string[];
}

/** What a canary measured; times in milliseconds. */
export interface CanaryFigures {
  /** Messages published, one every 10 ms whether the last one was answered or not. */
  readonly count: number;
  /** Published long enough ago and not received. */
  readonly unanswered: number;
  /** From publishing to receiving. */
  readonly medianMs: number;
  readonly p99Ms: number;
  readonly worstMs: number;
  /** From publishing to PUBACK, of the crowded topics too. */
  readonly worstAckMs: number;
  /** Longest that the canary itself was kept waiting by the machine. */
  readonly ownLagMs: number;
}
