import {
  type Bus,
  type Message,
  type MessageHandler,
  matches,
  type QoS,
  type TopicFilter,
  topic,
  type Unsubscribe,
} from "../mqtt/index.ts";

/** A Bus in memory that keeps its promises and remembers what was published. */
export class MemoryBus implements Bus {
  readonly published: Message[] = [];
  readonly #handlers = new Set<{ filter: TopicFilter; handler: MessageHandler }>();
  /** Stands in for the store: a publish resolves when this does. */
  store: (message: Message) => Promise<void> = () => Promise.resolve();

  async publish(message: Message): Promise<void> {
    this.published.push(message);
    const pending = [this.store(message)];
    for (const { filter, handler } of this.#handlers) {
      if (!matches(filter, message.topic)) continue;
      const safe = handler(message);
      if (safe !== undefined && message.qos > 0) pending.push(safe);
    }
    await Promise.all(pending);
  }

  subscribe(filter: TopicFilter, handler: MessageHandler): Unsubscribe {
    const entry = { filter, handler };
    this.#handlers.add(entry);
    return () => this.#handlers.delete(entry);
  }

  /** Publishes as a local client does. */
  send(name: string, payload: string, more: { qos?: QoS; retain?: boolean } = {}): Promise<void> {
    return this.publish({
      topic: topic(name),
      payload: Buffer.from(payload),
      qos: more.qos ?? 1,
      retain: more.retain ?? false,
      origin: { kind: "client", clientId: "sensor", username: null },
    });
  }

  /** What a bridge published here, as `topic payload`. */
  fromBridge(): string[] {
    return this.published
      .filter((message) => message.origin.kind === "bridge")
      .map((message) => `${message.topic} ${message.payload.toString()}`);
  }
}
