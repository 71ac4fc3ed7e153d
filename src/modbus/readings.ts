import type { ModbusConfig } from "../config/index.ts";
import type { Clock } from "../time/index.ts";
import type { Tag, TagValue } from "./values.ts";

export type Slave = ModbusConfig["slaves"][number];
export type Group = Slave["groups"][number];

/** good: read in this poll. stale: older, because the slave does not answer. bad: it refused, or never answered. */
export type Quality = "good" | "stale" | "bad";

/** One value as it is published. */
export interface Reading {
  readonly value: TagValue | null;
  readonly quality: Quality;
  /** Since it was read, ms; null when it never was. */
  readonly age_ms: number | null;
  readonly unit?: string;
  /** Why the quality is not good. */
  readonly error?: string;
}

interface Kept {
  value: TagValue | null;
  readMs: number | null;
  quality: Quality;
  error: string | null;
  /** What was published last. */
  told: { value: TagValue | null; quality: Quality; error: string | null } | null;
}

/** The newest values of one group, and which of them are news. */
export class Readings {
  readonly #clock: Clock;
  readonly #group: Group;
  readonly #kept: ReadonlyMap<string, Kept>;
  #toldMs = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock, group: Group) {
    this.#clock = clock;
    this.#group = group;
    this.#kept = new Map(
      group.tags.map(({ name }) => [
        name,
        { value: null, readMs: null, quality: "bad", error: null, told: null },
      ]),
    );
  }

  read(tag: Tag, value: TagValue): void {
    const kept = this.#kept.get(tag.name);
    if (kept === undefined) return;
    kept.value = value;
    kept.readMs = this.#clock.monotonicMs();
    kept.quality = "good";
    kept.error = null;
  }

  failed(tag: Tag, reason: string): void {
    const kept = this.#kept.get(tag.name);
    if (kept === undefined) return;
    kept.quality = kept.readMs === null ? "bad" : "stale";
    kept.error = reason;
  }

  /** What is to be published after a poll, null when nothing is. */
  news(): ReadonlyMap<Tag, Reading> | null {
    const { publish, refresh_s, tags } = this.#group;
    const nowMs = this.#clock.monotonicMs();
    const isDue =
      publish === "period" || (refresh_s > 0 && nowMs - this.#toldMs >= refresh_s * 1000);
    const told = new Map<Tag, Reading>();
    for (const tag of tags) {
      const kept = this.#kept.get(tag.name);
      if (kept === undefined || !(isDue || isNews(tag, kept))) continue;
      kept.told = { value: kept.value, quality: kept.quality, error: kept.error };
      told.set(tag, readingOf(tag, kept, nowMs));
    }
    if (told.size === 0) return null;
    if (told.size === tags.length) this.#toldMs = nowMs;
    return told;
  }
}

function isNews(tag: Tag, { told, value, quality, error }: Kept): boolean {
  if (told === null) return true;
  if (told.quality !== quality || told.error !== error) return true;
  if (typeof told.value === "number" && typeof value === "number") {
    return Math.abs(value - told.value) > tag.dead_band;
  }
  return told.value !== value;
}

function readingOf(tag: Tag, kept: Kept, nowMs: number): Reading {
  return {
    value: kept.value,
    quality: kept.quality,
    age_ms: kept.readMs === null ? null : Math.round(nowMs - kept.readMs),
    ...(tag.unit === "" ? {} : { unit: tag.unit }),
    ...(kept.error === null ? {} : { error: kept.error }),
  };
}
