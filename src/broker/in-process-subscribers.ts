import {
  type Message,
  type MessageHandler,
  matches,
  type TopicFilter,
  type Unsubscribe,
} from "../mqtt/index.ts";

interface Subscriber {
  readonly filter: TopicFilter;
  readonly handler: MessageHandler;
}

/** What became of a message: whether anybody wanted it, and what has to settle before it is safe. */
export interface InProcessDelivery {
  readonly isWanted: boolean;
  readonly safe: readonly Promise<void>[];
}

/** The parts of the gateway that listen in: bridges, hooks, statistics. */
export class InProcessSubscribers {
  readonly #subscribers = new Set<Subscriber>();
  readonly #onError: (err: unknown) => void;

  constructor(onError: (err: unknown) => void) {
    this.#onError = onError;
  }

  add(filter: TopicFilter, handler: MessageHandler): Unsubscribe {
    const subscriber = { filter, handler };
    this.#subscribers.add(subscriber);
    return () => void this.#subscribers.delete(subscriber);
  }

  /**
   * Calls every matching handler before it returns, so that all see the messages in order of
   * arrival. What a handler throws is its own trouble; what its promise rejects with is the
   * publisher's, for QoS ≥ 1.
   */
  deliver(topicName: string, toMessage: () => Message): InProcessDelivery {
    let message: Message | null = null;
    const safe: Promise<void>[] = [];
    for (const { filter, handler } of this.#subscribers) {
      if (!matches(filter, topicName)) continue;
      message ??= toMessage();
      try {
        const result = handler(message);
        if (result === undefined) continue;
        if (message.qos > 0) safe.push(result);
        else result.catch(this.#onError);
      } catch (err) {
        this.#onError(err);
      }
    }
    return { isWanted: message !== null, safe };
  }
}
