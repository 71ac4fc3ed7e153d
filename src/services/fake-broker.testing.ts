import { GatewayError } from "../errors/index.ts";
import type {
  ClientInfo,
  Message,
  MessageCounters,
  QueuePage,
  SessionGlance,
  SubscriptionInfo,
  TopicFilter,
  WantedSubscription,
} from "../mqtt/index.ts";
import type { ServicesDeps } from "./services.ts";

/** A client as the broker would describe it. */
export function clientInfo(clientId: string, more: Partial<ClientInfo> = {}): ClientInfo {
  return {
    clientId,
    isConnected: true,
    username: null,
    protocolVersion: 4,
    cleanStart: true,
    keepAliveS: 60,
    will: null,
    listener: "tcp",
    peerAddress: "127.0.0.1",
    peerPort: 50_000,
    sinceMs: 0,
    messagesIn: 0,
    messagesOut: 0,
    ...more,
  };
}

/** A subscription as the broker would describe it. */
export function subscriptionInfo(clientId: string, wanted: WantedSubscription): SubscriptionInfo {
  return {
    clientId,
    noLocal: false,
    retainAsPublished: false,
    retainHandling: 0,
    isDurable: false,
    ...wanted,
  };
}

/** A broker without protocol: it keeps clients and subscriptions, and what was published. */
export class FakeBroker implements Required<ServicesDeps["broker"]> {
  readonly known = new Map<string, ClientInfo>();
  readonly rows: SubscriptionInfo[] = [];
  readonly published: Message[] = [];
  readonly reconfigured: unknown[] = [];
  count: MessageCounters = {
    received: 0,
    sent: 0,
    dropped: { no_subscriber: 0, queue_full: 0, expired: 0, too_large: 0, rejected: 0 },
  };

  add(...clients: readonly ClientInfo[]): void {
    for (const client of clients) this.known.set(client.clientId, client);
  }

  clients(): Iterable<ClientInfo> {
    return this.known.values();
  }

  client(clientId: string): ClientInfo | undefined {
    return this.known.get(clientId);
  }

  *sessions(): Iterable<SessionGlance> {
    for (const clientId of this.known.keys()) {
      const session = this.session(clientId);
      if (session !== undefined) yield session;
    }
  }

  session(clientId: string): SessionGlance | undefined {
    const client = this.known.get(clientId);
    if (client === undefined) return undefined;
    const { isConnected: isOnline, protocolVersion: version, sinceMs } = client;
    const number = [...this.known.keys()].indexOf(clientId) + 1;
    return { ...client, number, isOnline, version, createdMs: sinceMs, connectedMs: sinceMs };
  }

  sessionCount(): number {
    return this.known.size;
  }

  details(): undefined {
    return undefined;
  }

  describe(): never {
    throw new Error("a broker without details");
  }

  async removeClient(clientId: string): Promise<boolean> {
    return this.known.delete(clientId);
  }

  setKeepAlive(clientId: string): void {
    this.#mustKnow(clientId);
  }

  async queue(): Promise<QueuePage> {
    return { first: null, messages: [] };
  }

  subscriptions(): Iterable<SubscriptionInfo> {
    return this.rows;
  }

  subscriptionsOf(clientId: string): Iterable<SubscriptionInfo> {
    return this.rows.filter((row) => row.clientId === clientId);
  }

  filters(): Iterable<TopicFilter> {
    return new Set(this.rows.map(({ filter }) => filter));
  }

  filtersAt(filter: TopicFilter): readonly TopicFilter[] {
    return [...this.filters()].filter((one) => one === filter);
  }

  retainedTopics(): Iterable<string> {
    return [];
  }

  retainedCount(): number {
    return 0;
  }

  async retainedMessage(): Promise<null> {
    return null;
  }

  async removeRetained(): Promise<number> {
    return 0;
  }

  async subscribeClient(clientId: string, wanted: readonly WantedSubscription[]): Promise<void> {
    this.#mustKnow(clientId);
    await this.unsubscribeClient(
      clientId,
      wanted.map(({ filter }) => filter),
    );
    for (const row of wanted) this.rows.push(subscriptionInfo(clientId, row));
  }

  async unsubscribeClient(clientId: string, filters: readonly TopicFilter[]): Promise<void> {
    this.#mustKnow(clientId);
    const left = this.rows.filter(
      (row) => row.clientId !== clientId || !filters.includes(row.filter),
    );
    this.rows.splice(0, this.rows.length, ...left);
  }

  counters(): MessageCounters {
    return this.count;
  }

  reconfigure(live: unknown): void {
    this.reconfigured.push(live);
  }

  async publish(message: Message): Promise<void> {
    this.published.push(message);
  }

  checkPublish(): void {}

  async publishCounted(message: Message): Promise<{ receivers: number; publishedMs: number }> {
    this.published.push(message);
    return { receivers: 0, publishedMs: 0 };
  }

  #mustKnow(clientId: string): void {
    if (!this.known.has(clientId)) throw new GatewayError("CLIENT_NOT_FOUND", { clientId });
  }
}
