import { members, PERIOD_MS, type Source, tenths } from "./metric.ts";

/** What one cause wrote. */
export interface WriteFigures {
  readonly bytes: number;
  readonly fsyncs: number;
}

/** What the store says of itself. */
export interface StoreFigures {
  readonly state: string;
  readonly bytesOnDisk: number;
  readonly maxBytes: number;
  readonly queuedMessages: number;
  readonly queuedBytes: number;
  readonly pendingBytes: number;
  readonly failedCommits: number;
  readonly lastCommitMs: number;
  readonly longestCommitMs: number;
  readonly tableBytesWritten: number;
  readonly writes: Readonly<Record<string, WriteFigures>>;
  readonly writesToday: Readonly<Record<string, WriteFigures>>;
}

/** The store's figures; a lookup in memory. */
export const storeSource: Source<StoreFigures> = {
  from: "the store",
  periodMs: PERIOD_MS.normal,
  open: ({ storeStatus }) => ({ read: () => storeStatus?.() ?? null }),
};

/** Used share of what the store may have on disk. */
export function usedPercent({ bytesOnDisk, maxBytes }: StoreFigures): number | null {
  return tenths((100 * bytesOnDisk) / maxBytes);
}

/** Bytes and fsyncs since the start of the gateway, by what they were for. */
export interface WritesSample {
  readonly bytes: Readonly<Record<string, number | null>>;
  readonly fsyncs: Readonly<Record<string, number | null>>;
}

/**
 * The store's own causes, `tables` for LevelDB's flushes and compactions, and what the rest of the
 * gateway counts (`configuration`, `log`).
 */
export const writesSource: Source<WritesSample> = {
  from: "the store, the configuration, the log",
  periodMs: PERIOD_MS.normal,
  open: ({ storeStatus, otherWrites }) => ({
    read() {
      const store = storeStatus?.();
      const causes = { ...store?.writes, ...otherWrites?.() };
      const rows = Object.entries(causes);
      if (store !== undefined) rows.push(["tables", { bytes: store.tableBytesWritten, fsyncs: 0 }]);
      return rows.length === 0
        ? null
        : {
            bytes: members(rows.map(([cause, { bytes }]) => [cause, bytes])),
            fsyncs: members(rows.map(([cause, { fsyncs }]) => [cause, fsyncs])),
          };
    },
  }),
};

/** What `part` of the writes comes to, all causes together. */
export function sumOf(
  writes: Readonly<Record<string, WriteFigures>>,
  part: keyof WriteFigures,
): number {
  return Object.values(writes).reduce((sum, figures) => sum + figures[part], 0);
}
