import type { Connect } from "./codec/index.ts";
import type { Connection } from "./connection.ts";
import type { Publication } from "./publication.ts";
import type { Session } from "./session.ts";

/** Verdict of an asynchronous hook: null = go on. */
export type Verdict = (err: Error | null) => void;

/**
 * What aedes's hooks and events look like from the engine. A member is null while nobody has
 * replaced the default hook, and `listens` tells whether an event has a listener: then nothing is
 * built for it.
 */
export interface Hooks {
  readonly preConnect: ((connection: Connection, connect: Connect, done: Verdict) => void) | null;
  readonly authenticate: ((connection: Connection, connect: Connect, done: Verdict) => void) | null;
  readonly authorizePublish:
    | ((connection: Connection, pub: Publication, done: Verdict) => void)
    | null;
  readonly authorizeSubscribe:
    | ((connection: Connection, filter: string, qos: number, done: Verdict) => void)
    | null;
  readonly authorizeForward: ((session: Session, pub: Publication) => boolean) | null;
  /** Set when the `published` hook or the `publish` event is wanted. */
  readonly published: ((pub: Publication, connection: Connection | null) => void) | null;
  listens(event: string): boolean;
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
