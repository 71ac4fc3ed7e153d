import type { Observer } from "../mqtt/index.ts";
import type { Clock } from "../time/index.ts";

/** What counts as slow; the configuration's keys. */
export interface SlowSubscriptionsSettings {
  readonly enable: boolean;
  /** A delivery that takes longer is slow. */
  readonly threshold_ms: number;
  /** A slow subscription is forgotten after this long without another slow delivery. */
  readonly expire_interval_s: number;
  /** Most subscriptions kept, the slowest. */
  readonly top_k_num: number;
  /** From the message's arrival to its acknowledgement, to its sending, or between these two. */
  readonly stats_type: "whole" | "internal" | "response";
}

/** One client's slow topic. */
export interface SlowSubscription {
  readonly clientId: string;
  readonly topic: string;
  /** The newest slow delivery's time. */
  readonly timespanMs: number;
  /** Wall clock, ms. */
  readonly updatedAtMs: number;
}

export interface SlowSubscriptionsDeps {
  readonly clock: Clock;
  readonly broker: { observe(observer: Observer): () => void };
}

/** Which clients get which topics slowly. */
export interface SlowSubscriptions {
  start(signal?: AbortSignal): Promise<void>;
  stop(): Promise<void>;
  configure(settings: SlowSubscriptionsSettings): void;
  /** Slowest first. */
  list(): readonly SlowSubscription[];
  clear(): void;
}

/** Copies on their way that are remembered; of more at once the oldest are not judged. */
const MAX_PENDING = 50_000;

interface Pending {
  readonly topic: string;
  readonly publishedMs: number;
  readonly sentMs: number;
}

/**
 * Times deliveries by the wall clock, as the messages carry it; a time below 0, after the clock was
 * set back, is no delivery's. What waited for a client that was away is left out: that is no slowness
 * of its. While it is off, nothing watches.
 */
export function createSlowSubscriptions(
  deps: SlowSubscriptionsDeps,
  initial: SlowSubscriptionsSettings,
): SlowSubscriptions {
  const { clock, broker } = deps;
  const slow = new Map<string, SlowSubscription>();
  const pending = new Map<string, Pending>();
  /** Since when the clients that came while this watched are there, wall clock, ms. */
  const since = new Map<string, number>();
  let settings = initial;
  let isRunning = false;
  let stopWatching: (() => void) | null = null;

  function judge(clientId: string, topic: string, timespanMs: number): void {
    if (timespanMs < settings.threshold_ms) return;
    const key = `${clientId}\0${topic}`;
    slow.delete(key);
    slow.set(key, { clientId, topic, timespanMs, updatedAtMs: clock.nowMs() });
    if (slow.size <= settings.top_k_num) return;
    expire();
    while (slow.size > settings.top_k_num) slow.delete(fastestKey());
  }

  function fastestKey(): string {
    let fastest = "";
    let leastMs = Number.POSITIVE_INFINITY;
    for (const [key, { timespanMs }] of slow) {
      if (timespanMs >= leastMs) continue;
      leastMs = timespanMs;
      fastest = key;
    }
    return fastest;
  }

  function expire(): void {
    const oldestMs = clock.nowMs() - settings.expire_interval_s * 1000;
    for (const [key, { updatedAtMs }] of slow) if (updatedAtMs < oldestMs) slow.delete(key);
  }

  const observer: Observer = {
    client({ kind, clientId }) {
      if (kind === "connected") since.set(clientId, clock.nowMs());
      else if (kind === "disconnected") since.delete(clientId);
    },
    sent(clientId, { topic, publishedMs, origin }, _qos, seq) {
      if (origin.kind === "system" || publishedMs < (since.get(clientId) ?? 0)) return;
      const nowMs = clock.nowMs();
      if (settings.stats_type === "internal") {
        judge(clientId, topic, nowMs - publishedMs);
        return;
      }
      if (seq < 0) {
        if (settings.stats_type === "whole") judge(clientId, topic, nowMs - publishedMs);
        return;
      }
      const key = `${seq}\0${clientId}`;
      pending.delete(key);
      pending.set(key, { topic, publishedMs, sentMs: nowMs });
      if (pending.size <= MAX_PENDING) return;
      const [oldest] = pending.keys();
      if (oldest !== undefined) pending.delete(oldest);
    },
    acked(clientId, seq) {
      const key = `${seq}\0${clientId}`;
      const copy = pending.get(key);
      if (copy === undefined) return;
      pending.delete(key);
      const fromMs = settings.stats_type === "whole" ? copy.publishedMs : copy.sentMs;
      judge(clientId, copy.topic, clock.nowMs() - fromMs);
    },
  };

  function watchWhileNeeded(): void {
    const isNeeded = isRunning && settings.enable;
    if (isNeeded === (stopWatching !== null)) return;
    if (isNeeded) {
      stopWatching = broker.observe(observer);
      return;
    }
    stopWatching?.();
    stopWatching = null;
    pending.clear();
    since.clear();
    slow.clear();
  }

  return {
    async start(signal) {
      signal?.throwIfAborted();
      isRunning = true;
      watchWhileNeeded();
    },
    async stop() {
      isRunning = false;
      watchWhileNeeded();
    },
    configure(next) {
      settings = next;
      while (slow.size > settings.top_k_num) slow.delete(fastestKey());
      watchWhileNeeded();
    },
    list() {
      expire();
      return [...slow.values()].sort((a, b) => b.timespanMs - a.timespanMs);
    },
    clear: () => slow.clear(),
  };
}
