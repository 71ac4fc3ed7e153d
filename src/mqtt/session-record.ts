import type { QoS } from "./qos.ts";
import type { StoredMessage } from "./stored-message.ts";
import type { TopicFilter } from "./topic.ts";
import type { ProtocolVersion } from "./views.ts";

/** Session Expiry Interval that means "never" (MQTT 5.0 §3.1.2.11.2). */
export const SESSION_NEVER_EXPIRES = 0xffff_ffff;

/** A will that has not been published yet (MQTT 5.0 §3.1.2.5). */
export interface StoredWill {
  readonly message: StoredMessage;
  /** Will Delay Interval, seconds. */
  readonly delayS: number;
  /** Gateway time at which it is due, ms; null while the client is connected. */
  readonly dueAtMs: number | null;
}

/** What outlives a connection besides subscriptions, queue and markers (MQTT 5.0 §4.1). */
export interface SessionRecord {
  readonly protocolVersion: ProtocolVersion;
  readonly username: string | null;
  /** Clean Session or Clean Start of the newest CONNECT. */
  readonly cleanStart: boolean;
  /** Seconds, of the newest CONNECT. */
  readonly keepAliveS: number;
  /** Seconds; 0 = ends with the connection, SESSION_NEVER_EXPIRES = never. */
  readonly expiryIntervalS: number;
  /** Gateway time at which the session ends, ms; null while connected, or when it never ends. */
  readonly expiresAtMs: number | null;
  /** No sequence at or above this has been used: after a restart the queue goes on here. */
  readonly seqLimit: number;
  readonly will: StoredWill | null;
  /** The newest connection: listener's name, peer, and wall clock of its start or end, ms. */
  readonly listener: string;
  readonly peerAddress: string;
  readonly peerPort: number;
  readonly sinceMs: number;
  /** Wall clock of the session's first CONNECT and of its newest, ms. */
  readonly createdMs: number;
  readonly connectedMs: number;
  /** The newest CONNECT was that of a 3.x bridge. */
  readonly isBridge: boolean;
}

/** One subscription of a session with its options (MQTT 5.0 §3.8.3.1). */
export interface StoredSubscription {
  readonly filter: TopicFilter;
  /** Maximum QoS. */
  readonly qos: QoS;
  readonly noLocal: boolean;
  readonly retainAsPublished: boolean;
  readonly retainHandling: 0 | 1 | 2;
  /** Subscription Identifier, null without one. */
  readonly subscriptionId: number | null;
  /** Made by an administrator: it stands whatever the access rules say. */
  readonly isGranted?: true;
}
