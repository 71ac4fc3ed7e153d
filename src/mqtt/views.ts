import type { QoS } from "./qos.ts";
import type { TopicFilter } from "./topic.ts";

/** MQTT 3.1 (protocol level 3), 3.1.1 (4), 5.0 (5). */
export type ProtocolVersion = 3 | 4 | 5;

/** What the gateway knows of a client or of the session it left behind. */
export interface ClientInfo {
  readonly clientId: string;
  readonly isConnected: boolean;
  readonly username: string | null;
  readonly protocolVersion: ProtocolVersion;
  /** Clean Session (3.1.1) or Clean Start (5.0) as sent in CONNECT. */
  readonly cleanStart: boolean;
  /** Seconds, as sent in CONNECT; 0 = off. */
  readonly keepAliveS: number;
  readonly will: { readonly topic: string; readonly payload: Buffer; readonly qos: QoS } | null;
  /** Name of the listener, and the peer's address and port. */
  readonly listener: string;
  readonly peerAddress: string;
  readonly peerPort: number;
  /** Wall clock, ms; of the connection, or of its end for an offline session. */
  readonly sinceMs: number;
  /** Messages received from and delivered to this client on this connection. */
  readonly messagesIn: number;
  readonly messagesOut: number;
}

/** One subscription, exactly as subscribed. */
export interface SubscriptionInfo {
  readonly clientId: string;
  readonly filter: TopicFilter;
  /** The requested QoS. */
  readonly qos: QoS;
}

/** Why a message was not delivered. */
export type DropReason = "no_subscriber" | "queue_full" | "expired" | "too_large" | "rejected";

/** Message counters since the process started; the gateway's own `$SYS` traffic is left out. */
export interface MessageCounters {
  readonly received: number;
  readonly sent: number;
  readonly dropped: Readonly<Record<DropReason, number>>;
}
