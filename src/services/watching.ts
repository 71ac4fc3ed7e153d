import type { Config } from "../config/index.ts";
import type { Configuration } from "./configuration/index.ts";

/** One of `messages.in` and so on, with messages since the reset and per second. */
export interface TopicReportView {
  readonly topic: string;
  /** Wall clock, ms. */
  readonly createdAtMs: number;
  readonly resetAtMs: number | null;
  readonly counts: Readonly<Record<string, { readonly count: number; readonly rate: number }>>;
}

/** What counts the messages of chosen topics. */
export interface TopicCounter {
  list(): readonly TopicReportView[];
  find(topic: string): TopicReportView | null;
  reset(topic: string): boolean;
  resetAll(): void;
}

/** Topics that are counted, which are part of the configuration. */
export interface TopicMetricsService extends TopicCounter {
  /** Resolves with what became of it: counted from now on, counted already, or too many. */
  register(topic: string): Promise<"registered" | "exists" | "full">;
  /** False when the topic is not counted. */
  unregister(topic: string): Promise<boolean>;
}

/** One client's slow topic; times in ms. */
export interface SlowSubscriptionView {
  readonly clientId: string;
  readonly topic: string;
  readonly timespanMs: number;
  readonly updatedAtMs: number;
}

/** What finds slow subscriptions. */
export interface SlowSubscriptionFinder {
  list(): readonly SlowSubscriptionView[];
  clear(): void;
}

type SlowSettings = Config["slow_subs"];

/** Slow subscriptions and what counts as slow, which is part of the configuration. */
export interface SlowSubscriptionsService extends SlowSubscriptionFinder {
  settings(): SlowSettings;
  change(settings: Partial<SlowSettings>): Promise<void>;
}

/** Most topics counted at once, as EMQX allows. */
const MAX_TOPICS = 512;

type Changes = Pick<Configuration, "change" | "current">;

/** Changes throw what `Configuration.change` throws. */
export function createTopicMetricsService(
  configuration: Changes,
  counter: TopicCounter,
): TopicMetricsService {
  async function change(next: (topics: readonly string[]) => readonly string[]): Promise<void> {
    const draft = async (stored: Config) => ({
      patch: { topic_metrics: next(stored.topic_metrics) },
      pems: {},
    });
    await configuration.change(draft, { force: false });
  }
  return {
    list: () => counter.list(),
    find: (topic) => counter.find(topic),
    reset: (topic) => counter.reset(topic),
    resetAll: () => counter.resetAll(),
    async register(topic) {
      let outcome: "registered" | "exists" | "full" = "registered";
      await change((topics) => {
        if (topics.includes(topic)) outcome = "exists";
        else if (topics.length >= MAX_TOPICS) outcome = "full";
        return outcome === "registered" ? [...topics, topic] : topics;
      });
      return outcome;
    },
    async unregister(topic) {
      let isKnown = false;
      await change((topics) => {
        isKnown = topics.includes(topic);
        return topics.filter((other) => other !== topic);
      });
      return isKnown;
    },
  };
}

/** Changes throw what `Configuration.change` throws. */
export function createSlowSubscriptionsService(
  configuration: Changes,
  finder: SlowSubscriptionFinder,
): SlowSubscriptionsService {
  return {
    list: () => finder.list(),
    clear: () => finder.clear(),
    settings: () => configuration.current().slow_subs,
    async change(settings) {
      const patch = { slow_subs: settings };
      await configuration.change(async () => ({ patch, pems: {} }), { force: false });
    },
  };
}
