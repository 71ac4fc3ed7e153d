import type { Config } from "../config/index.ts";

/** Most QoS 1 and 2 messages that are ever on their way to one client at once. */
export const MAX_INFLIGHT = 1024;

/** What is retained (MQTT 5.0 §3.3.1.3), and whether. */
export interface RetainerLimits {
  /** Off: nothing is retained or removed, and what is there is not sent to subscribers. */
  isOn: boolean;
  /** Larger payloads are delivered and not retained, bytes. */
  maxPayloadBytes: number;
  /** Topics with a retained message; 0 = any number. */
  maxMessages: number;
  /** Life of a retained message that names none, seconds; 0 = for ever. */
  expiryS: number;
  /** An empty payload removes the topic's message (MQTT 5.0 [MQTT-3.3.1-6]). */
  isClearedByEmpty: boolean;
}

/** No bound but the store's. */
export const RETAINS_ALL: Readonly<RetainerLimits> = {
  isOn: true,
  maxPayloadBytes: Number.MAX_SAFE_INTEGER,
  maxMessages: 0,
  expiryS: 0,
  isClearedByEmpty: true,
};

/** The bounds of the engine, all sizes in bytes. */
export interface Limits {
  /** Messages queued for one session, and their topic and payload bytes. */
  maxQueuedMessages: number;
  maxQueuedBytes: number;
  /** What gives way when a session's queue is full. */
  queuePolicy: Config["mqtt"]["queue_policy"];
  /** QoS 1 and 2 messages on their way to one client at once, whatever it allows; at most MAX_INFLIGHT. */
  maxInflight: number;
  /** Gathered for a reader that is behind before its QoS 0 messages are dropped. */
  readonly maxWriterBytes: number;
  /** A reader that takes nothing for this long is disconnected. */
  stalledReaderMs: number;
  /** Received publications not yet acknowledged before reading pauses. */
  readonly maxUnacknowledged: number;
  readonly maxUnacknowledgedBytes: number;
  maxPacketBytes: number;
  clientMaxPacketBytes: number;
  readonly maxTopicLevels: number;
  readonly maxFiltersPerSubscribe: number;
  readonly maxSubscriptions: number;
  /** QoS 2 publications of one client that wait for PUBREL; the Receive Maximum told to MQTT 5 clients. */
  readonly maxAwaitingRelease: number;
  /** Topic Aliases a client may use, and most the server uses. */
  readonly maxTopicAliases: number;
  /** Per mille of the Keep Alive after which a silent client is gone. */
  keepAlivePermille: number;
  /** Keep Alive for MQTT 5 clients that ask for a longer one or none, seconds; null = theirs. */
  readonly serverKeepAliveS: number | null;
  readonly connectTimeoutMs: number;
  readonly retainer: RetainerLimits;
}

/** The bounds that have no configuration key of their own. */
export type FixedLimits = Pick<
  Limits,
  | "maxWriterBytes"
  | "maxUnacknowledged"
  | "maxUnacknowledgedBytes"
  | "maxTopicAliases"
  | "serverKeepAliveS"
>;

export const FIXED_LIMITS: FixedLimits = {
  maxWriterBytes: 1_048_576,
  maxUnacknowledged: 4096,
  maxUnacknowledgedBytes: 16_777_216,
  maxTopicAliases: 64,
  serverKeepAliveS: null,
};

/**
 * The bounds for a gateway that may use `memoryBytes`: from 512 MB on those above, less where there
 * is less, so that many readers that are behind are shed before the memory is gone.
 */
export function boundsWithin(memoryBytes: number): Partial<FixedLimits> {
  const { maxWriterBytes, maxUnacknowledgedBytes } = FIXED_LIMITS;
  return {
    maxWriterBytes: share(memoryBytes, 512, 131_072, maxWriterBytes),
    maxUnacknowledgedBytes: share(memoryBytes, 32, 1_048_576, maxUnacknowledgedBytes),
  };
}

function share(bytes: number, parts: number, least: number, most: number): number {
  return Math.min(most, Math.max(least, Math.floor(bytes / parts)));
}
