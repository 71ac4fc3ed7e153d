import { Readable } from "node:stream";
import { deserialize, serialize } from "node:v8";
import AsyncLevelPersistence from "aedes-persistence-level/asyncPersistence.js";
import {
  matches,
  type QueueEntry,
  SESSION_NEVER_EXPIRES,
  type StoredSubscription,
} from "../../mqtt/index.ts";
import type { Clock } from "../../time/index.ts";
import type { StoreCore } from "../core.ts";
import type { Database } from "../database.ts";
import type { StoredSession } from "../session-store.ts";
import {
  type AedesPacket,
  type AedesSubscription,
  aedesSubscriptionOf,
  extensionOf,
  type Moment,
  messageOf,
  packetOf,
  releasedPacketOf,
  subscriptionOf,
} from "./aedes-packet.ts";
import { FilterIndex } from "./filter-index.ts";
import { TextTable } from "./text-table.ts";

/** Entries read from a queue at once. */
const ENTRIES_PER_READ = 100;
const BYTES_PER_READ = 1_048_576;

export interface GatewayPersistenceDeps {
  readonly clock: Clock;
  core(): StoreCore;
  database(): Database;
  stop(): Promise<void>;
}

interface ClientRef {
  readonly id: string;
}

/** Where a client's queued packets are: by aedes's own number of the message, and by Packet Identifier. */
interface Positions {
  readonly byCounter: Map<string, number>;
  readonly byPacketId: Map<number, number>;
}

/**
 * The store as an aedes persistence. Subscriptions, retained messages and queues are the engine's
 * own; every method resolves once its change is committed. It differs from aedes-persistence-level
 * 9.2.0, which it extends, where that is wrong: a queue keeps its order over restarts and through
 * new broker ids, MQTT 5 properties survive the queue, an exact retained topic is looked up instead
 * of reading all of them, and what has been acknowledged has been fsynced. Wills, which the engine
 * keeps in its sessions, are aedes's own here: that code is used as it is.
 */
export class GatewayPersistence extends AsyncLevelPersistence {
  readonly #deps: GatewayPersistenceDeps;
  readonly #table: TextTable;
  readonly #filters = new FilterIndex();
  /** Subscriptions by client and filter, in the order they were made. */
  readonly #subscriptions = new Map<string, Map<string, StoredSubscription>>();
  readonly #positions = new Map<string, Promise<Positions>>();

  constructor(deps: GatewayPersistenceDeps) {
    const table = new TextTable(deps.core, deps.database);
    super(table);
    this.#deps = deps;
    this.#table = table;
  }

