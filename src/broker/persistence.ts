import type { Readable } from "node:stream";

/** A session as it is named to the persistence. */
export interface ClientRef {
  readonly id: string;
}

/** One stored subscription; `topic` is the filter as subscribed. */
export interface StoredSubscription {
  readonly topic: string;
  readonly qos: 0 | 1 | 2;
}

/** A stored subscription and whose it is. */
export interface ClientSubscription extends StoredSubscription {
  readonly clientId: string;
}

/** A message as aedes stores it. */
export interface StoredMessage {
  readonly cmd?: string;
  readonly topic: string;
  readonly payload: Buffer | string;
  readonly qos: number;
  readonly retain?: boolean;
  readonly dup?: boolean;
  readonly brokerId?: string;
  readonly brokerCounter?: number;
  messageId?: number | undefined;
}

/** A stored session; the members besides the client id are the broker's own. */
export interface SessionRecord {
  readonly clientId: string;
  readonly [member: string]: unknown;
}

/** An incoming QoS 2 message. */
export interface IncomingRef {
  readonly messageId: number;
}

interface PacketRef {
  readonly messageId?: number;
}

/**
 * aedes's asynchronous persistence contract (aedes-persistence 11), with what the gateway needs
 * beyond it: stored sessions, bounded queues, and the number of retained messages. Every promise
 * resolves once the change is safe.
 */
export interface BrokerPersistence {
  setup(broker: { readonly id: string }): Promise<void>;
  storeRetained(packet: StoredMessage): Promise<void>;
  createRetainedStream(filter: string): Readable;
  createRetainedStreamCombi(filters: readonly string[]): Readable;
  addSubscriptions(client: ClientRef, subscriptions: readonly StoredSubscription[]): Promise<void>;
  removeSubscriptions(client: ClientRef, filters: readonly string[]): Promise<void>;
  subscriptionsByClient(client: ClientRef): Promise<StoredSubscription[]>;
  /** Those with QoS ≥ 1 only: nothing is queued for the others. */
  subscriptionsByTopic(topic: string): Promise<ClientSubscription[]>;
  /** Ends the session with everything in it. */
  cleanSubscriptions(client: ClientRef): Promise<void>;
  countOffline(): Promise<{ subsCount: number; clientsCount: number }>;
  outgoingEnqueue(
    subscription: { clientId: string; qos?: number },
    packet: StoredMessage,
  ): Promise<void>;
  outgoingEnqueueCombi(
    subscriptions: readonly ClientSubscription[],
    packet: StoredMessage,
  ): Promise<void>;
  outgoingUpdate(client: ClientRef, packet: PacketRef): Promise<void>;
  outgoingClearMessageId(client: ClientRef, packet: PacketRef): Promise<object | undefined>;
  outgoingStream(client: ClientRef): Readable;
  incomingStorePacket(client: ClientRef, packet: IncomingRef): Promise<void>;
  incomingGetPacket(client: ClientRef, packet: IncomingRef): Promise<object>;
  incomingDelPacket(client: ClientRef, packet: IncomingRef): Promise<void>;
  cleanIncoming(client: ClientRef): Promise<void>;
  putWill(client: ClientRef, packet: object): Promise<void>;
  getWill(client: ClientRef): Promise<object | undefined>;
  delWill(client: ClientRef): Promise<object | undefined>;
  streamWill(brokers?: object): Readable;
  getClientList(topic: string): Readable;
  destroy(): Promise<void>;

  /** The sessions stored so far. */
  sessions(): readonly SessionRecord[];
  saveSession(record: SessionRecord): Promise<void>;
  /** Bounds each session's queue; `onDrop` hears of each message that had to go for it. */
  limitQueues(maxMessages: number, onDrop: (clientId: string) => void): void;
  retainedCount(): number;
}
