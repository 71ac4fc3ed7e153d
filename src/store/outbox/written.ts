import { outboxChunkKey, seqOfChunkKey } from "../keys.ts";
import { parseRow } from "../reader.ts";
import { openValue } from "../value.ts";
import { readChunk, readSummary, readTopics } from "./chunk-codec.ts";
import { Chunk, KnownChunks } from "./chunks.ts";
import type { GroupShare } from "./group-share.ts";
import type { LaneKin } from "./lane-kin.ts";
import { type OutboxHost, ROWS_PER_READ } from "./outbox-host.ts";
import type { Unwritten, UnwrittenEntries } from "./unwritten.ts";

/** The lane whose entries they are. */
export interface WrittenLane {
  /** There are so many more, or fewer. */
  counted(messages: number, bytes: number): void;
  /** An entry of this topic has this place. */
  placed(topic: string, seq: number): void;
  /** An entry is lost. */
  forget(seq: number): void;
}

/**
 * The entries that are on disk: chunks that are known from the head up to `readFrom`, and behind them
 * what has not been read, of which only the sum is known.
 */
export class WrittenEntries {
  readonly #host: OutboxHost;
  /** Of the rows. */
  readonly #name: string;
  readonly #kin: LaneKin;
  readonly #share: GroupShare;
  readonly #unwritten: UnwrittenEntries;
  readonly #lane: WrittenLane;

  readonly #known = new KnownChunks();
  #readFrom = 0;
  #unreadMessages = 0;
  #unreadBytes = 0;
  #unreadMs = 0;
  /** Sequences that are gone from chunks that have not been read. */
  readonly #goneUnread = new Set<number>();
  #reading: Promise<void> | null = null;

  constructor(
    host: OutboxHost,
    name: string,
    kin: LaneKin,
    share: GroupShare,
    unwritten: UnwrittenEntries,
    lane: WrittenLane,
  ) {
    this.#host = host;
    this.#name = name;
    this.#kin = kin;
    this.#share = share;
    this.#unwritten = unwritten;
    this.#lane = lane;
  }

  /** The first known chunk that ends at or behind `seq`. */
  at(seq: number): Chunk | undefined {
    return this.#known.at(seq);
  }

  get hasUnread(): boolean {
    return this.#unreadMessages > 0;
  }

  /** The sequence from which on nothing has been read. */
  get readFrom(): number {
    return this.#readFrom;
  }

  /** When the first entry that has not been read was appended; gateway time, ms. */
  get unreadMs(): number {
    return this.#unreadMs;
  }

  /** The same of the oldest entry; null when there is none. */
  oldestMs(): number | null {
    const { head } = this.#known;
    if (head !== undefined) return head.oldestMs;
    return this.hasUnread ? this.#unreadMs : null;
  }

  /** Whether an entry with this sequence or a lower one may be here. */
  mayHold(seq: number): boolean {
    const { head } = this.#known;
    if (head !== undefined && head.first <= seq) return true;
    return this.hasUnread && this.#readFrom <= seq;
  }

