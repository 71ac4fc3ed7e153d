import type { Config } from "../config/index.ts";
import { GatewayError } from "../errors/index.ts";
import { type StoredMessage, topic, topicFilter } from "../mqtt/index.ts";

/** Where retained messages are: the broker. */
export interface RetainedDirectory {
  /** In order of their first message; with `filter`, those it matches. */
  retainedTopics(filter?: string): Iterable<string>;
  retainedCount(): number;
  /** @throws GatewayError STORE_READ_FAILED */
  retainedMessage(topic: string): Promise<StoredMessage | null>;
  /** Their number. @throws GatewayError STORE_WRITE_FAILED */
  removeRetained(topics: Iterable<string>): Promise<number>;
}

export interface RetainedDeps {
  readonly directory: RetainedDirectory;
  /** The settings that count now. */
  settings(): Config["retainer"];
  /** @throws GatewayError CONFIG_CHECK_FAILED, CONFIG_VALUE_INVALID, CONFIG_WRITE_FAILED */
  store(settings: Config["retainer"]): Promise<void>;
}

/** The messages kept for those who subscribe later. */
export interface RetainedMessages {
  /** Topics of all, or of those that `filter` matches. @throws GatewayError MQTT_FILTER_INVALID */
  topics(filter?: string): Iterable<string>;
  count(): number;
  /** The message of a topic, null when there is none. @throws GatewayError STORE_READ_FAILED */
  message(topic: string): Promise<StoredMessage | null>;
  /**
   * Removes the message of a topic, or all that a filter with wildcards matches.
   * @returns how many there were
   * @throws GatewayError MQTT_TOPIC_INVALID, MQTT_FILTER_INVALID, STORE_WRITE_FAILED
   */
  remove(topicOrFilter: string): Promise<number>;
  /** @throws GatewayError STORE_WRITE_FAILED */
  removeAll(): Promise<number>;
  settings(): Config["retainer"];
  /** Counts at once and lasts. @throws GatewayError CONFIG_CHECK_FAILED, CONFIG_VALUE_INVALID, CONFIG_WRITE_FAILED */
  change(settings: Config["retainer"]): Promise<void>;
}

export function createRetainedMessages(deps: RetainedDeps): RetainedMessages {
  const { directory } = deps;
  return {
    topics: (filter) => directory.retainedTopics(filter === undefined ? filter : plain(filter)),
    count: () => directory.retainedCount(),
    message: (name) => directory.retainedMessage(name),
    async remove(raw) {
      if (!/[+#]/.test(raw)) return directory.removeRetained([topic(raw)]);
      // The walk must not run over what it removes.
      return directory.removeRetained([...directory.retainedTopics(plain(raw))]);
    },
    removeAll: async () => directory.removeRetained([...directory.retainedTopics()]),
    settings: () => deps.settings(),
    change: (settings) => deps.store(settings),
  };
}

/** A filter of topics: retained messages know no shares. */
function plain(raw: string): string {
  const filter = topicFilter(raw);
  if (!filter.startsWith("$share/")) return filter;
  throw new GatewayError("MQTT_FILTER_INVALID", { value: raw, reason: "it is shared" });
}
