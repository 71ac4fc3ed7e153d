import { COLUMNS, GAUGES, type Sample, sampleOf } from "./sample.ts";
import { Tier } from "./tier.ts";

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** How far back anything is kept. */
export const KEPT_MS = 7 * DAY_MS;

/** The longest span that each step is good for. */
const SPANS = [
  { spanMs: MINUTE_MS, stepMs: SECOND_MS },
  { spanMs: HOUR_MS, stepMs: 10 * SECOND_MS },
  { spanMs: DAY_MS, stepMs: MINUTE_MS },
  { spanMs: 3 * DAY_MS, stepMs: 5 * MINUTE_MS },
  { spanMs: KEPT_MS, stepMs: 10 * MINUTE_MS },
] as const;

/** One step of a series; `sample` is null where nothing was sampled. */
export interface Step {
  readonly atMs: number;
  readonly sample: Sample | null;
}

/**
 * Samples of the last seven days at five resolutions, each down-sampled when a sample comes: about
 * 400 kB, whatever happens.
 */
export class History {
  readonly #tiers = SPANS.map(({ spanMs, stepMs }) => new Tier(stepMs, spanMs / stepMs + 2));

  /** Takes one second's sample. */
  add(sample: Sample): void {
    for (const tier of this.#tiers) tier.add(sample);
  }

  /**
   * Takes one minute's sample of an earlier run; for the newest hour it is spread evenly, over the
   * steps that are past where the minute is not.
   */
  restore(minute: Sample, nowMs: number): void {
    for (const tier of this.#tiers) {
      if (tier.stepMs >= MINUTE_MS) {
        tier.add(minute);
      } else if (tier.stepMs === 10 * SECOND_MS && minute.atMs >= nowMs - HOUR_MS) {
        const past = Math.floor((nowMs - minute.atMs) / tier.stepMs);
        const count = Math.max(1, Math.min(past, MINUTE_MS / tier.stepMs));
        for (const part of spread(minute, count, tier.stepMs)) tier.add(part);
      }
    }
  }

  /** The minute that a moment lies in. */
  minute(ms: number): Sample | null {
    return this.#tierOf(DAY_MS).get(Math.floor(ms / MINUTE_MS) * MINUTE_MS);
  }

  /**
   * The steps from `latestMs` ago until now, ascending and without gaps; null goes back to the
   * oldest sample. The step under way is shown from a minute's length on.
   */
  series(nowMs: number, latestMs: number | null): readonly Step[] {
    const oldestMs = latestMs === null ? this.#oldest(nowMs) : null;
    if (latestMs === null && oldestMs === null) return [];
    const spanMs = Math.min(latestMs ?? nowMs - (oldestMs ?? nowMs), KEPT_MS);
    const tier = this.#tierOf(spanMs);
    const { stepMs } = tier;
    const end = stepMs < MINUTE_MS ? tier.stampOf(nowMs) - stepMs : tier.stampOf(nowMs);
    const count =
      oldestMs === null
        ? Math.ceil(spanMs / stepMs)
        : Math.max(0, (end - tier.stampOf(oldestMs)) / stepMs + 1);
    return Array.from({ length: count }, (_, i) => {
      const atMs = end - (count - 1 - i) * stepMs;
      return { atMs, sample: tier.get(atMs) };
    });
  }

  dropFrom(ms: number): void {
    for (const tier of this.#tiers) tier.dropFrom(ms);
  }

  clear(): void {
    this.dropFrom(0);
  }

  #oldest(nowMs: number): number | null {
    return this.#tierOf(KEPT_MS).oldestBetween(nowMs - KEPT_MS, nowMs);
  }

  #tierOf(spanMs: number): Tier {
    const at = SPANS.findIndex((row) => spanMs <= row.spanMs);
    const tier = this.#tiers[at < 0 ? SPANS.length - 1 : at];
    if (tier === undefined) throw new Error("there is a tier for every span");
    return tier;
  }
}

/** A sample in `count` parts whose deltas add up to its own. */
function spread(sample: Sample, count: number, stepMs: number): readonly Sample[] {
  return Array.from({ length: count }, (_, i) => {
    const values = COLUMNS.map((column, at) => {
      const value = sample[column];
      if (at < GAUGES.length) return value;
      return Math.floor(((i + 1) * value) / count) - Math.floor((i * value) / count);
    });
    return sampleOf(sample.atMs + i * stepMs, values);
  });
}