  /** Sequences in chunks that are gone, in order. */
  goneSeqs(): number[] {
    const gone = [...this.#goneUnread];
    for (const chunk of this.#known) if (chunk.isPartial) gone.push(...chunk.gone());
    return gone.sort((a, b) => a - b);
  }

  /** Takes what the scan at the start found: what is gone comes first, the chunks in order. */
  foundGone(seqs: Iterable<number>): void {
    for (const seq of seqs) this.#goneUnread.add(seq);
  }

  foundChunk(key: Buffer, value: Buffer): void {
    const first = seqOfChunkKey(key);
    const { count, bytes, last, firstMs } = readSummary(openValue(key, value), first);
    let [messages, size] = [count, bytes];
    if (this.#goneUnread.size > 0) {
      const gone = readChunk(openValue(key, value), first).filter(({ seq }) =>
        this.#goneUnread.has(seq),
      );
      messages -= gone.length;
      size -= gone.reduce((sum, entry) => sum + entry.bytes, 0);
    }
    readTopics(openValue(key, value), first, (topic, seq) => this.#lane.placed(topic, seq));
    if (this.#unreadMessages === 0) this.#unreadMs = firstMs;
    this.#unreadMessages += messages;
    this.#unreadBytes += size;
    this.#kin.nextSeq = Math.max(this.#kin.nextSeq, last + 1);
    this.#lane.counted(messages, size);
  }

  /**
   * These entries are on disk now, as one chunk. One some of which is taken or gone is known from the
   * start, if all before it are.
   */
  land(entries: readonly Unwritten[], takenSeq: number): void {
    const kept = entries.map((each) => each.kept);
    const first = kept[0]?.seq ?? 0;
    const gone = new Set(entries.flatMap((each) => (each.isGone ? [each.kept.seq] : [])));
    if (this.#unreadMessages === 0 && (gone.size > 0 || first <= takenSeq)) {
      const chunk = new Chunk(kept, (seq) => gone.has(seq));
      if (chunk.last <= takenSeq) chunk.entries = null;
      this.#readFrom = chunk.last + 1;
      this.#known.push(chunk);
      if (chunk.left === 0) this.bury(chunk);
      else if (gone.size > 0) this.#share.stateChanged();
      return;
    }
    if (this.#unreadMessages === 0) this.#unreadMs = kept[0]?.atMs ?? 0;
    for (const { seq, bytes } of kept) {
      if (gone.has(seq)) {
        this.#goneUnread.add(seq);
        this.#share.stateChanged();
        continue;
      }
      this.#unreadMessages++;
      this.#unreadBytes += bytes;
    }
  }

  /** All entries of a known chunk are gone. */
  bury(chunk: Chunk): void {
    this.#known.remove(chunk);
    this.#share.bury(chunk.first);
  }

  /** Everything is gone, whatever is on disk. */
  clear(): void {
    this.#known.clear();
    this.#goneUnread.clear();
    this.#unreadMessages = 0;
    this.#unreadBytes = 0;
    this.#readFrom = this.#kin.nextSeq;
  }

  /** Makes the next unread chunks known. */
  readMore(): Promise<void> {
    this.#reading ??= this.#readRows().finally(() => {
      this.#reading = null;
    });
    return this.#reading;
  }

  async #readRows(): Promise<void> {
    // What is being written becomes readable before it has landed: it is no chunk yet.
    const unwritten = this.#unwritten.first?.kept.seq ?? this.#kin.nextSeq;
    const inFlight = this.#share.firstInFlight ?? unwritten;
    const range = {
      gte: outboxChunkKey(this.#name, this.#readFrom),
      lt: outboxChunkKey(this.#name, Math.min(unwritten, inFlight)),
    };
    const rows = await this.#host.database.read(async (handle) => {
      const iterator = handle.iterator(range);
      try {
        return await iterator.nextv(ROWS_PER_READ);
      } finally {
        await iterator.close();
      }
    });
    for (const [key, value] of rows) this.#foundUnread(key, value);
    if (rows.length > 0) return;
    // Rows that were there at the start and cannot be read any more.
    this.#lane.counted(-this.#unreadMessages, -this.#unreadBytes);
    this.#unreadMessages = 0;
    this.#unreadBytes = 0;
  }

  #foundUnread(key: Buffer, value: Buffer): void {
    const first = seqOfChunkKey(key);
    this.#readFrom = first + 1;
    if (this.#share.isUncertain(first)) return;
    const { onDamage } = this.#host;
    const entries = parseRow(key, () => readChunk(openValue(key, value), first), onDamage);
    if (entries === null) {
      this.#share.bury(first);
      this.#share.changed();
      return;
    }
    const chunk = new Chunk(entries, (seq) => this.#goneUnread.delete(seq));
    this.#readFrom = chunk.last + 1;
    this.#unreadMs = entries.at(-1)?.atMs ?? this.#unreadMs;
    for (const { seq, bytes } of entries) {
      if (!chunk.has(seq)) continue;
      this.#unreadMessages--;
      this.#unreadBytes -= bytes;
    }
    this.#known.push(chunk);
    if (chunk.left === 0) this.bury(chunk);
  }

  /** Fetches the entries of a known chunk again; false when they are lost. */
  async readAgain(chunk: Chunk): Promise<boolean> {
    const key = outboxChunkKey(this.#name, chunk.first);
    const value = await this.#host.database.read((handle) => handle.get(key));
    const parse = () =>
      value === undefined ? null : readChunk(openValue(key, value), chunk.first);
    chunk.entries = parseRow(key, parse, this.#host.onDamage);
    if (chunk.entries !== null || chunk.left === 0) return chunk.left > 0;
    if (value === undefined) this.#host.onDamage(key, "its row is missing");
    for (let seq = chunk.first; seq <= chunk.last; seq++) this.#lane.forget(seq);
    return false;
  }
}
