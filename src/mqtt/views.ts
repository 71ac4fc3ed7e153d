import type { QoS } from "./qos.ts";
import type { StoredMessage } from "./stored-message.ts";
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

/**
 * One session to look at: what lists are filtered by. A member that is read says what is true at
 * that moment, so that a list of very many costs next to nothing until a row is wanted.
 */
export interface SessionGlance {
  readonly clientId: string;
  /** Rises with every session made: the order of lists, and a place in them that stays. */
  readonly number: number;
  /** CONNACK was sent and the connection is open. */
  readonly isOnline: boolean;
  readonly username: string | null;
  readonly version: ProtocolVersion;
  readonly cleanStart: boolean;
  readonly peerAddress: string;
  /** Wall clock, ms: of the session's first CONNECT, of its newest, and of the newest start or end of a connection. */
  readonly createdMs: number;
  readonly connectedMs: number;
  readonly sinceMs: number;
}

/** What went over a connection since its CONNECT; of the last one for a session left behind. */
export interface ConnectionTraffic {
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Reads from and writes to the network. */
  readonly readsIn: number;
  readonly writesOut: number;
  /** MQTT control packets. */
  readonly packetsIn: number;
  readonly packetsOut: number;
  /** PUBLISH packets by their QoS, repetitions included, the gateway's own messages left out. */
  readonly messagesIn: readonly [qos0: number, qos1: number, qos2: number];
  readonly messagesOut: readonly [qos0: number, qos1: number, qos2: number];
  /** PUBLISH packets that were refused. */
  readonly refusedIn: number;
}

/** All there is to say about a client and its session. */
export interface ClientDetails extends ClientInfo {
  readonly createdMs: number;
  readonly connectedMs: number;
  /** Seconds; 0 = ends with the connection, SESSION_NEVER_EXPIRES = never. */
  readonly expiryIntervalS: number;
  /** It is kept in the store. */
  readonly isDurable: boolean;
  /** The client said in CONNECT that it is a bridge (3.x). */
  readonly isBridge: boolean;
  readonly subscriptions: number;
  readonly maxSubscriptions: number;
  /** QoS 1 and 2 messages sent and not acknowledged, and waiting to be sent; their bounds. */
  readonly inflight: number;
  readonly maxInflight: number;
  readonly queued: number;
  readonly maxQueued: number;
  /** Topic and payload bytes of both. */
  readonly heldBytes: number;
  /** QoS 2 messages received that wait for PUBREL. */
  readonly awaitingRelease: number;
  readonly maxAwaitingRelease: number;
  readonly traffic: ConnectionTraffic;
  /** Messages for this session that were dropped, by reason, since the process started. */
  readonly dropped: Readonly<Record<"expired" | "queue_full" | "too_large", number>>;
}

/** Which of a session's messages are asked for: on their way, or waiting. */
export type QueuePart = "inflight" | "waiting";

/** Places in a session's queue are told apart modulo this. */
export const QUEUE_PLACES = 1_000_000;

/** A message in a session's queue. */
export interface QueuedView {
  /** Its place: one higher for each message of the session, modulo QUEUE_PLACES. */
  readonly place: number;
  readonly message: StoredMessage;
  /** QoS of this copy. */
  readonly qos: QoS;
}

/** A part of a session's queue, in order. */
export interface QueuePage {
  /** The first message of the asked part, whatever was asked for; null when there is none. */
  readonly first: QueuedView | null;
  readonly messages: readonly QueuedView[];
}

/** One subscription, exactly as subscribed. */
export interface SubscriptionInfo {
  readonly clientId: string;
  readonly filter: TopicFilter;
  /** The requested QoS. */
  readonly qos: QoS;
  /** Options of MQTT 5.0 (§3.8.3.1); off for 3.x clients. */
  readonly noLocal: boolean;
  readonly retainAsPublished: boolean;
  readonly retainHandling: 0 | 1 | 2;
  /** Its session is kept in the store. */
  readonly isDurable: boolean;
}

/** A subscription somebody makes for a client; options left out are off. */
export interface WantedSubscription {
  readonly filter: TopicFilter;
  readonly qos: QoS;
  readonly noLocal?: boolean;
  readonly retainAsPublished?: boolean;
  readonly retainHandling?: 0 | 1 | 2;
}

/** Why a message was not delivered. */
export type DropReason = "no_subscriber" | "queue_full" | "expired" | "too_large" | "rejected";

/** Message counters since the process started; the gateway's own `$SYS` traffic is left out. */
export interface MessageCounters {
  readonly received: number;
  readonly sent: number;
  readonly dropped: Readonly<Record<DropReason, number>>;
}
