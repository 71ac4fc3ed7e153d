import type { Clock } from "../time/index.ts";
import type { StoreFigures, WriteFigures } from "./store.ts";
import type { Tree } from "./tree.ts";

/**
 * What a metric can be: one value, or one per member (a core, an interface, a disk) keyed by the
 * member's name in a null-prototype object. null = this device has no such sensor, or it does not
 * answer.
 */
export type MetricValue =
  | number
  | boolean
  | string
  | null
  | Readonly<Record<string, number | null>>;

/** What a value counts. */
export type Unit =
  | "percent"
  | "bytes"
  | "bytes/s"
  | "bytes/day"
  | "°C"
  | "MHz"
  | "rpm"
  | "dBm"
  | "s"
  | "ms"
  | "years"
  | "count"
  | "flag"
  | "text";

/** What the members of a value are named after. */
export type Label = "core" | "interface" | "disk" | "mount" | "sensor" | "cause";

/** One row of the table of metrics, as publishers and documents read it. */
export interface Metric {
  /** snake_case, with the unit in the name. */
  readonly name: string;
  readonly unit: Unit;
  readonly doc: string;
  /** A counter only grows, until its device starts again. */
  readonly kind: "gauge" | "counter";
  /** What the members of the value are named after; null for a single value. */
  readonly label: Label | null;
  /** Where the value comes from. */
  readonly source: string;
  /** Milliseconds between two samples; null = read once at the start. */
  readonly periodMs: number | null;
  /** True when only a Raspberry Pi has it; null everywhere else. */
  readonly isRaspberryPiOnly: boolean;
}

/** What a source may use to read. */
export interface Environment {
  readonly clock: Clock;
  readonly tree: Tree;
  /** The directory whose disk is reported. */
  readonly dataDir: string;
  /** The store's figures; absent without a store. */
  readonly storeStatus?: () => StoreFigures;
  /** What is written beside the store, by cause. */
  readonly otherWrites?: () => Readonly<Record<string, WriteFigures>>;
  /** What the disk's maker promises can be written to it; null = not known. */
  readonly cardEnduranceBytes?: () => number | null;
}

/** An opened source. `read` gives null where the sensor is missing. */
interface Probe<S> {
  read(): S | null | Promise<S | null>;
  close?(): void;
}

/** Something read in one go that one or several metrics are taken from. */
export interface Source<S> {
  readonly from: string;
  readonly periodMs: number | null;
  readonly isRaspberryPiOnly?: true;
  open(env: Environment): Probe<S>;
}

/** One metric taken from a sample of type `S`. */
export interface Row<S> {
  readonly name: string;
  readonly unit: Unit;
  readonly doc: string;
  readonly kind?: "counter";
  readonly label?: Label;
  read(sample: S): MetricValue;
}

export type MetricValues = Readonly<Record<string, MetricValue>>;

/** A source with its metrics; what a sample looks like stays inside. */
export interface MetricGroup {
  readonly from: string;
  readonly periodMs: number | null;
  readonly metrics: readonly Metric[];
  /** Every metric of the group without a value. */
  readonly absent: MetricValues;
  open(env: Environment): { read(): MetricValues | Promise<MetricValues>; close(): void };
}

/** Ties the metrics to the source they are read from. */
export function group<S>(source: Source<S>, rows: readonly Row<S>[]): MetricGroup {
  const absent = Object.fromEntries(rows.map(({ name }) => [name, null]));
  const valuesOf = (sample: S | null): MetricValues =>
    sample === null ? absent : Object.fromEntries(rows.map((row) => [row.name, row.read(sample)]));
  return {
    from: source.from,
    periodMs: source.periodMs,
    metrics: rows.map((row) => ({
      name: row.name,
      unit: row.unit,
      doc: row.doc,
      kind: row.kind ?? "gauge",
      label: row.label ?? null,
      source: source.from,
      periodMs: source.periodMs,
      isRaspberryPiOnly: source.isRaspberryPiOnly ?? false,
    })),
    absent,
    open(env) {
      const probe = source.open(env);
      return {
        read() {
          const sample = probe.read();
          return sample instanceof Promise ? sample.then(valuesOf) : valuesOf(sample);
        },
        close: () => probe.close?.(),
      };
    },
  };
}

/** Sampling periods by cost: a few microseconds, a sensor or a disk, a slow or steady thing. */
export const PERIOD_MS = { fast: 2_000, normal: 10_000, slow: 60_000 } as const;

/** `value` with one decimal; null when it is not a number. */
export function tenths(value: number): number | null {
  return Number.isFinite(value) ? Math.round(value * 10) / 10 : null;
}

/** A number read from text; null when it is not one. */
export function numberOf(text: string | undefined): number | null {
  if (text === undefined || text.trim() === "") return null;
  const value = Number(text);
  return Number.isFinite(value) ? value : null;
}

/** An object of named members that no name, `__proto__` included, can surprise. */
export function members(
  entries: Iterable<readonly [string, number | null]>,
): Readonly<Record<string, number | null>> {
  const object: Record<string, number | null> = Object.create(null);
  for (const [name, value] of entries) object[name] = value;
  return object;
}
