import type { Log } from "../log/index.ts";
import type { Clock, Timer } from "../time/index.ts";
import type { Environment, MetricGroup, MetricValue, MetricValues } from "./metric.ts";
import { METRIC_GROUPS } from "./metrics.ts";
import { createTree } from "./tree.ts";

/** What telemetry needs from the others. */
export interface TelemetryDeps {
  readonly log: Log;
  readonly clock: Clock;
  /** What other parts of the gateway know about themselves. */
  readonly sources: Pick<Environment, "storeStatus" | "otherWrites" | "cardEnduranceBytes">;
}

/** Where telemetry looks. */
export interface TelemetryConfig {
  /** The directory whose disk is reported. */
  readonly dataDir: string;
  /** Where `proc`, `sys` and `run` are found; `/` unless a recorded device is read. */
  readonly root?: string;
}

/** The sampler of one device. */
export interface Telemetry {
  /** Samples everything once, for at most a second, and goes on by timer. */
  start(signal?: AbortSignal): Promise<void>;
  stop(): Promise<void>;
  /** The newest value of every metric of the table. A lookup: nothing is read for it. */
  snapshot(): Readonly<Record<string, MetricValue>>;
}

/** Longest time a start waits for its first samples. */
const FIRST_SAMPLE_LIMIT_MS = 1000;

/**
 * Samples the device on timers and keeps the newest values, so that asking is free. A source is
 * never read twice at the same time. One that fails, or has not answered when its next turn comes,
 * gives null, is logged once, and is tried again.
 */
export function createTelemetry(deps: TelemetryDeps, cfg: TelemetryConfig): Telemetry {
  const log = deps.log.child({ part: "telemetry" });
  const env: Environment = {
    clock: deps.clock,
    tree: createTree(cfg.root ?? "/"),
    dataDir: cfg.dataDir,
    ...deps.sources,
  };
  let values: MetricValues = Object.freeze(merged(METRIC_GROUPS.map(({ absent }) => absent)));
  let stopSampling: (() => void) | null = null;

  function keep(fresh: MetricValues): void {
    values = Object.freeze({ ...values, ...fresh });
  }

  async function stop(): Promise<void> {
    stopSampling?.();
    stopSampling = null;
  }

  return {
    async start(signal) {
      signal?.throwIfAborted();
      if (stopSampling !== null) return;
      const samplers = METRIC_GROUPS.map((group) => createSampler(group, env, log, keep));
      const timers = schedule(deps.clock, samplers);
      stopSampling = () => {
        for (const timer of timers) timer.cancel();
        for (const sampler of samplers) sampler.close();
      };
      await firstOf(
        deps.clock,
        samplers.map((sampler) => sampler.sample()),
      );
      if (signal?.aborted) await stop();
      signal?.throwIfAborted();
    },
    stop,
    snapshot: () => values,
  };
}

interface Sampler {
  readonly periodMs: number | null;
  /** Reads the source unless it is being read already; never rejects. */
  sample(): Promise<void>;
  close(): void;
}

function createSampler(
  group: MetricGroup,
  env: Environment,
  log: Log,
  keep: (fresh: MetricValues) => void,
): Sampler {
  const probe = group.open(env);
  let isReading = false;
  let isClosed = false;
  let isReported = false;

  function fail(fields: { err?: unknown }, text: string): void {
    if (isClosed) return;
    keep(group.absent);
    if (!isReported) log.warn({ source: group.from, ...fields }, text);
    isReported = true;
  }

  return {
    periodMs: group.periodMs,
    async sample() {
      if (isReading) return fail({}, "telemetry source does not answer");
      isReading = true;
      try {
        const reading = probe.read();
        // What is read at once is kept at once: only a slow source can be overtaken by its timer.
        const fresh = reading instanceof Promise ? await reading : reading;
        if (!isClosed) keep(fresh);
      } catch (err) {
        fail({ err }, "telemetry source failed");
      } finally {
        isReading = false;
      }
    },
    close() {
      isClosed = true;
      probe.close();
    },
  };
}

/** One timer per period. */
function schedule(clock: Clock, samplers: readonly Sampler[]): readonly Timer[] {
  const periods = new Set(samplers.flatMap(({ periodMs }) => periodMs ?? []));
  return [...periods].map((periodMs) => {
    const due = samplers.filter((sampler) => sampler.periodMs === periodMs);
    return clock.every(periodMs, () => {
      for (const sampler of due) void sampler.sample();
    });
  });
}

/** Resolves when all of `first` have, or the limit has passed. */
async function firstOf(clock: Clock, first: readonly Promise<void>[]): Promise<void> {
  const limit = Promise.withResolvers<void>();
  const timer = clock.after(FIRST_SAMPLE_LIMIT_MS, limit.resolve);
  await Promise.race([Promise.all(first), limit.promise]);
  timer.cancel();
}

function merged(parts: readonly MetricValues[]): MetricValues {
  return Object.assign({}, ...parts);
}
