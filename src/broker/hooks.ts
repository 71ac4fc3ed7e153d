import type { QoS, StoredMessage, TopicFilter } from "../mqtt/index.ts";
import type { MessageChange } from "./aedes-packet.ts";
import type { Connect } from "./codec/index.ts";
import type { Connection } from "./connection.ts";
import type { Session } from "./session.ts";

/** Verdict of an asynchronous hook: null = go on. */
export type Verdict = (err: Error | null) => void;

/** A subscription as a hook lets it pass. */
export interface Grant {
  readonly filter: TopicFilter;
  readonly qos: QoS;
}

/**
 * What aedes's hooks and events look like from the engine. A member is null while nobody has
 * replaced the default hook, and `listens` tells whether an event has a listener: then nothing is
 * built for it.
 */
export interface Hooks {
  readonly preConnect: ((connection: Connection, connect: Connect, done: Verdict) => void) | null;
  readonly authenticate: ((connection: Connection, connect: Connect, done: Verdict) => void) | null;
  /** `connection` is null for a will. The second argument of `done` is what the hook changed. */
  readonly authorizePublish:
    | ((
        connection: Connection | null,
        message: StoredMessage,
        done: (err: Error | null, change: MessageChange | null) => void,
      ) => void)
    | null;
  /** `done` gets null when the subscription is refused. */
  readonly authorizeSubscribe:
    | ((connection: Connection, wanted: Grant, done: (granted: Grant | null) => void) => void)
    | null;
  /** False when the receiver is not to get it; what the hook changed for this receiver, or true. */
  readonly authorizeForward:
    | ((session: Session, message: StoredMessage) => boolean | MessageChange)
    | null;
  /**
   * Set when the `published` hook or the `publish` event is wanted; `from` is the publisher's
   * session, null for the gateway's own messages. Resolves when the hook is done.
   */
  readonly published: ((message: StoredMessage, from: Session | null) => Promise<void>) | null;
  listens(event: ConnectionEvent): boolean;
  emit(event: ConnectionEvent, connection: Connection, detail?: unknown): void;
}

/** Events of aedes that concern one client. */
export type ConnectionEvent =
  | "client"
  | "clientReady"
  | "clientDisconnect"
  | "clientError"
  | "connectionError"
  | "connackSent"
  | "keepaliveTimeout"
  | "ping"
  | "ack"
  | "subscribe"
  | "unsubscribe";