  override async setup(broker: { readonly id: string }): Promise<void> {
    await super.setup(broker);
    await this.#core.watchSubscriptions({
      subscribed: (clientId, filter, subscription) => {
        if (subscription === null) this.#forget(clientId, filter);
        else this.#note(clientId, subscription);
      },
      ended: (clientId) => this.#forgetAll(clientId),
    });
  }

  async storeRetained(packet: AedesPacket): Promise<void> {
    const message = messageOf(packet, this.#now);
    if (message.payload.length === 0) this.#core.deleteRetained(message.topic);
    else this.#core.putRetained({ ...message, extension: extensionOf(packet) });
    await this.#core.committed(true);
  }

  createRetainedStream(pattern: string): Readable {
    return this.createRetainedStreamCombi([pattern]);
  }

  createRetainedStreamCombi(patterns: string[]): Readable {
    return Readable.from(this.#retainedBy(patterns));
  }

  async addSubscriptions(client: ClientRef, subscriptions: AedesSubscription[]): Promise<void> {
    const session = this.#session(client.id);
    for (const subscription of subscriptions) session.putSubscription(subscriptionOf(subscription));
    await this.#core.committed(true);
  }

  async removeSubscriptions(client: ClientRef, topics: string[]): Promise<void> {
    const session = this.#core.knownSession(client.id);
    for (const topic of topics) {
      if (this.#subscriptions.get(client.id)?.has(topic)) session?.deleteSubscription(topic);
    }
    this.#endIfEmpty(client.id);
    await this.#core.committed(true);
  }

  async cleanSubscriptions(client: ClientRef): Promise<void> {
    const topics = [...(this.#subscriptions.get(client.id)?.keys() ?? [])];
    await this.removeSubscriptions(client, topics);
  }

  async subscriptionsByClient(client: ClientRef): Promise<AedesSubscription[]> {
    const subscriptions = this.#subscriptions.get(client.id)?.values() ?? [];
    return [...subscriptions].map(aedesSubscriptionOf);
  }

  async subscriptionsByTopic(
    topic: string,
  ): Promise<({ clientId: string } & Omit<AedesSubscription, "subscriptionIdentifier">)[]> {
    return this.#filters.match(topic).map(({ clientId, subscription }) => {
      const { subscriptionIdentifier: _, ...rest } = aedesSubscriptionOf(subscription);
      return { clientId, ...rest };
    });
  }

  async countOffline(): Promise<{ subsCount: number; clientsCount: number }> {
    let subsCount = 0;
    for (const subscriptions of this.#subscriptions.values()) {
      for (const { qos } of subscriptions.values()) if (qos > 0) subsCount++;
    }
    return { subsCount, clientsCount: this.#subscriptions.size };
  }

  getClientList(topic: string): Readable {
    const clients: string[] = [];
    for (const [clientId, subscriptions] of this.#subscriptions) {
      if (subscriptions.has(topic)) clients.push(clientId);
    }
    return Readable.from(clients);
  }

  async outgoingEnqueue(subscription: { clientId: string }, packet: AedesPacket): Promise<void> {
    await this.outgoingEnqueueCombi([subscription], packet);
  }

  async outgoingEnqueueCombi(
    subscriptions: readonly { clientId: string }[],
    packet: AedesPacket,
  ): Promise<void> {
    const queued = queuedPacket(packet);
    const message = messageOf(queued, this.#now);
    const extension = extensionOf(queued);
    const { qos, retain } = message;
    for (const { clientId } of subscriptions) {
      const positions = await this.#positionsOf(clientId);
      const session = this.#session(clientId);
      const seq = session.lastSeq + 1;
      session.enqueue({ seq, message, qos, retain, subscriptionIds: [], extension });
      notePosition(positions, queued, seq);
    }
    await this.#core.committed(true);
  }

  /** @throws Error when nothing queued has the packet's number or Packet Identifier (rejects). */
  async outgoingUpdate(client: ClientRef, packet: AedesPacket): Promise<void> {
    const positions = await this.#positionsOf(client.id);
    const session = this.#session(client.id);
    const seq = positionOf(positions, packet);
    const [entry] = seq === undefined ? [] : await session.readQueue(seq, 1, 1);
    if (seq === undefined || entry?.seq !== seq) throw new Error("no such packet");
    const extension = extensionOf(packet);
    if (packet.cmd === "pubrel") session.store({ seq, message: null, extension });
    else {
      const message = messageOf(packet, this.#now);
      const { qos, retain } = message;
      session.store({ seq, message, qos, retain, subscriptionIds: [], extension });
    }
    notePosition(positions, packet, seq);
    await this.#core.committed(true);
  }

  async outgoingClearMessageId(
    client: ClientRef,
    packet: AedesPacket,
  ): Promise<AedesPacket | undefined> {
    const positions = await this.#positionsOf(client.id);
    const { messageId } = packet;
    const seq = messageId === undefined ? undefined : positions.byPacketId.get(messageId);
    const session = this.#core.knownSession(client.id);
    if (seq === undefined || messageId === undefined || session === undefined) return undefined;
    const [entry] = await session.readQueue(seq, 1, 1);
    positions.byPacketId.delete(messageId);
    if (entry?.seq !== seq) return undefined;
    const cleared = asPacket(entry);
    if (cleared.brokerId !== undefined) positions.byCounter.delete(counterName(cleared));
    session.dequeue(seq);
    this.#endIfEmpty(client.id);
    await this.#core.committed(true);
    return cleared;
  }

  outgoingStream(client: ClientRef): Readable {
    return Readable.from(this.#outgoing(client.id));
  }

  async incomingStorePacket(client: ClientRef, packet: AedesPacket): Promise<void> {
    const stored = { ...queuedPacket(packet), messageId: packet.messageId };
    await this.#table.put(incomingKey(client.id, packet.messageId), serialize(stored));
  }

  /** @throws Error when no such packet is stored (rejects). */
  async incomingGetPacket(client: ClientRef, packet: AedesPacket): Promise<AedesPacket> {
    const stored = await this.#table.get(incomingKey(client.id, packet.messageId));
    if (stored === undefined) throw new Error("no such packet");
    return deserialize(stored);
  }

  async incomingDelPacket(client: ClientRef, packet: AedesPacket): Promise<void> {
    await this.#table.del(incomingKey(client.id, packet.messageId));
  }

  async cleanIncoming(client: ClientRef): Promise<void> {
    const prefix = incomingPrefix(client.id);
    await this.#table.clear({ gte: prefix, lt: `${prefix.slice(0, -1)};` });
  }

  async destroy(): Promise<void> {
    await this.#deps.stop();
  }

  get #core(): StoreCore {
    return this.#deps.core();
  }

  get #now(): Moment {
    return { wallMs: this.#deps.clock.nowMs(), gatewayMs: this.#core.nowMs() };
  }

  /** The client's session, made with it is not there: aedes knows sessions only by what they hold. */
  #session(clientId: string): StoredSession {
    const known = this.#core.knownSession(clientId);
    if (known !== undefined) return known;
    const session = this.#core.storedSession(clientId);
    session.put({
      protocolVersion: 4,
      username: null,
      cleanStart: false,
      keepAliveS: 0,
      expiryIntervalS: SESSION_NEVER_EXPIRES,
      expiresAtMs: null,
      seqLimit: 0,
      will: null,
      listener: "",
      peerAddress: "",
      peerPort: 0,
      sinceMs: this.#deps.clock.nowMs(),
      createdMs: this.#deps.clock.nowMs(),
      connectedMs: this.#deps.clock.nowMs(),
      isBridge: false,
    });
    return session;
  }

  #endIfEmpty(clientId: string): void {
    const session = this.#core.knownSession(clientId);
    if (session === undefined || session.count > 0 || this.#subscriptions.has(clientId)) return;
    if (session.inboundOnDisk.size > 0) return;
    session.delete();
  }

  #note(clientId: string, subscription: StoredSubscription): void {
    let subscriptions = this.#subscriptions.get(clientId);
    if (subscriptions === undefined) {
      subscriptions = new Map();
      this.#subscriptions.set(clientId, subscriptions);
    }
    subscriptions.set(subscription.filter, subscription);
    // aedes delivers QoS 0 without the persistence.
    if (subscription.qos > 0) this.#filters.add(clientId, subscription);
    else this.#filters.remove(clientId, subscription.filter);
  }

  #forget(clientId: string, filter: string): void {
    const subscriptions = this.#subscriptions.get(clientId);
    subscriptions?.delete(filter);
    if (subscriptions?.size === 0) this.#subscriptions.delete(clientId);
    this.#filters.remove(clientId, filter);
  }

  #forgetAll(clientId: string): void {
    for (const filter of this.#subscriptions.get(clientId)?.keys() ?? []) {
      this.#filters.remove(clientId, filter);
    }
    this.#subscriptions.delete(clientId);
    this.#positions.delete(clientId);
  }

  async *#retainedBy(patterns: readonly string[]): AsyncGenerator<AedesPacket> {
    const wildcards = patterns.filter((pattern) => /[+#]/.test(pattern));
    for (const topic of patterns) {
      if (wildcards.includes(topic)) continue;
      const message = await this.#core.getRetained(topic);
      if (message !== null) yield packetOf(message, message.extension, message.qos, true);
    }
    if (wildcards.length === 0) return;
    await this.#core.committed(true);
    for await (const batch of this.#core.retained()) {
      for (const { topic, message } of batch) {
        if (!wildcards.some((pattern) => matches(pattern, topic))) continue;
        if (patterns.includes(topic)) continue;
        const whole = message ?? (await this.#core.getRetained(topic));
        if (whole !== null) yield packetOf(whole, whole.extension, whole.qos, true);
      }
    }
  }

  async *#outgoing(clientId: string): AsyncGenerator<AedesPacket> {
    const session = this.#core.knownSession(clientId);
    let from = 0;
    while (session !== undefined) {
      const entries = await session.readQueue(from, ENTRIES_PER_READ, BYTES_PER_READ);
      const last = entries.at(-1);
      if (last === undefined) return;
      for (const entry of entries) yield asPacket(entry);
      from = last.seq + 1;
    }
  }

  #positionsOf(clientId: string): Promise<Positions> {
    let positions = this.#positions.get(clientId);
    if (positions === undefined) {
      positions = this.#readPositions(clientId);
      this.#positions.set(clientId, positions);
    }
    return positions;
  }

  async #readPositions(clientId: string): Promise<Positions> {
    const positions: Positions = { byCounter: new Map(), byPacketId: new Map() };
    const session = this.#core.knownSession(clientId);
    let from = 0;
    while (session !== undefined) {
      const entries = await session.readQueue(from, ENTRIES_PER_READ, BYTES_PER_READ);
      const last = entries.at(-1);
      if (last === undefined) break;
      for (const entry of entries) notePosition(positions, asPacket(entry), entry.seq);
      from = last.seq + 1;
    }
    return positions;
  }
}

