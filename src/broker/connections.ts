import { reasonOf } from "../errors/index.ts";
import type { Log } from "../log/index.ts";
import type { Peer } from "../mqtt/index.ts";
import type { Clock } from "../time/index.ts";
import type { Identity } from "./access.ts";
import { closeEvents, connackEvents, type StatusEvent } from "./client-status.ts";
import type { EngineClient } from "./engine.ts";
import { END, Link } from "./link.ts";
import type { BrokerPersistence } from "./persistence.ts";
import { detailsOf, Sessions, sessionRecord } from "./sessions.ts";
import { TroubleLog } from "./trouble-log.ts";

interface Parts {
  readonly log: Log;
  readonly clock: Clock;
  readonly persistence: BrokerPersistence;
  announce(events: readonly StatusEvent[]): void;
}

/** A client id is up to 64 KiB long; a log line shows this much. */
const SHOWN_CHARS = 128;

/** The connections and the sessions they use, and who is told of their coming and going. */
export class Connections {
  readonly sessions = new Sessions();
  readonly trouble: TroubleLog;
  readonly #parts: Parts;
  readonly #links = new WeakMap<object, Link>();
  readonly #open = new Set<Link>();
  /** Authenticated, and not yet the owner of its client id. */
  readonly #connecting = new Map<string, Link>();

  constructor(parts: Parts) {
    this.#parts = parts;
    this.trouble = new TroubleLog(parts.log, parts.clock);
  }

  open(engine: EngineClient, peer: Peer): Link {
    const link = new Link(engine, peer);
    this.#links.set(engine, link);
    this.#open.add(link);
    engine.conn.once("close", () => {
      this.#open.delete(link);
      this.#forgetConnecting(link);
    });
    return link;
  }

  of(client: object): Link | undefined {
    return this.#links.get(client);
  }

  all(): readonly Link[] {
    return [...this.#open];
  }

  identity(client: object): Identity {
    const link = this.#links.get(client);
    const clientId = link?.connect?.clientId ?? "";
    return { clientId, username: link?.username ?? null, address: link?.peer.address ?? "" };
  }

  /** The CONNECT of `link` was accepted: it continues its session, or gets a new one. */
  authenticated(link: Link): void {
    if (link.connect === null || link.engine.closed) return;
    link.session = this.sessions.begin(link, link.connect, this.#parts.clock.nowMs());
    this.#connecting.set(link.connect.clientId, link);
  }

  /** The authenticated connection that is about to own `clientId`. */
  connecting(clientId: string): Link | undefined {
    return this.#connecting.get(clientId);
  }

  /** Stores the session `clientId` is about to continue or create. */
  async store(clientId: string): Promise<void> {
    const link = this.#connecting.get(clientId);
    if (link === undefined || link.connect === null) return;
    const details = detailsOf(link, link.connect, this.#parts.clock.nowMs());
    await this.#parts.persistence.saveSession(sessionRecord(clientId, details));
  }

  /** The client owns its client id. */
  attached(link: Link): void {
    if (link.session === null || link.connect === null) return;
    this.#forgetConnecting(link);
    this.sessions.attach(link, link.session, link.connect, this.#parts.clock.nowMs());
  }

  /** A CONNACK with `returnCode` was sent. */
  answered(link: Link, returnCode: number): void {
    const { connect, peer } = link;
    if (connect === null) return;
    const nowMs = this.#parts.clock.nowMs();
    this.#parts.announce(connackEvents({ connect, address: peer.address }, returnCode, nowMs));
    if (returnCode !== 0) return;
    link.isAnnounced = true;
    const { protocolVersion, clean: cleanStart } = connect;
    this.#parts.log.info({ ...fieldsOf(link), protocolVersion, cleanStart }, "client connected");
  }

  /** The client no longer owns its client id. */
  detached(link: Link): void {
    const { connect, peer, session } = link;
    if (connect === null || session === null) return;
    if (link.engine._disconnected) link.end = END.normal;
    const wasCurrent = session.link === link;
    const nowMs = this.#parts.clock.nowMs();
    this.sessions.detach(link, nowMs);
    if (wasCurrent && session.isPersistent) {
      const record = sessionRecord(session.clientId, session.details);
      this.report(this.#parts.persistence.saveSession(record), "save a session");
    }
    if (!link.isAnnounced) return;
    this.#parts.announce(closeEvents({ connect, address: peer.address }, link.end.code, nowMs));
    this.#parts.log.info({ ...fieldsOf(link), reason: link.end.text }, "client disconnected");
  }

  /** The connection is being closed for an error. */
  failed(link: Link, err: Error): void {
    if (link.end === END.lost) link.end = { code: END.lost.code, text: err.message };
    this.trouble.report(err.message, fieldsOf(link));
  }

  /** Logs the failure of work nobody waits for. */
  report(work: Promise<unknown>, what: string): void {
    work.catch((err: unknown) => {
      this.#parts.log.error({ err: reasonOf(err), what }, "the store failed");
    });
  }

  #forgetConnecting(link: Link): void {
    const clientId = link.connect?.clientId;
    if (clientId !== undefined && this.#connecting.get(clientId) === link) {
      this.#connecting.delete(clientId);
    }
  }
}

function fieldsOf({ connect, peer }: Link): { clientId: string; listener: string; peer: string } {
  const clientId = connect?.clientId.slice(0, SHOWN_CHARS) ?? "";
  return { clientId, listener: peer.listener, peer: `${peer.address}:${peer.tcpPort}` };
}
