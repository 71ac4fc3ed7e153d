import { Readable } from "node:stream";
import AsyncLevelPersistence from "aedes-persistence-level/asyncPersistence.js";
import { isQoS, type QoS } from "../mqtt/index.ts";
import { type Database, keysUnder } from "./database.ts";
import { type DeliveryUpdate, OutgoingQueues, type QueuedPacket } from "./outgoing-queues.ts";
import type { StoredPacket } from "./record.ts";
import { RetainedMessages } from "./retained-messages.ts";
import { type SessionRecord, Sessions } from "./sessions.ts";
import {
  type ClientSubscription,
  type StoredSubscription,
  SubscriptionIndex,
} from "./subscription-index.ts";

interface ClientRef {
  readonly id: string;
}

interface IncomingPacket {
  readonly messageId: number;
}

/** Where a queued message was dropped, and for whom. */
export type QueueDropListener = (clientId: string) => void;

/**
 * aedes's persistence contract on LevelDB: aedes-persistence-level for wills, incoming QoS 2 and the
 * records of subscriptions, our own parts where that package loses, reorders or reads too much.
 */
export class GatewayPersistence extends AsyncLevelPersistence {
  #index = new SubscriptionIndex();
  readonly #queues: OutgoingQueues;
  readonly #retained: RetainedMessages;
  readonly #sessions: Sessions;
  /** Packet identifiers of incoming QoS 2 messages, by client. */
  readonly #incoming = new Map<string, Set<number>>();
  readonly #db: Database;
  #onQueueDrop: QueueDropListener = () => undefined;

  constructor(db: Database) {
    super(db);
    this.#db = db;
    this.#queues = new OutgoingQueues(db, (clientId) => this.#onQueueDrop(clientId));
    this.#retained = new RetainedMessages(db);
    this.#sessions = new Sessions(db);
  }

