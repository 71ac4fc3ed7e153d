import {
  LEVEL_NAMES,
  type Level,
  type LevelName,
  type Levels,
  METRIC_NAMES,
  type MetricName,
  type Metrics,
} from "../mqtt/index.ts";

/** A part of the gateway that counts something of the tables of metrics and levels. */
export interface MetricsSource {
  readonly metrics?: () => Partial<Metrics>;
  readonly levels?: () => Partial<Levels>;
}

/** What the gateway has counted since its start, and its figures of the moment; cheap to ask for. */
export interface MetricsService {
  /** Every name of `METRIC_DOCS`; 0 for what nobody counts. */
  counters(): Metrics;
  /** Every name of `LEVEL_DOCS`; 0 for what nobody has. */
  levels(): Levels;
}

const NO_METRICS = Object.fromEntries(METRIC_NAMES.map((name) => [name, 0])) as Record<
  MetricName,
  number
>;

const NO_LEVELS = Object.fromEntries(
  LEVEL_NAMES.map((name) => [name, { now: 0, max: 0 }]),
) as Record<LevelName, Level>;

/** Puts together what the parts count; a later source wins. */
export function createMetrics(sources: readonly MetricsSource[]): MetricsService {
  return {
    counters() {
      return Object.assign({ ...NO_METRICS }, ...sources.map((source) => source.metrics?.()));
    },
    levels() {
      return Object.assign({ ...NO_LEVELS }, ...sources.map((source) => source.levels?.()));
    },
  };
}

/** Messages that bridges have handed to their clouds, as EMQX counts actions. */
export function bridgeMetrics(
  bridges: Iterable<{ readonly status: { readonly forwarded: number } }>,
): Pick<Metrics, "actions.executed" | "actions.messages"> {
  let forwarded = 0;
  for (const { status } of bridges) forwarded += status.forwarded;
  return { "actions.executed": forwarded, "actions.messages": forwarded };
}

/** Decisions of the access rules by what decided them. */
export function ruleMetrics(counts: {
  readonly superuser: number;
  readonly nomatch: number;
  readonly matchedAllow: number;
  readonly matchedDeny: number;
}): Partial<Metrics> {
  return {
    "authorization.superuser": counts.superuser,
    "authorization.nomatch": counts.nomatch,
    "authorization.matched_allow": counts.matchedAllow,
    "authorization.matched_deny": counts.matchedDeny,
  };
}