/** What aedes's own Packet keeps of a packet that is queued: the identifier is given later. */
function queuedPacket(packet: AedesPacket): AedesPacket {
  const { clientId, nl, properties, messageExpiry } = packet;
  return {
    ...(clientId === undefined ? undefined : { clientId }),
    ...(nl === undefined ? undefined : { nl }),
    ...(properties === undefined ? undefined : { properties }),
    ...(messageExpiry === undefined ? undefined : { messageExpiry }),
    cmd: packet.cmd ?? "publish",
    ...(packet.brokerId === undefined ? undefined : { brokerId: packet.brokerId }),
    brokerCounter: packet.brokerCounter ?? 0,
    topic: packet.topic ?? "",
    payload: packet.payload ?? Buffer.alloc(0),
    qos: packet.qos ?? 0,
    retain: packet.retain ?? false,
    dup: packet["dup"] ?? false,
    ...((packet.qos ?? 0) > 0 ? { messageId: undefined } : undefined),
  };
}

function asPacket(entry: QueueEntry): AedesPacket {
  if (entry.message === null) return releasedPacketOf(entry);
  return packetOf(entry.message, entry.extension, entry.qos, entry.retain);
}

function counterName({ brokerId, brokerCounter }: AedesPacket): string {
  return `${brokerId}:${brokerCounter}`;
}

function notePosition(positions: Positions, packet: AedesPacket, seq: number): void {
  if (packet.brokerId !== undefined) positions.byCounter.set(counterName(packet), seq);
  if (packet.messageId !== undefined) positions.byPacketId.set(packet.messageId, seq);
}

function positionOf(positions: Positions, packet: AedesPacket): number | undefined {
  if (packet.brokerId !== undefined) return positions.byCounter.get(counterName(packet));
  return packet.messageId === undefined ? undefined : positions.byPacketId.get(packet.messageId);
}

function incomingPrefix(clientId: string): string {
  return `incoming:${encodeURIComponent(clientId)}:`;
}

function incomingKey(clientId: string, messageId: number | undefined): string {
  return `${incomingPrefix(clientId)}${String(messageId).padStart(16, "0")}`;
}
