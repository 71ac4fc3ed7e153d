import type { Observer, QoS } from "../mqtt/index.ts";
import type { Clock, Timer } from "../time/index.ts";

/** What is counted for one topic; `in` is published to it, `out` sent from it to clients. */
const TOPIC_COUNTS = [
  "messages.in",
  "messages.out",
  "messages.dropped",
  "messages.qos0.in",
  "messages.qos1.in",
  "messages.qos2.in",
  "messages.qos0.out",
  "messages.qos1.out",
  "messages.qos2.out",
] as const;

export type TopicCount = (typeof TOPIC_COUNTS)[number];

/** How many there were, and per second over the last seconds, in hundredths. */
export type TopicCounts = Readonly<
  Record<TopicCount, { readonly count: number; readonly rate: number }>
>;

/** What one topic's messages did. */
export interface TopicReport {
  readonly topic: string;
  /** Wall clock, ms: since when it is counted, and of the last reset, null without one. */
  readonly createdAtMs: number;
  readonly resetAtMs: number | null;
  readonly counts: TopicCounts;
}

export interface TopicMetricsDeps {
  readonly clock: Clock;
  readonly broker: { observe(observer: Observer): () => void };
}

/** Counts the messages of chosen topics. */
export interface TopicMetrics {
  start(signal?: AbortSignal): Promise<void>;
  stop(): Promise<void>;
  /** Makes the counted topics these; those that stay go on counting. */
  configure(topics: readonly string[]): void;
  /** In the order of the configuration. */
  list(): readonly TopicReport[];
  find(topic: string): TopicReport | null;
  /** Begins anew with one topic; false when it is not counted. */
  reset(topic: string): boolean;
  resetAll(): void;
}

const PERIOD_MS = 5000;
const IN = { all: 0, dropped: 2, qos: [3, 4, 5] } as const;
const OUT = { all: 1, qos: [6, 7, 8] } as const;

interface Counted {
  readonly createdAtMs: number;
  resetAtMs: number | null;
  readonly counts: Float64Array;
  readonly before: Float64Array;
  readonly rates: Float64Array;
}

/** While no topic is chosen, nothing watches and no timer runs. */
export function createTopicMetrics(
  deps: TopicMetricsDeps,
  topics: readonly string[],
): TopicMetrics {
  const { clock, broker } = deps;
  let counted = new Map<string, Counted>();
  let isRunning = false;
  let timer: Timer | null = null;
  let stopWatching: (() => void) | null = null;

  const count = (of: Counted, all: number, byQos: number): void => {
    of.counts[all] = (of.counts[all] ?? 0) + 1;
    of.counts[byQos] = (of.counts[byQos] ?? 0) + 1;
  };

  const observer: Observer = {
    published({ topic, qos }) {
      const of = counted.get(topic);
      if (of !== undefined) count(of, IN.all, at(IN.qos, qos));
    },
    sent(_clientId, { topic }, qos) {
      const of = counted.get(topic);
      if (of !== undefined) count(of, OUT.all, at(OUT.qos, qos));
    },
    dropped(_clientId, topic, loss) {
      if (loss !== "no_subscriber" && loss !== "quota_exceeded") return;
      const of = topic === null ? undefined : counted.get(topic);
      if (of !== undefined) of.counts[IN.dropped] = (of.counts[IN.dropped] ?? 0) + 1;
    },
  };

  function measure(): void {
    for (const { counts, before, rates } of counted.values()) {
      for (const [i, value] of counts.entries()) {
        const perSecond = ((value - (before[i] ?? 0)) * 1000) / PERIOD_MS;
        rates[i] = Math.round(perSecond * 100) / 100;
      }
      before.set(counts);
    }
  }

  function watchWhileNeeded(): void {
    const isNeeded = isRunning && counted.size > 0;
    if (isNeeded === (timer !== null)) return;
    if (isNeeded) {
      timer = clock.every(PERIOD_MS, measure);
      stopWatching = broker.observe(observer);
      return;
    }
    timer?.cancel();
    timer = null;
    stopWatching?.();
    stopWatching = null;
  }

  function configure(wanted: readonly string[]): void {
    const next = new Map<string, Counted>();
    for (const topic of wanted) next.set(topic, counted.get(topic) ?? begin(clock.nowMs()));
    counted = next;
    watchWhileNeeded();
  }

  function resetOne(of: Counted): void {
    of.counts.fill(0);
    of.before.fill(0);
    of.rates.fill(0);
    of.resetAtMs = clock.nowMs();
  }

  configure(topics);

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
    configure,
    list: () => [...counted].map(([topic, of]) => reportOf(topic, of)),
    find(topic) {
      const of = counted.get(topic);
      return of === undefined ? null : reportOf(topic, of);
    },
    reset(topic) {
      const of = counted.get(topic);
      if (of !== undefined) resetOne(of);
      return of !== undefined;
    },
    resetAll() {
      for (const of of counted.values()) resetOne(of);
    },
  };
}

function begin(createdAtMs: number): Counted {
  const zeros = () => new Float64Array(TOPIC_COUNTS.length);
  return { createdAtMs, resetAtMs: null, counts: zeros(), before: zeros(), rates: zeros() };
}

function reportOf(topic: string, { createdAtMs, resetAtMs, counts, rates }: Counted): TopicReport {
  const countOf = (name: TopicCount) => {
    const i = TOPIC_COUNTS.indexOf(name);
    return { count: counts[i] ?? 0, rate: rates[i] ?? 0 };
  };
  return {
    topic,
    createdAtMs,
    resetAtMs,
    counts: {
      "messages.in": countOf("messages.in"),
      "messages.out": countOf("messages.out"),
      "messages.dropped": countOf("messages.dropped"),
      "messages.qos0.in": countOf("messages.qos0.in"),
      "messages.qos1.in": countOf("messages.qos1.in"),
      "messages.qos2.in": countOf("messages.qos2.in"),
      "messages.qos0.out": countOf("messages.qos0.out"),
      "messages.qos1.out": countOf("messages.qos1.out"),
      "messages.qos2.out": countOf("messages.qos2.out"),
    },
  };
}

function at(byQos: readonly [number, number, number], qos: QoS): number {
  return byQos[qos];
}
