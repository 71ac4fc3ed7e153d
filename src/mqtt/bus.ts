import type { Message } from "./message.ts";
import type { TopicFilter } from "./topic.ts";

/**
 * Handles one message. For QoS ≥ 1 a returned promise means "not safe yet": the publisher is
 * acknowledged only after it resolves.
 */
export type MessageHandler = (message: Message) => void | Promise<void>;

/** Ends an in-process subscription; safe to call twice. */
export type Unsubscribe = () => void;

/** How the parts of the gateway exchange messages; the broker is one. */
export interface Bus {
  /**
   * Publishes to every matching client, session and in-process subscriber. Resolves once whatever
   * must last is stored.
   */
  publish(message: Message): Promise<void>;
  /**
   * Calls `handler` for each message that matches `filter`, in order of arrival. `$`-topics reach
   * only filters that name them ([MQTT-4.7.2-1]). Retained messages are not replayed.
   */
  subscribe(filter: TopicFilter, handler: MessageHandler): Unsubscribe;
}
