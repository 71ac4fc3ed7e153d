import type { Log } from "../../log/index.ts";
import type {
  SessionRecord,
  SessionStore,
  StoredMessage,
  StoredSubscription,
  StoredWill,
} from "../../mqtt/index.ts";
import {
  MAX_PACKET_ID,
  matches,
  packetIdOf,
  parseShare,
  SESSION_NEVER_EXPIRES,
} from "../../mqtt/index.ts";
import type { Clock } from "../../time/index.ts";
import { MalformedRecord } from "../bytes.ts";
import type { StoreCore } from "../core.ts";
import type { Database } from "../database.ts";
import { tableRange } from "../keys.ts";
import { type AedesPacket, messageOf, subscriptionOf } from "./aedes-packet.ts";
import { type MsgpackValue, readMsgpack } from "./msgpack.ts";

/** Operations recorded before they are committed. */
const OPERATIONS_PER_COMMIT = 2000;

/** Removes every row of the tables from `first` to `last`. */
export async function clearTables(database: Database, first: number, last: number): Promise<void> {
  for await (const rows of database.rows(tableRange(first, last))) {
    const batch = database.batch();
    for (const [key] of rows) batch.del(key);
    await database.write(batch, true);
  }
}

/**
 * Takes over what aedes-persistence-level 9.2.0 wrote: subscriptions, queued and half-delivered
 * messages, half-received ones, retained ones, wills. Packet Identifiers a client may still hold are
 * kept. The old rows stay until the new ones, and the mark that they are complete, are committed.
 */
export async function migrate(
  core: StoreCore,
  database: Database,
  deps: { log: Log; clock: Clock },
): Promise<void> {
  const migration = new Migration(core, database, deps.clock);
  await migration.run();
  core.markFormat();
  await core.committed(true);
  deps.log.info(migration.counts, "took over the store of aedes-persistence-level");
}

interface MigratedSession {
  readonly store: SessionStore;
  readonly subscriptions: StoredSubscription[];
  nextSeq: number;
  will: StoredWill | null;
  /** False for a client that had nothing but a will: it ends once that is published. */
  isKept: boolean;
}

class Migration {
  readonly #core: StoreCore;
  readonly #database: Database;
  readonly #clock: Clock;
  readonly #sessions = new Map<string, MigratedSession>();
  readonly counts = { sessions: 0, queued: 0, incoming: 0, retained: 0, wills: 0, unreadable: 0 };

  constructor(core: StoreCore, database: Database, clock: Clock) {
    this.#core = core;
    this.#database = database;
    this.#clock = clock;
  }

  async run(): Promise<void> {
    await this.#each("subscriptions:", (clientId, row) => this.#subscription(clientId, row));
    await this.#each("outgoing:", (clientId, row) => this.#outgoing(clientId, row));
    await this.#each("incoming:", (clientId, row) => this.#incoming(clientId, row));
    await this.#each("retained:", (_, row) => this.#retained(packetIn(row)));
    await this.#each("will:", (clientId, row) => this.#will(clientId, row));
    for (const session of this.#sessions.values()) session.store.put(this.#record(session));
    this.counts.sessions = this.#sessions.size;
    await this.#core.committed(true);
  }

  /** Calls `take` for each row under `prefix`; the first part of the rest of its key is a client id. */
  async #each(
    prefix: string,
    take: (clientId: string, row: ReadonlyMap<string, MsgpackValue>) => void,
  ): Promise<void> {
    const range = { gte: Buffer.from(prefix), lt: Buffer.from(`${prefix.slice(0, -1)};`) };
    for await (const rows of this.#database.rows(range)) {
      for (const [key, value] of rows) {
        try {
          take(clientIdIn(key.toString("utf8", prefix.length)), mapIn(value));
        } catch (err) {
          if (!(err instanceof MalformedRecord || err instanceof URIError)) throw err;
          this.counts.unreadable++;
        }
      }
      if (this.#core.pendingOperations >= OPERATIONS_PER_COMMIT) await this.#core.committed(true);
    }
  }

  #subscription(clientId: string, row: ReadonlyMap<string, MsgpackValue>): void {
    const topic = row.get("topic");
    const qos = row.get("qos");
    if (typeof topic !== "string") throw new MalformedRecord("a subscription without a filter");
    const subscription = subscriptionOf({
      topic,
      qos: qos === 1 || qos === 2 ? qos : 0,
      rh: Number(row.get("rh") ?? 0),
      rap: row.get("rap") === true,
      nl: row.get("nl") === true,
      ...optionalNumber("subscriptionIdentifier", row.get("subscriptionIdentifier")),
    });
    const session = this.#session(clientId);
    session.subscriptions.push(subscription);
    session.store.putSubscription(subscription);
  }

