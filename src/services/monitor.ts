/** What was seen during one step, or null where nothing was sampled. */
export interface MonitorStep {
  /** Start of the step, wall clock, ms. */
  readonly atMs: number;
  readonly sample: {
    readonly connections: number;
    readonly liveConnections: number;
    readonly topics: number;
    readonly subscriptions: number;
    readonly received: number;
    readonly sent: number;
    readonly dropped: number;
    readonly actions: number;
    readonly receivedBytes: number;
    readonly sentBytes: number;
  } | null;
}

/** The gateway's figures over time. */
export interface MonitorService {
  /** The last `latestS` seconds, or all that is kept, ascending and without gaps. */
  series(latestS: number | null): readonly MonitorStep[];
  /** Per second, whole numbers, over the last seconds. */
  rates(): {
    readonly received: number;
    readonly sent: number;
    readonly dropped: number;
    readonly actions: number;
    readonly receivedBytes: number;
    readonly sentBytes: number;
  };
  clear(): void;
}