  /** Reads the indexes from the opened database. @throws what LevelDB says of a damaged one. */
  async load(): Promise<void> {
    await Promise.all([this.#queues.load(), this.#retained.load(), this.#sessions.load()]);
    this.#incoming.clear();
    for await (const key of this.#db.keys(keysUnder("incoming:"))) {
      const [, clientId = "", messageId = ""] = key.split(":");
      this.#receivedBy(decodeURIComponent(clientId)).add(Number(messageId));
    }
    this.#index = new SubscriptionIndex();
    const clientIds = new Set<string>();
    for await (const key of this.#db.keys(keysUnder("subscriptions:"))) {
      clientIds.add(decodeURIComponent(key.split(":", 2)[1] ?? ""));
    }
    for (const clientId of clientIds) {
      for (const raw of await super.subscriptionsByClient({ id: clientId })) {
        const subscription = parseSubscription(raw);
        if (subscription !== null) this.#index.set(clientId, subscription);
      }
    }
  }

  /** Bounds every session's queue from now on; `onDrop` hears of each message that had to go. */
  limitQueues(maxMessages: number, onDrop: QueueDropListener): void {
    this.#queues.limit = maxMessages;
    this.#onQueueDrop = onDrop;
  }

  /** The stored sessions, as they were saved. */
  sessions(): readonly SessionRecord[] {
    return this.#sessions.all();
  }

  /** Creates or replaces a session's record. */
  async saveSession(record: SessionRecord): Promise<void> {
    await this.#sessions.save(record);
  }

  sessionCount(): number {
    return this.#sessions.count;
  }

  retainedCount(): number {
    return this.#retained.count;
  }

  queuedCount(): number {
    return this.#queues.count;
  }

  override async addSubscriptions(
    client: ClientRef,
    subscriptions: readonly StoredSubscription[],
  ): Promise<void> {
    await super.addSubscriptions(client, subscriptions);
    for (const subscription of subscriptions) this.#index.set(client.id, subscription);
  }

  override async removeSubscriptions(client: ClientRef, topics: readonly string[]): Promise<void> {
    for (const topic of topics) this.#index.delete(client.id, topic);
    await super.removeSubscriptions(client, topics);
  }

  override async subscriptionsByClient(client: ClientRef): Promise<StoredSubscription[]> {
    return this.#index.of(client.id).map(({ clientId: _, ...subscription }) => subscription);
  }

  async subscriptionsByTopic(topic: string): Promise<ClientSubscription[]> {
    return this.#index.match(topic);
  }

  /** Ends the session: its subscriptions, queued messages and record go. */
  async cleanSubscriptions(client: ClientRef): Promise<void> {
    const filters = this.#index.of(client.id).map(({ topic }) => topic);
    await Promise.all([
      filters.length > 0 ? this.removeSubscriptions(client, filters) : undefined,
      this.#queues.clear(client.id),
      this.#sessions.delete(client.id),
    ]);
  }

  override async incomingStorePacket(client: ClientRef, packet: IncomingPacket): Promise<void> {
    this.#receivedBy(client.id).add(packet.messageId);
    await super.incomingStorePacket(client, packet);
  }

  /**
   * Rejects without a look at the disk for an identifier that is not there, which is nearly every
   * one: reads in the thread pool would hand QoS 2 messages on out of order.
   */
  override async incomingGetPacket(client: ClientRef, packet: IncomingPacket): Promise<object> {
    if (this.#incoming.get(client.id)?.has(packet.messageId) !== true) {
      throw new Error("no such packet");
    }
    return super.incomingGetPacket(client, packet);
  }

  override async incomingDelPacket(client: ClientRef, packet: IncomingPacket): Promise<void> {
    const received = this.#incoming.get(client.id);
    received?.delete(packet.messageId);
    if (received?.size === 0) this.#incoming.delete(client.id);
    await super.incomingDelPacket(client, packet);
  }

  override async cleanIncoming(client: ClientRef): Promise<void> {
    if (this.#incoming.delete(client.id)) await super.cleanIncoming(client);
  }

  async storeRetained(packet: StoredPacket): Promise<void> {
    await this.#retained.store(packet);
  }

  createRetainedStream(filter: string): Readable {
    return this.createRetainedStreamCombi([filter]);
  }

  createRetainedStreamCombi(filters: readonly string[]): Readable {
    return Readable.from(this.#retained.stream(filters));
  }

  async outgoingEnqueue(
    subscription: { readonly clientId: string; readonly qos?: number },
    packet: StoredPacket,
  ): Promise<void> {
    // A queued message has the lower of its own and the subscription's QoS (MQTT 5.0 §3.8.4).
    const qos = Math.min(packet.qos, subscription.qos ?? packet.qos);
    const { cmd = "publish", topic, payload, retain = false, dup = false } = packet;
    const { brokerId = "", brokerCounter = 0 } = packet;
    await this.#queues.enqueue(subscription.clientId, {
      cmd,
      topic,
      payload,
      qos,
      retain,
      dup,
      brokerId,
      brokerCounter,
    });
  }

  async outgoingEnqueueCombi(
    subscriptions: readonly ClientSubscription[],
    packet: StoredPacket,
  ): Promise<void> {
    const highest = new Map<string, QoS>();
    for (const { clientId, qos } of subscriptions) {
      if (qos > (highest.get(clientId) ?? 0)) highest.set(clientId, qos);
    }
    await Promise.all(
      [...highest].map(([clientId, qos]) => this.outgoingEnqueue({ clientId, qos }, packet)),
    );
  }

  async outgoingUpdate(client: ClientRef, packet: DeliveryUpdate): Promise<void> {
    await this.#queues.update(client.id, packet);
  }

  async outgoingClearMessageId(
    client: ClientRef,
    packet: { readonly messageId?: number },
  ): Promise<QueuedPacket | undefined> {
    if (packet.messageId === undefined) return undefined;
    return this.#queues.acknowledge(client.id, packet.messageId);
  }

  outgoingStream(client: ClientRef): Readable {
    return Readable.from(this.#queues.stream(client.id));
  }

  #receivedBy(clientId: string): Set<number> {
    const received = this.#incoming.get(clientId) ?? new Set();
    this.#incoming.set(clientId, received);
    return received;
  }
}

function parseSubscription(raw: object): StoredSubscription | null {
  const { topic, qos } = raw as Partial<Record<"topic" | "qos", unknown>>;
  return typeof topic === "string" && isQoS(qos) ? { ...raw, topic, qos } : null;
}
