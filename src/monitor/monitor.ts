import { reasonOf } from "../errors/index.ts";
import type { Log } from "../log/index.ts";
import type { Levels, Metrics } from "../mqtt/index.ts";
import type { Clock, Timer } from "../time/index.ts";
import { History, type Step } from "./history.ts";
import { BLOCK_MS, MonitorJournal, type MonitorTable } from "./journal.ts";
import type { Delta, Sample } from "./sample.ts";

/** What the monitor needs from the others. */
export interface MonitorDeps {
  readonly log: Log;
  readonly clock: Clock;
  /** What is counted; asked once a second. */
  readonly metrics: { counters(): Metrics; levels(): Levels };
  /** Where the history outlives a restart; used from the start on. */
  readonly store: { table(name: string): MonitorTable };
}

/** What passes per second now, whole numbers. */
export type Rates = Readonly<Record<Delta, number>>;

/** The gateway's figures over time. */
export interface Monitor {
  /** Takes over the history of earlier runs, and samples once a second. */
  start(signal?: AbortSignal): Promise<void>;
  /** Writes what is not written yet; safe to call twice. */
  stop(): Promise<void>;
  /**
   * The last `latestS` seconds (null: all that is kept, at most 7 days) in steps without gaps,
   * ascending: 1 s up to a minute, 10 s up to an hour, 1 min up to a day, 5 min up to 3 days, 10 min
   * beyond. Stamps are multiples of the step and name its start.
   */
  series(latestS: number | null): readonly Step[];
  /** Means of the last 5 seconds; a lookup. */
  rates(): Rates;
  /** Forgets the history. */
  clear(): void;
}

const SECOND_MS = 1000;
const MINUTE_MS = 60_000;
/** A timer is late by some ms: a tick that late still ends the second before. */
const LATE_MS = 5;
const RATE_SECONDS = 5;

type Totals = Readonly<Record<Delta, number>>;

/**
 * Samples the gateway once a second and keeps seven days: in memory at five resolutions, in the
 * store by the minute, written once in ten minutes and at the stop. A crash loses at most ten.
 */
export function createMonitor(deps: MonitorDeps): Monitor {
  const { clock, metrics } = deps;
  const log = deps.log.child({ part: "monitor" });
  const history = new History();
  const recent: { readonly atMs: number; readonly totals: Totals }[] = [];
  let journal: MonitorJournal | null = null;
  let timer: Timer | null = null;
  let newestMs = -1;

  function remember(totals: Totals): void {
    recent.push({ atMs: clock.monotonicMs(), totals });
    if (recent.length > RATE_SECONDS + 1) recent.shift();
  }

  function tick(): void {
    const before = recent.at(-1)?.totals;
    const totals = totalsOf(metrics.counters());
    remember(totals);
    const levels = metrics.levels();
    const atMs = Math.floor((clock.nowMs() - SECOND_MS + LATE_MS) / SECOND_MS) * SECOND_MS;
    const sample: Sample = {
      atMs,
      connections: levels.connections.now,
      liveConnections: levels.live_connections.now,
      topics: levels.topics.now,
      subscriptions: levels.subscriptions.now,
      ...differences(totals, before ?? totals),
    };
    if (atMs < newestMs - MINUTE_MS) {
      // The wall clock was set back: what lies ahead of it was stamped wrongly.
      history.dropFrom(atMs);
      journal?.dropFrom(atMs);
    } else if (newestMs >= 0 && blockOf(atMs) !== blockOf(newestMs)) {
      save(blockOf(newestMs));
    }
    newestMs = atMs;
    history.add(sample);
  }

  function save(blockMs: number): void {
    const minutes: Sample[] = [];
    for (let ms = blockMs; ms < blockMs + BLOCK_MS; ms += MINUTE_MS) {
      const minute = history.minute(ms);
      if (minute !== null) minutes.push(minute);
    }
    if (minutes.length > 0) journal?.save(blockMs, minutes);
  }

  async function load(from: MonitorJournal, signal?: AbortSignal): Promise<void> {
    const nowMs = clock.nowMs();
    try {
      for await (const minute of from.load(nowMs)) {
        signal?.throwIfAborted();
        history.restore(minute, nowMs);
      }
    } catch (err) {
      signal?.throwIfAborted();
      log.warn({ err: reasonOf(err) }, "the monitor's history cannot be read, it starts empty");
    }
  }

  return {
    async start(signal) {
      signal?.throwIfAborted();
      if (timer !== null) return;
      journal = new MonitorJournal(deps.store.table("monitor"));
      await load(journal, signal);
      remember(totalsOf(metrics.counters()));
      timer = clock.every(SECOND_MS, tick);
    },

    async stop() {
      timer?.cancel();
      timer = null;
      if (newestMs >= 0) save(blockOf(newestMs));
      journal = null;
    },

    series: (latestS) =>
      history.series(clock.nowMs(), latestS === null ? null : latestS * SECOND_MS),

    rates() {
      const [oldest, newest] = [recent[0], recent.at(-1)];
      const seconds = ((newest?.atMs ?? 0) - (oldest?.atMs ?? 0)) / SECOND_MS;
      if (oldest === undefined || newest === undefined || seconds <= 0) return NO_RATES;
      return perDelta((column) =>
        Math.round((newest.totals[column] - oldest.totals[column]) / seconds),
      );
    },

    clear() {
      history.clear();
      journal?.dropFrom(0);
    },
  };
}

const NO_RATES: Rates = perDelta(() => 0);

function blockOf(ms: number): number {
  return Math.floor(ms / BLOCK_MS) * BLOCK_MS;
}

function totalsOf(counters: Metrics): Totals {
  return {
    received: counters["messages.received"],
    sent: counters["messages.sent"],
    dropped: counters["messages.dropped"],
    actions: counters["actions.executed"],
    receivedBytes: counters["bytes.received"],
    sentBytes: counters["bytes.sent"],
  };
}

function differences(now: Totals, before: Totals): Totals {
  return perDelta((column) => Math.max(0, now[column] - before[column]));
}

function perDelta(value: (column: Delta) => number): Totals {
  return {
    received: value("received"),
    sent: value("sent"),
    dropped: value("dropped"),
    actions: value("actions"),
    receivedBytes: value("receivedBytes"),
    sentBytes: value("sentBytes"),
  };
}
