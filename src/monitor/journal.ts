import { KEPT_MS } from "./history.ts";
import { COLUMNS, type Sample, sampleOf } from "./sample.ts";

/** Small durable values; the store's record table. */
export interface MonitorTable {
  entries(): AsyncIterable<readonly (readonly [key: string, value: Buffer])[]>;
  put(key: string, value: Buffer): void;
  delete(key: string): void;
}

/** One record holds this much: 144 writes of some hundred bytes a day. */
export const BLOCK_MS = 600_000;

const MINUTE_MS = 60_000;
const KEY_DIGITS = 16;

/**
 * The minutes of the last seven days in a record table, ten to a record. A record is JSON:
 * `[[minute of the block, …COLUMNS], …]`; its key is the block's start in ms, in 16 digits.
 */
export class MonitorJournal {
  readonly #table: MonitorTable;
  readonly #blocks = new Set<number>();

  constructor(table: MonitorTable) {
    this.#table = table;
  }

  /** Every minute kept, in order; what is too old, in the future or unreadable is removed. */
  async *load(nowMs: number): AsyncGenerator<Sample> {
    for await (const records of this.#table.entries()) {
      for (const [key, value] of records) {
        const blockMs = Number(key);
        const isKept = blockMs > nowMs - KEPT_MS && blockMs <= nowMs;
        const minutes = isKept ? parse(blockMs, value) : null;
        if (minutes === null) {
          this.#table.delete(key);
          continue;
        }
        this.#blocks.add(blockMs);
        yield* minutes;
      }
    }
  }

  /** Writes one block, and removes those that are too old. */
  save(blockMs: number, minutes: readonly Sample[]): void {
    const rows = minutes.map((minute) => [
      (minute.atMs - blockMs) / MINUTE_MS,
      ...COLUMNS.map((column) => minute[column]),
    ]);
    this.#table.put(keyOf(blockMs), Buffer.from(JSON.stringify(rows)));
    this.#blocks.add(blockMs);
    for (const known of this.#blocks) {
      if (known <= blockMs - KEPT_MS) this.#remove(known);
    }
  }

  /** Removes every block that starts at `ms` or later. */
  dropFrom(ms: number): void {
    for (const known of [...this.#blocks]) if (known >= ms) this.#remove(known);
  }

  #remove(blockMs: number): void {
    this.#blocks.delete(blockMs);
    this.#table.delete(keyOf(blockMs));
  }
}

function keyOf(blockMs: number): string {
  return String(blockMs).padStart(KEY_DIGITS, "0");
}

/** Null for what no gateway has written. */
function parse(blockMs: number, value: Buffer): Sample[] | null {
  let rows: unknown;
  try {
    rows = JSON.parse(value.toString());
  } catch {
    return null;
  }
  if (!Array.isArray(rows) || rows.length > BLOCK_MS / MINUTE_MS) return null;
  const minutes: Sample[] = [];
  for (const row of rows) {
    if (!Array.isArray(row) || !row.every((cell) => Number.isSafeInteger(cell) && cell >= 0)) {
      return null;
    }
    const [minute, ...values] = row as number[];
    minutes.push(sampleOf(blockMs + (minute ?? 0) * MINUTE_MS, values));
  }
  return minutes;
}
