import type { Origin } from "./message.ts";
import type { QoS } from "./qos.ts";
import type { StoredMessage } from "./stored-message.ts";
import type { Topic } from "./topic.ts";

/** A message as an observer sees it on its way; valid during the call only, except for `keep`'s. */
export interface PassingMessage {
  readonly topic: Topic;
  readonly qos: QoS;
  readonly retain: boolean;
  readonly origin: Origin;
  readonly payloadBytes: number;
  /** Wall clock at arrival, ms. */
  readonly publishedMs: number;
  /** The lasting form; costs a copy of the payload. */
  keep(): StoredMessage;
}

/** Why a message, or one client's copy of it, went nowhere. */
export type Loss =
  | "no_subscriber"
  | "not_authorized"
  | "quota_exceeded"
  | "queue_full"
  | "expired"
  | "too_large";

/** Something that happened to one client, besides messages. */
export interface ClientEvent {
  readonly kind: "connected" | "refused" | "disconnected" | "subscribed" | "unsubscribed";
  readonly clientId: string;
  readonly username: string | null;
  readonly address: string;
  readonly tcpPort: number;
  /** What else there is to say, by name. */
  readonly details: Readonly<Record<string, string | number>>;
}

/**
 * Watches messages and clients pass. It is called in the middle of their way: it must be quick and
 * must not throw.
 */
export interface Observer {
  /** A message was accepted, before it is delivered; `from` is null for what is no client's. */
  published?(message: PassingMessage, from: string | null): void;
  /** A copy was sent to a client; `seq` names it until it is acknowledged, and is -1 for QoS 0. */
  sent?(clientId: string, message: PassingMessage, qos: QoS, seq: number): void;
  /** A client has acknowledged a copy (PUBACK, PUBCOMP). */
  acked?(clientId: string, seq: number): void;
  /** `clientId` is null where nobody gets the message, `topic` where only the store knows it. */
  dropped?(clientId: string | null, topic: string | null, loss: Loss): void;
  client?(event: ClientEvent): void;
}
