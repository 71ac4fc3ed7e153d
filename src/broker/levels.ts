import type { LevelName, Levels, TopicFilter } from "../mqtt/index.ts";
import type { Engine } from "./engine.ts";

/** Figures of the moment with their maxima, kept up to date where they change. */
export class PeakLevels {
  subscriptions = 0;
  shared = 0;
  #liveMax = 0;
  #sessionsMax = 0;
  #subscriptionsMax = 0;
  #sharedMax = 0;
  #topicsMax = 0;
  #retainedMax = 0;

  live(now: number): void {
    if (now > this.#liveMax) this.#liveMax = now;
  }

  sessions(now: number): void {
    if (now > this.#sessionsMax) this.#sessionsMax = now;
  }

  retained(now: number): void {
    if (now > this.#retainedMax) this.#retainedMax = now;
  }

  topics(now: number): void {
    if (now > this.#topicsMax) this.#topicsMax = now;
  }

  /** A session has one filter more. */
  subscribed(filter: TopicFilter): void {
    this.subscriptions++;
    if (this.subscriptions > this.#subscriptionsMax) this.#subscriptionsMax = this.subscriptions;
    if (!filter.startsWith(SHARE)) return;
    this.shared++;
    if (this.shared > this.#sharedMax) this.#sharedMax = this.shared;
  }

  unsubscribed(filter: TopicFilter): void {
    this.subscriptions--;
    if (filter.startsWith(SHARE)) this.shared--;
  }

  /** What the engine knows of the table of levels. */
  view(engine: Engine): Pick<Levels, EngineLevel> {
    const topics = engine.router.filterCount;
    const retained = engine.retained.size;
    this.topics(topics);
    this.retained(retained);
    const sessions = { now: engine.lifecycle.sessions.size, max: this.#sessionsMax };
    const subscriptions = { now: this.subscriptions, max: this.#subscriptionsMax };
    return {
      connections: sessions,
      live_connections: { now: engine.readyCount, max: this.#liveMax },
      sessions,
      cluster_sessions: sessions,
      channels: sessions,
      topics: { now: topics, max: this.#topicsMax },
      subscriptions,
      "subscriptions.shared": { now: this.shared, max: this.#sharedMax },
      subscribers: subscriptions,
      suboptions: subscriptions,
      retained: { now: retained, max: this.#retainedMax },
    };
  }
}

/** The levels the engine knows; the others are other parts'. */
export type EngineLevel = Exclude<LevelName, "delayed" | "durable_subscriptions">;

const SHARE = "$share/";
