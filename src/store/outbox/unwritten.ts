import type { GatewayError } from "../../errors/index.ts";
import type { KeptEntry } from "./chunk-codec.ts";

/** An entry that is in no row yet that is known to be on disk. */
export interface Unwritten {
  readonly kept: KeptEntry;
  /** Tells whoever waits; null when nobody does. */
  readonly settle: ((error: GatewayError | null) => void) | null;
  /**
   * Until when commits leave it out, as it may be gone by then, monotonic ms; -infinite: it has no patience,
   * or nobody waits for it.
   */
  readonly dueMs: number;
  isGone: boolean;
  /** Its commit has failed: it is open again until its appender is told. */
  hasFailed: boolean;
}

/** Whether commits leave it out for some time. */
export function isPatient({ dueMs }: Unwritten): boolean {
  return Number.isFinite(dueMs);
}

/** Gone entries at the front are cut off once there are so many. */
const CUT_ABOVE = 64;

/** A chunk's row takes entries up to this many bytes, and so many entries. */
const CHUNK_BYTES = 65_536;
const CHUNK_ENTRIES = 512;

/** The entries of the open group and of the one in flight, in order. */
export class UnwrittenEntries {
  #entries: Unwritten[] = [];
  #head = 0;

  /** The first that is not gone. */
  get first(): Unwritten | undefined {
    return this.#entries[this.#head];
  }

  push(entry: Unwritten): void {
    this.#entries.push(entry);
  }

  find(seq: number): Unwritten | undefined {
    const entry = this.#entries[this.#placeOf(seq)];
    return entry?.kept.seq === seq && !entry.isGone ? entry : undefined;
  }

  /** Those from `from` up to and without `to` that are not gone. */
  *range(from: number, to = Number.POSITIVE_INFINITY): Generator<Unwritten> {
    for (let at = this.#placeOf(from); at < this.#entries.length; at++) {
      const entry = this.#entries[at];
      if (entry === undefined || entry.kept.seq >= to) return;
      if (!entry.isGone) yield entry;
    }
  }

  /** The sequence after the last one that is due at `nowMs`; 0 when none is. */
  dueBelow(nowMs: number): number {
    for (let at = this.#entries.length - 1; at >= this.#head; at--) {
      const entry = this.#entries[at];
      if (entry !== undefined && !entry.isGone && entry.dueMs <= nowMs) return entry.kept.seq + 1;
    }
    return 0;
  }

  /** Those up to and without `to`, as many as make a chunk at a time. */
  *chunks(to: number): Generator<Unwritten[]> {
    let entries: Unwritten[] = [];
    let bytes = 0;
    // What goes meanwhile is cut off the list.
    for (const each of [...this.range(0, to)]) {
      if (
        entries.length === CHUNK_ENTRIES ||
        (bytes > 0 && bytes + each.kept.bytes > CHUNK_BYTES)
      ) {
        yield entries;
        entries = [];
        bytes = 0;
      }
      // It may have gone while the chunks before it were written.
      if (each.isGone) continue;
      entries.push(each);
      bytes += each.kept.bytes;
    }
    if (entries.length > 0) yield entries;
  }

  /** Some have gone: those at the front are let go. */
  trim(): void {
    while (this.#entries[this.#head]?.isGone === true) this.#head++;
    if (this.#head < CUT_ABOVE && this.#head < this.#entries.length) return;
    this.#entries = this.#entries.slice(this.#head);
    this.#head = 0;
  }

  /** Everything below `boundary` is on disk. */
  written(boundary: number): void {
    this.#entries = this.#entries.slice(this.#placeOf(boundary));
    this.#head = 0;
    this.trim();
  }

  #placeOf(seq: number): number {
    let low = this.#head;
    let high = this.#entries.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#entries[middle]?.kept.seq ?? 0) < seq) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
