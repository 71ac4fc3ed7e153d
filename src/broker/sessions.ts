import {
  type ClientInfo,
  isQoS,
  type ProtocolVersion,
  type QoS,
  type SubscriptionInfo,
  type TopicFilter,
  topicFilter,
} from "../mqtt/index.ts";
import type { ConnectPacket } from "./engine.ts";
import type { Link } from "./link.ts";
import type { SessionRecord, StoredSubscription } from "./persistence.ts";

/** What CONNECT and the connection say of a client; kept for an offline session. */
type Details = Omit<
  ClientInfo,
  "clientId" | "isConnected" | "cleanStart" | "messagesIn" | "messagesOut"
>;

/** A session, connected or left behind. */
export interface Session {
  readonly clientId: string;
  /** It outlives its connection; false also once a Clean Session CONNECT has ended it. */
  isPersistent: boolean;
  readonly filters: Map<TopicFilter, QoS>;
  /** Its connection, null while there is none. */
  link: Link | null;
  details: Details;
}

/** Every session there is, by client id. */
export class Sessions {
  readonly #sessions = new Map<string, Session>();

  /** A stored session, as it was before the gateway started. */
  restore(record: SessionRecord, subscriptions: readonly StoredSubscription[]): void {
    const { clientId } = record;
    this.#sessions.set(clientId, {
      clientId,
      isPersistent: true,
      filters: new Map(subscriptions.flatMap(parseSubscription)),
      link: null,
      details: detailsFrom(record),
    });
  }

  /** The session an authenticated CONNECT continues, or a new one; not listed before `attach`. */
  begin(link: Link, connect: ConnectPacket, nowMs: number): Session {
    const { clientId } = connect;
    const details = detailsOf(link, connect, nowMs);
    const earlier = this.#sessions.get(clientId);
    const continued = !connect.clean && earlier?.isPersistent === true ? earlier : null;
    return (
      continued ?? {
        clientId,
        isPersistent: !connect.clean,
        filters: new Map(),
        link: null,
        details,
      }
    );
  }

  /** `link` has its client id from now on. */
  attach(link: Link, session: Session, connect: ConnectPacket, nowMs: number): void {
    session.link = link;
    session.details = detailsOf(link, connect, nowMs);
    this.#sessions.set(session.clientId, session);
  }

  /** The connection ended: a session without persistence ends with it. */
  detach(link: Link, nowMs: number): void {
    const { session } = link;
    if (session?.link !== link) return;
    session.link = null;
    session.details = { ...session.details, will: null, sinceMs: nowMs };
    if (!session.isPersistent && this.#sessions.get(session.clientId) === session) {
      this.#sessions.delete(session.clientId);
    }
  }

  /** A CONNECT with Clean Session ended the session of this id ([MQTT-3.1.2-6]). */
  end(clientId: string): void {
    const session = this.#sessions.get(clientId);
    if (session === undefined) return;
    session.isPersistent = false;
    if (session.link === null) this.#sessions.delete(clientId);
  }

  get(clientId: string): Session | undefined {
    return this.#sessions.get(clientId);
  }

  all(): Iterable<Session> {
    return this.#sessions.values();
  }
}

export function clientInfo(session: Session): ClientInfo {
  return {
    ...session.details,
    clientId: session.clientId,
    isConnected: session.link !== null,
    cleanStart: !session.isPersistent,
    messagesIn: session.link?.messagesIn ?? 0,
    messagesOut: session.link?.messagesOut ?? 0,
  };
}

export function* subscriptionInfos(session: Session): Generator<SubscriptionInfo> {
  for (const [filter, qos] of session.filters) yield { clientId: session.clientId, filter, qos };
}

export function sessionRecord(clientId: string, details: Details): SessionRecord {
  const { will: _, ...kept } = details;
  return { clientId, ...kept };
}

export function detailsOf(link: Link, connect: ConnectPacket, nowMs: number): Details {
  const { will } = connect;
  return {
    username: link.username,
    protocolVersion: protocolVersion(connect.protocolVersion),
    keepAliveS: connect.keepalive,
    will:
      will === undefined
        ? null
        : { topic: will.topic, payload: will.payload, qos: isQoS(will.qos) ? will.qos : 0 },
    listener: link.peer.listener,
    peerAddress: link.peer.address,
    peerPort: link.peer.tcpPort,
    sinceMs: nowMs,
  };
}

function detailsFrom(record: SessionRecord): Details {
  return {
    username: typeof record["username"] === "string" ? record["username"] : null,
    protocolVersion: protocolVersion(record["protocolVersion"]),
    keepAliveS: numberOr0(record["keepAliveS"]),
    will: null,
    listener: textOrEmpty(record["listener"]),
    peerAddress: textOrEmpty(record["peerAddress"]),
    peerPort: numberOr0(record["peerPort"]),
    sinceMs: numberOr0(record["sinceMs"]),
  };
}

function parseSubscription({ topic, qos }: StoredSubscription): [TopicFilter, QoS][] {
  try {
    return [[topicFilter(topic), qos]];
  } catch {
    // A damaged record names no subscription.
    return [];
  }
}

function protocolVersion(value: unknown): ProtocolVersion {
  return value === 3 || value === 5 ? value : 4;
}

function numberOr0(value: unknown): number {
  return typeof value === "number" ? value : 0;
}

function textOrEmpty(value: unknown): string {
  return typeof value === "string" ? value : "";
}
