import { writtenToDiskOf } from "./disk.ts";
import { numberOf, PERIOD_MS, type Source, tenths } from "./metric.ts";
import type { Tree } from "./tree.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** A day's writes are projected from one hour on, and measured over the newest 24. */
const MARKS = 24;

/**
 * How often a card can be written from end to end before it wears out, as long as nobody says what
 * its maker promises. Consumer cards last some hundred to a thousand cycles of their cells, and
 * small writes cost several times their size inside the card.
 */
const ASSUMED_REWRITES = 100;

/** Wear of the disk that holds the data directory. */
export interface FlashSample {
  /** What the kernel sent to disks for this process since its start; null without accounting. */
  readonly processWrittenBytes: number | null;
  /** The next ones from an hour after the start of the gateway on. */
  readonly processBytesPerDay: number | null;
  readonly diskBytesPerDay: number | null;
  /** Years until the disk's endurance is written at the rate of the newest day. */
  readonly lifeYears: number | null;
}

interface Mark {
  readonly atMs: number;
  readonly processBytes: number | null;
  readonly diskBytes: number | null;
}

/** proc_pid_io(5) `write_bytes` and /proc/diskstats, over a window of a day. */
export const flashSource: Source<FlashSample> = {
  from: "/proc/self/io, /proc/diskstats",
  periodMs: PERIOD_MS.slow,
  open({ tree, clock, dataDir, cardEnduranceBytes }) {
    const marks: Mark[] = [];
    return {
      async read() {
        const disk = await writtenToDiskOf(tree, dataDir);
        const now: Mark = {
          atMs: clock.monotonicMs(),
          processBytes: processWrittenBytes(tree),
          diskBytes: disk?.writtenBytes ?? null,
        };
        const newest = marks.at(-1);
        if (newest === undefined || now.atMs - newest.atMs >= HOUR_MS) marks.push(now);
        if (marks.length > MARKS + 1) marks.shift();
        const oldest = marks[0] ?? now;
        const diskBytesPerDay = perDay(oldest, now, "diskBytes");
        const assumed = disk?.sizeBytes == null ? null : disk.sizeBytes * ASSUMED_REWRITES;
        return {
          processWrittenBytes: now.processBytes,
          processBytesPerDay: perDay(oldest, now, "processBytes"),
          diskBytesPerDay,
          lifeYears: yearsOf(cardEnduranceBytes?.() ?? assumed, diskBytesPerDay),
        };
      },
    };
  },
};

/** Longest life that is told: more says nothing about a card. */
const MAX_YEARS = 100;

function yearsOf(enduranceBytes: number | null, bytesPerDay: number | null): number | null {
  if (enduranceBytes === null || bytesPerDay === null) return null;
  return tenths(Math.min(MAX_YEARS, enduranceBytes / Math.max(1, bytesPerDay) / 365));
}

function perDay(from: Mark, to: Mark, part: "processBytes" | "diskBytes"): number | null {
  const [before, after] = [from[part], to[part]];
  const passedMs = to.atMs - from.atMs;
  if (before === null || after === null || passedMs < HOUR_MS || after < before) return null;
  return Math.round(((after - before) * DAY_MS) / passedMs);
}

function processWrittenBytes(tree: Tree): number | null {
  return numberOf(/^write_bytes: (\d+)/m.exec(tree.proc("proc/self/io") ?? "")?.[1]);
}
