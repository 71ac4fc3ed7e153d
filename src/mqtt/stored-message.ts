import type { Message } from "./message.ts";
import type { QoS } from "./qos.ts";

/** A message as the gateway keeps it. Nothing of it changes once it is made. */
export interface StoredMessage extends Message {
  /** Wall clock at arrival, ms; for people and APIs, never for a decision. */
  readonly publishedMs: number;
  /** Gateway time (`EngineStore.nowMs`) at which it expires, ms; null = never (MQTT 5.0 §3.3.2.3.3). */
  readonly expiresAtMs: number | null;
  /** What a layer above the engine keeps with the message; the engine leaves it alone. */
  readonly extension?: Buffer;
}

/** One session's copy of a message, waiting to be delivered or acknowledged. */
export interface QueuedMessage {
  /** Position in the session's queue and source of its Packet Identifier: a whole number ≥ 0. */
  readonly seq: number;
  readonly message: StoredMessage;
  /** QoS of this copy, already lowered to the subscription's ([MQTT-3.8.4-8]). */
  readonly qos: QoS;
  /** RETAIN flag this copy is sent with (MQTT 5.0 §3.3.1.3). */
  readonly retain: boolean;
  /** Subscription Identifiers this copy is sent with (MQTT 5.0 §3.3.4); empty = none. */
  readonly subscriptionIds: readonly number[];
  /** What a layer above the engine keeps with the entry; the engine leaves it alone. */
  readonly extension?: Buffer;
}

/** A QoS 2 copy whose PUBREC has come: PUBREL is to be sent until PUBCOMP (MQTT 5.0 §4.3.3). */
export interface ReleasedMessage {
  readonly seq: number;
  readonly message: null;
  readonly extension?: Buffer;
}

/** What stands at one position of a session's queue. */
export type QueueEntry = QueuedMessage | ReleasedMessage;
