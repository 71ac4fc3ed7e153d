import { Readable } from "node:stream";
import type {
  BrokerPersistence,
  ClientRef,
  ClientSubscription,
  IncomingRef,
  StoredMessage,
  StoredSubscription,
} from "./persistence.ts";

/** What the broker knows and aedes does not tell its persistence. */
export interface PersistenceRules {
  /** Whether the client may have the filter; asked once per filter of a SUBSCRIBE. */
  isGranted(client: ClientRef, subscription: StoredSubscription): boolean;
  /** The stored filters a session that is being continued may keep. */
  mayKeep(clientId: string, subscription: StoredSubscription): boolean;
  /** Stores the session a CONNECT creates or continues. */
  beginSession(clientId: string): Promise<void>;
  /** A CONNECT with Clean Session ends the session of this id. */
  endSession(clientId: string): void;
  /** False for a refused or replaced connection, which must not touch its id's session. */
  ownsSession(client: ClientRef): boolean;
  usernameOf(client: ClientRef): string | null;
}

/**
 * Stands between aedes 1.2.0's client and the store where that client asks for the wrong thing:
 *
 * - for each granted filter of a SUBSCRIBE it stores all filters of the packet, refused ones too;
 * - it clears the incoming QoS 2 identifiers of a client id for a connection that was refused;
 * - it never clears the messages queued for a session that a Clean Session CONNECT ends;
 * - it redelivers without DUP ([MQTT-3.3.1-1]).
 */
export class GuardedPersistence
  implements Omit<BrokerPersistence, "sessions" | "saveSession" | "limitQueues" | "retainedCount">
{
  readonly #store: BrokerPersistence;
  readonly #rules: PersistenceRules;
  readonly #added = new WeakMap<readonly StoredSubscription[], Promise<void>>();

  constructor(store: BrokerPersistence, rules: PersistenceRules) {
    this.#store = store;
    this.#rules = rules;
  }

  // aedes insists on an `async` function.
  async setup(broker: { readonly id: string }): Promise<void> {
    await this.#store.setup(broker);
  }

  async addSubscriptions(
    client: ClientRef,
    subscriptions: readonly StoredSubscription[],
  ): Promise<void> {
    if (!this.#rules.ownsSession(client)) return;
    let added = this.#added.get(subscriptions);
    if (added === undefined) {
      const granted = subscriptions.filter((wanted) => this.#rules.isGranted(client, wanted));
      added = this.#store.addSubscriptions(client, granted);
      this.#added.set(subscriptions, added);
    }
    await added;
  }

  async removeSubscriptions(client: ClientRef, filters: readonly string[]): Promise<void> {
    if (this.#rules.ownsSession(client)) await this.#store.removeSubscriptions(client, filters);
  }

  /** aedes asks once, when a CONNECT continues a session. */
  async subscriptionsByClient(client: ClientRef): Promise<StoredSubscription[]> {
    await this.#rules.beginSession(client.id);
    const stored = await this.#store.subscriptionsByClient(client);
    const kept = stored.filter((subscription) => this.#rules.mayKeep(client.id, subscription));
    if (kept.length < stored.length) {
      const lost = stored.filter((subscription) => !kept.includes(subscription));
      await this.#store.removeSubscriptions(
        client,
        lost.map(({ topic }) => topic),
      );
    }
    return kept;
  }

  /** aedes asks once, when a CONNECT with Clean Session was accepted. */
  async cleanSubscriptions(client: ClientRef): Promise<void> {
    this.#rules.endSession(client.id);
    await this.#store.cleanSubscriptions(client);
  }

  async cleanIncoming(client: ClientRef): Promise<void> {
    if (this.#rules.ownsSession(client)) await this.#store.cleanIncoming(client);
  }

  outgoingStream(client: ClientRef): Readable {
    return Readable.from(markRedelivered(this.#store.outgoingStream(client)));
  }

  async putWill(client: ClientRef, packet: object): Promise<void> {
    // Whose will it is decides whether it may be published after a restart.
    await this.#store.putWill(client, { ...packet, username: this.#rules.usernameOf(client) });
  }

  storeRetained(packet: StoredMessage): Promise<void> {
    return this.#store.storeRetained(packet);
  }

  createRetainedStream(filter: string): Readable {
    return this.#store.createRetainedStream(filter);
  }

  createRetainedStreamCombi(filters: readonly string[]): Readable {
    return this.#store.createRetainedStreamCombi(filters);
  }

  subscriptionsByTopic(topic: string): Promise<ClientSubscription[]> {
    return this.#store.subscriptionsByTopic(topic);
  }

  countOffline(): Promise<{ subsCount: number; clientsCount: number }> {
    return this.#store.countOffline();
  }

  outgoingEnqueue(
    subscription: { clientId: string; qos?: number },
    packet: StoredMessage,
  ): Promise<void> {
    return this.#store.outgoingEnqueue(subscription, packet);
  }

  outgoingEnqueueCombi(
    subscriptions: readonly ClientSubscription[],
    packet: StoredMessage,
  ): Promise<void> {
    return this.#store.outgoingEnqueueCombi(subscriptions, packet);
  }

  outgoingUpdate(client: ClientRef, packet: { messageId?: number }): Promise<void> {
    return this.#store.outgoingUpdate(client, packet);
  }

  outgoingClearMessageId(
    client: ClientRef,
    packet: { messageId?: number },
  ): Promise<object | undefined> {
    return this.#store.outgoingClearMessageId(client, packet);
  }

  incomingStorePacket(client: ClientRef, packet: IncomingRef): Promise<void> {
    return this.#store.incomingStorePacket(client, packet);
  }

  incomingGetPacket(client: ClientRef, packet: IncomingRef): Promise<object> {
    return this.#store.incomingGetPacket(client, packet);
  }

  incomingDelPacket(client: ClientRef, packet: IncomingRef): Promise<void> {
    return this.#store.incomingDelPacket(client, packet);
  }

  getWill(client: ClientRef): Promise<object | undefined> {
    return this.#store.getWill(client);
  }

  delWill(client: ClientRef): Promise<object | undefined> {
    return this.#store.delWill(client);
  }

  streamWill(brokers?: object): Readable {
    return this.#store.streamWill(brokers);
  }

  getClientList(topic: string): Readable {
    return this.#store.getClientList(topic);
  }

  destroy(): Promise<void> {
    return this.#store.destroy();
  }
}

/** A message that has a packet identifier was sent before ([MQTT-3.3.1-1]). */
async function* markRedelivered(
  queue: AsyncIterable<StoredMessage>,
): AsyncGenerator<StoredMessage> {
  for await (const packet of queue) {
    const wasSent = packet.messageId !== undefined && packet.cmd === "publish";
    yield wasSent ? { ...packet, dup: true } : packet;
  }
}
