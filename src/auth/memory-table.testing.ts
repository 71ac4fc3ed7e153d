import type { RecordTable } from "./record-table.ts";

/** A record table in memory; what it holds survives the part that used it, as on a disk. */
export class MemoryTable implements RecordTable {
  readonly rows = new Map<string, Buffer>();
  /** What the next commits fail with. */
  failure: Error | null = null;

  async *entries(): AsyncIterable<readonly (readonly [string, Buffer])[]> {
    yield [...this.rows].sort(([left], [right]) =>
      Buffer.compare(Buffer.from(left), Buffer.from(right)),
    );
  }

  put(key: string, value: Buffer): void {
    this.rows.set(key, value);
  }

  delete(key: string): void {
    this.rows.delete(key);
  }

  async committed(): Promise<void> {
    if (this.failure !== null) throw this.failure;
  }
}

/** Tables by name. */
export function memoryTables(): { table(name: string): MemoryTable } {
  const tables = new Map<string, MemoryTable>();
  return {
    table(name) {
      const table = tables.get(name) ?? new MemoryTable();
      tables.set(name, table);
      return table;
    },
  };
}
