import type { AlarmTable } from "./journal.ts";

/** A record table without a disk: byte order of keys, small slices. */
export class MemoryTable implements AlarmTable {
  readonly rows = new Map<string, Buffer>();

  async *entries(): AsyncIterable<readonly (readonly [string, Buffer])[]> {
    const sorted = [...this.rows].sort(([a], [b]) =>
      Buffer.compare(Buffer.from(a), Buffer.from(b)),
    );
    for (let at = 0; at < sorted.length; at += 3) yield sorted.slice(at, at + 3);
  }

  put(key: string, value: Buffer): void {
    this.rows.set(key, value);
  }

  delete(key: string): void {
    this.rows.delete(key);
  }
}
