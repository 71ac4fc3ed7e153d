/** What is watched over time: figures of the moment, and what was counted during an interval. */
export interface Sample {
  /** Start of the interval, wall clock, ms. */
  readonly atMs: number;
  readonly connections: number;
  readonly liveConnections: number;
  readonly topics: number;
  readonly subscriptions: number;
  /** Messages from clients, to clients, and dropped before delivery. */
  readonly received: number;
  readonly sent: number;
  readonly dropped: number;
  /** Messages handed to cloud brokers. */
  readonly actions: number;
  readonly receivedBytes: number;
  readonly sentBytes: number;
}

/** Figures of the moment: within a longer interval the newest stands. */
export const GAUGES = ["connections", "liveConnections", "topics", "subscriptions"] as const;

/** What was counted: within a longer interval it adds up. */
const DELTAS = ["received", "sent", "dropped", "actions", "receivedBytes", "sentBytes"] as const;

export const COLUMNS = [...GAUGES, ...DELTAS] as const;

type Gauge = (typeof GAUGES)[number];
export type Delta = (typeof DELTAS)[number];

/** A sample made of numbers in the order of `COLUMNS`. */
export function sampleOf(atMs: number, values: ArrayLike<number>): Sample {
  const at = (column: Gauge | Delta): number => values[COLUMNS.indexOf(column)] ?? 0;
  return {
    atMs,
    connections: at("connections"),
    liveConnections: at("liveConnections"),
    topics: at("topics"),
    subscriptions: at("subscriptions"),
    received: at("received"),
    sent: at("sent"),
    dropped: at("dropped"),
    actions: at("actions"),
    receivedBytes: at("receivedBytes"),
    sentBytes: at("sentBytes"),
  };
}