  #outgoing(clientId: string, row: ReadonlyMap<string, MsgpackValue>): void {
    const packet = packetIn(row);
    const session = this.#session(clientId);
    const seq = seqFor(session.nextSeq, packet.messageId);
    session.nextSeq = seq + 1;
    const message = this.#message(packet);
    const isRelease = packet.cmd === "pubrel";
    session.store.enqueue(copyOf(seq, isRelease ? RELEASED : message));
    if (isRelease) session.store.setReleased(seq);
    this.counts.queued++;
  }

  /**
   * A QoS 2 message aedes had received, and would have routed at its PUBREL. Here that is done at
   * PUBLISH, so it is routed now, and the mark keeps the client's repetition from being a second.
   */
  #incoming(clientId: string, row: ReadonlyMap<string, MsgpackValue>): void {
    const packet = packetIn(row);
    const packetId = packet.messageId;
    if (typeof packetId !== "number" || packetId < 1 || packetId > MAX_PACKET_ID) {
      throw new MalformedRecord("an incoming message without an identifier");
    }
    const message = this.#message({ ...packet, clientId });
    this.#session(clientId).store.putInbound(packetId);
    if (message.retain) this.#retain(message);
    const groups = new Set<string>();
    for (const session of this.#sessions.values()) {
      const subscription = bestMatch(session, clientId, message.topic, groups);
      if (subscription === null) continue;
      const copy = copyOf(session.nextSeq++, message);
      const qos = Math.min(message.qos, subscription.qos) === 2 ? 2 : 1;
      session.store.enqueue({ ...copy, qos });
    }
    this.counts.incoming++;
  }

  #retained(packet: AedesPacket): void {
    this.#retain({ ...this.#message(packet), retain: true });
    this.counts.retained++;
  }

  #retain(message: StoredMessage): void {
    if (message.payload.length === 0) this.#core.deleteRetained(message.topic);
    else this.#core.putRetained(message);
  }

  #will(clientId: string, row: ReadonlyMap<string, MsgpackValue>): void {
    const packet = packetIn(row);
    const delayS = packet.properties?.["willDelayInterval"];
    const isKnown = this.#sessions.has(clientId);
    const session = this.#session(clientId);
    session.isKept = isKnown;
    session.will = {
      message: this.#message({ ...packet, clientId }),
      delayS: typeof delayS === "number" ? delayS : 0,
      dueAtMs: null,
    };
    this.counts.wills++;
  }

  #session(clientId: string): MigratedSession {
    let session = this.#sessions.get(clientId);
    if (session === undefined) {
      const store = this.#core.session(clientId);
      session = { store, subscriptions: [], nextSeq: 0, will: null, isKept: true };
      this.#sessions.set(clientId, session);
    }
    return session;
  }

  #record({ nextSeq, will, isKept }: MigratedSession): SessionRecord {
    return {
      protocolVersion: 4,
      username: null,
      cleanStart: !isKept,
      keepAliveS: 0,
      expiryIntervalS: isKept ? SESSION_NEVER_EXPIRES : 0,
      expiresAtMs: null,
      seqLimit: nextSeq,
      will,
      listener: "",
      peerAddress: "",
      peerPort: 0,
      sinceMs: this.#clock.nowMs(),
      createdMs: this.#clock.nowMs(),
      connectedMs: this.#clock.nowMs(),
      isBridge: false,
    };
  }

  #message(packet: AedesPacket): StoredMessage {
    return messageOf(packet, { wallMs: this.#clock.nowMs(), gatewayMs: this.#core.nowMs() });
  }
}

/** The lowest sequence from `from` on that gives this Packet Identifier, if there is one. */
function seqFor(from: number, packetId: unknown): number {
  if (typeof packetId !== "number" || packetId < 1 || packetId > MAX_PACKET_ID) return from;
  return from + ((packetId - packetIdOf(from) + MAX_PACKET_ID) % MAX_PACKET_ID);
}

/** The strongest QoS ≥ 1 subscription that matches; one session for each shared group. */
function bestMatch(
  session: MigratedSession,
  publisher: string,
  topic: string,
  groups: Set<string>,
): StoredSubscription | null {
  let best: StoredSubscription | null = null;
  for (const subscription of session.subscriptions) {
    if (subscription.qos === 0 || subscription.qos <= (best?.qos ?? 0)) continue;
    if (subscription.noLocal && session.store.clientId === publisher) continue;
    const share = parseShare(subscription.filter);
    if (!matches(share?.filter ?? subscription.filter, topic)) continue;
    if (share !== null) {
      if (groups.has(subscription.filter)) continue;
      groups.add(subscription.filter);
    }
    best = subscription;
  }
  return best;
}

/** Stands for the message of a release, which aedes no longer has. */
const RELEASED = messageOf({}, { wallMs: 0, gatewayMs: 0 });

function copyOf(seq: number, message: StoredMessage) {
  const { qos, retain } = message;
  return { seq, message, qos, retain, subscriptionIds: [] };
}

function clientIdIn(rest: string): string {
  const end = rest.indexOf(":");
  return decodeURIComponent(end < 0 ? rest : rest.slice(0, end));
}

function mapIn(value: Buffer): ReadonlyMap<string, MsgpackValue> {
  const row = readMsgpack(value);
  if (row instanceof Map) return row;
  throw new MalformedRecord("a row that is no map");
}

/** A row as a packet; nil is what MessagePack makes of undefined. */
function packetIn(row: ReadonlyMap<string, MsgpackValue>): AedesPacket {
  const packet: AedesPacket = Object.create(null);
  for (const [name, value] of row) if (value !== null) packet[name] = plain(value);
  return packet;
}

function plain(value: MsgpackValue): unknown {
  if (!(value instanceof Map)) return Array.isArray(value) ? value.map(plain) : value;
  const object: Record<string, unknown> = Object.create(null);
  for (const [name, member] of value) if (member !== null) object[name] = plain(member);
  return object;
}

function optionalNumber<N extends string>(name: N, value: unknown): { [K in N]?: number } {
  return typeof value === "number" ? ({ [name]: value } as { [K in N]?: number }) : {};
}
