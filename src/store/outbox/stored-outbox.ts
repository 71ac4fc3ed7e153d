import { GatewayError } from "../../errors/index.ts";
import type { OutboxDropReason, OutboxEntry, OutboxGap, OutboxMessage } from "../../mqtt/index.ts";
import type { ByteReader } from "../bytes.ts";
import { outboxChunkKey, outboxRanges, seqOfChunkKey } from "../keys.ts";
import { parseRow } from "../reader.ts";
import { openValue } from "../value.ts";
import {
  type KeptEntry,
  type OutboxState,
  readChunk,
  readSummary,
  readTopics,
  writeChunk,
  writeState,
} from "./chunk-codec.ts";
import { Chunk, KnownChunks } from "./chunks.ts";
import { Gaps, writeGap } from "./gaps.ts";
import { GroupShare } from "./group-share.ts";
import type { LaneKin } from "./lane-kin.ts";
import { type OutboxHost, type OutboxWriter, ROWS_PER_READ } from "./outbox-host.ts";
import { Trimmer } from "./trimmer.ts";
import { type Unwritten, UnwrittenEntries } from "./unwritten.ts";

/** Sequences set aside at once, and how many are left when the next ones are. */
const RESERVED_SEQS = 100_000;
const RESERVE_BELOW = 50_000;

const DONE = Promise.resolve();

/**
 * One lane of an outbox: a queue in strict order. Of what is on disk only the part that is on its way
 * is known in memory; the rest is two numbers, however long the queue is.
 */
export class StoredOutbox {
  /** Of its rows. */
  readonly name: string;
  readonly #host: OutboxHost;
  readonly #kin: LaneKin;
  readonly #lane: number;
  readonly #dropped: Record<OutboxDropReason, number> = {
    queue_full: 0,
    too_large: 0,
    too_old: 0,
    store_full: 0,
  };
  readonly #gaps = new Gaps();
  readonly #trimmer: Trimmer;

  /** Chunks on disk from the head up to `#readFrom`, and what is behind them. */
  readonly #known = new KnownChunks();
  #readFrom = 0;
  #unreadMessages = 0;
  #unreadBytes = 0;
  #unreadMs = 0;
  /** Sequences that are gone from chunks that have not been read. */
  readonly #goneUnread = new Set<number>();
  readonly #unwritten = new UnwrittenEntries();
  /** Sequences of QoS 2 messages that the other side has received. */
  readonly #received = new Set<number>();

  #seqLimit = 0;
  #takenSeq = 0;
  #messages = 0;
  #bytes = 0;
  #takenMessages = 0;

  readonly #share: GroupShare;
  #reading: Promise<void> | null = null;

  constructor(host: OutboxHost, name: string, kin: LaneKin, lane: number) {
    this.#host = host;
    this.name = name;
    this.#kin = kin;
    this.#lane = lane;
    this.#share = new GroupShare(
      host,
      () => host.pending.open.outboxes.push(this),
      this.#gaps,
      this.#unwritten,
    );
    this.#trimmer = new Trimmer(host, kin, lane, {
      name,
      unreadMs: () => this.#unreadMs,
      oldestMs: () => this.#oldestMs(),
      nextWaiting: () => this.#nextWaiting(),
      readMore: () => this.#readMore(),
      drop: (entry, reason) => this.#drop(entry, reason),
      moveToEnd: (entry) => this.#moveToEnd(entry),
    });
  }

  append(message: OutboxMessage, isUrgent = false): Promise<void> {
    const bytes = Buffer.byteLength(message.topic) + message.payload.length;
    const atMs = this.#host.nowMs();
    const refusal = this.#host.admit(bytes);
    if (refusal !== null) {
      if (message.qos > 0) {
        const reason = "the message for the cloud cannot be stored";
        return Promise.reject(new GatewayError(refusal, { reason }));
      }
      this.#noteDrop(message.topic, atMs, "store_full");
      return DONE;
    }
    const { maxBytes, policy } = this.#kin.cfg;
    if (bytes > maxBytes) {
      this.#noteDrop(message.topic, atMs, "too_large");
      return DONE;
    }
    if (policy === "drop_newest" ? this.#kin.isOver(1, bytes) : this.#kin.isFarOver()) {
      this.#noteDrop(message.topic, atMs, "queue_full");
      return DONE;
    }
    let done = DONE;
    let settle: Unwritten["settle"] = null;
    if (message.qos > 0) {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      settle = (error) => (error === null ? resolve() : reject(error));
      done = promise;
    }
    this.#trimmer.appended();
    this.#put({ message, bytes, atMs, isReport: false }, settle);
    if (this.#kin.isOver(0, 0)) this.#kin.trim();
    if (message.qos > 0) this.#host.schedule(isUrgent);
    return done;
  }

  async take(afterSeq: number, limit: number): Promise<readonly OutboxEntry[]> {
    const taken: OutboxEntry[] = [];
    let from = afterSeq + 1;
    while (taken.length < limit) {
      const chunk = this.#known.at(from);
      if (chunk === undefined) {
        if (this.#unreadMessages === 0) break;
        await this.#readMore();
        continue;
      }
      if (chunk.entries === null && !(await this.#readAgain(chunk))) continue;
      for (const entry of chunk.from(from)) {
        if (taken.length === limit) break;
        taken.push(this.#handOut(entry));
      }
      if (taken.length === limit) break;
      chunk.entries = null;
      from = chunk.last + 1;
    }
    for (const { kept } of this.#unwritten.range(from)) {
      if (taken.length === limit || kept.message.qos === 2) break;
      taken.push(this.#handOut(kept));
    }
    return taken;
  }

  remove(seq: number): void {
    this.#forget(seq);
  }

  setReceived(seq: number, isReceived: boolean): Promise<void> {
    if (this.#known.at(seq)?.has(seq) !== true) return DONE;
    if (isReceived) this.#received.add(seq);
    else this.#received.delete(seq);
    this.#share.stateChanged();
    this.#share.changed();
    return this.#host.committed();
  }

  gaps(): readonly OutboxGap[] {
    return this.#gaps.list();
  }

  /** Appends reports, above the bounds. */
  report(messages: readonly OutboxMessage[]): void {
    const atMs = this.#host.nowMs();
    for (const message of messages) {
      const bytes = Buffer.byteLength(message.topic) + message.payload.length;
      this.#put({ message, bytes, atMs, isReport: true }, null);
    }
  }

  /** They are reported. */
  forgetGaps(): void {
    this.#gaps.clear();
    this.#share.changed();
  }

  get messages(): number {
    return this.#messages;
  }

  /** Messages that nobody has taken yet. */
  get waiting(): number {
    return this.#messages - this.#takenMessages;
  }

  get dropped(): Readonly<Record<OutboxDropReason, number>> {
    return this.#dropped;
  }

  /** Whether the entry with this sequence, if there is one, has not been taken yet. */
  isWaiting(seq: number): boolean {
    return seq > this.#takenSeq && this.waiting > 0;
  }

  /**
   * Whether an entry with this sequence or a lower one may be here, or come back after a crash; says
   * yes also for some that are gone.
   */
  mayHold(seq: number): boolean {
    const unwritten = this.#unwritten.first;
    if (unwritten !== undefined && unwritten.kept.seq <= seq) return true;
    const { head } = this.#known;
    if (head !== undefined && head.first <= seq) return true;
    if (this.#unreadMessages > 0 && this.#readFrom <= seq) return true;
    return this.#share.mayHold(seq);
  }

  /** The sequence from which on entries wait, or a lower one; infinite when none does. */
  waitsFrom(): number {
    if (this.waiting === 0) return Number.POSITIVE_INFINITY;
    const next = this.#nextWaiting();
    if (next === "disk") return this.#readFrom;
    return next?.seq ?? Number.POSITIVE_INFINITY;
  }

  /** Gives everything up, and what is noted of it. */
  async discard(): Promise<void> {
    const { database, pending, recorded, committed } = this.#host;
    for (const { kept } of [...this.#unwritten.range(0)]) this.#forget(kept.seq);
    // Everything that was recorded is on disk then, and all of it goes.
    await committed();
    this.#host.totals.removedBytes += this.#bytes;
    this.#counted(-this.#messages, -this.#bytes);
    this.#known.clear();
    this.#goneUnread.clear();
    this.#received.clear();
    this.#unreadMessages = 0;
    this.#unreadBytes = 0;
    this.#takenMessages = 0;
    this.#readFrom = this.#kin.nextSeq;
    this.#gaps.clear();
    this.#gaps.dirty.clear();
    this.#seqLimit = 0;
    for (const range of outboxRanges(this.name)) {
      for await (const rows of database.rows(range, ROWS_PER_READ)) {
        for (const [key] of rows) pending.putRow({ key, value: null, cause: "delete" });
        recorded();
        await committed();
      }
    }
  }

  /** How long the oldest entry has waited; null when there is none. */
  oldestAgeMs(): number | null {
    const oldestMs = this.#oldestMs();
    return oldestMs === null ? null : Math.max(0, this.#host.nowMs() - oldestMs);
  }

  /** Drops what is over a bound, if this lane is the one to give way, or too old. */
  trim(): void {
    if (this.#messages > 0) this.#trimmer.trim();
  }

  /** Resolves when nothing is being read to be dropped. */
  async idle(): Promise<void> {
    await this.#trimmer.idle();
  }

  /** Takes what the scan at the start found: the state comes first, the chunks in order. */
  foundState({ seqLimit, gone, received }: OutboxState): void {
    this.#seqLimit = seqLimit;
    this.#kin.nextSeq = Math.max(this.#kin.nextSeq, seqLimit);
    for (const seq of gone) this.#goneUnread.add(seq);
    for (const seq of received) this.#received.add(seq);
  }

  foundGap(topic: string, from: ByteReader): void {
    this.#gaps.found(topic, from);
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
    readTopics(openValue(key, value), first, (topic, seq) => {
      this.#kin.placed(topic, seq, this.#lane);
    });
    if (this.#unreadMessages === 0) this.#unreadMs = firstMs;
    this.#unreadMessages += messages;
    this.#unreadBytes += size;
    this.#kin.nextSeq = Math.max(this.#kin.nextSeq, last + 1);
    this.#trimmer.foundOnDisk();
    this.#counted(messages, size);
  }

  /** The open group is closed. */
  freeze(): void {
    this.#share.freeze(this.#kin.nextSeq);
  }

  /** Writes the group in flight. One step is one chunk: the caller gives turns in between. */
  *encode(writer: OutboxWriter): Generator<void> {
    const { inFlight } = this.#share;
    if (inFlight === null) return;
    if (inFlight.isStateDirty) {
      const received = [...this.#received].sort((a, b) => a - b);
      const state = { seqLimit: this.#seqLimit, gone: this.#goneSeqs(), received };
      writer.state((out) => writeState(out, state));
    }
    for (const topic of inFlight.gaps) {
      const gap = this.#gaps.get(topic);
      writer.gap(topic, gap === undefined ? null : (out) => writeGap(out, gap));
    }
    for (const first of inFlight.dead) writer.deleteChunk(first);
    const written = new Set<number>();
    for (const entries of this.#unwritten.chunks(inFlight.boundary)) {
      const kept = entries.map((each) => each.kept);
      const first = kept[0]?.seq ?? 0;
      written.add(first);
      inFlight.chunks.push({ entries });
      writer.chunk(first, (out) => writeChunk(out, kept));
      yield;
    }
    for (const first of inFlight.uncertain) if (!written.has(first)) writer.deleteChunk(first);
  }

  /** The group in flight is on disk. */
  land(): void {
    const chunks = this.#share.land();
    if (chunks === null) return;
    for (const { entries } of chunks) this.#landChunk(entries);
    this.#share.changed();
    for (const { entries } of chunks) for (const { settle } of entries) settle?.(null);
  }

  /** The group in flight may or may not be on disk: it is open again. */
  restore(): void {
    this.#share.restore();
  }

  /** Its operations in the open group, and their topic and payload bytes. */
  recount(): { operations: number; bytes: number } {
    return this.#share.recount();
  }

  /** A group was settled with an error: who waits for an entry in it is told, and it is not kept. */
  failed(error: GatewayError): void {
    for (const each of this.#unwritten.range(0)) {
      if (!each.hasFailed) continue;
      each.hasFailed = false;
      if (each.settle === null) continue;
      this.#leave(each);
      each.settle(error);
    }
    this.#unwritten.trim();
    this.#share.changed();
  }

  #put(entry: Omit<KeptEntry, "seq">, settle: Unwritten["settle"]): void {
    const seq = this.#kin.nextSeq++;
    if (seq + RESERVE_BELOW >= this.#seqLimit) {
      this.#seqLimit = seq + 1 + RESERVED_SEQS;
      this.#share.stateChanged();
    }
    if (!entry.isReport) this.#kin.placed(entry.message.topic, seq, this.#lane);
    this.#unwritten.push({ kept: { seq, ...entry }, settle, isGone: false, hasFailed: false });
    this.#share.entered(entry.bytes);
    this.#trimmer.placed(entry.message.topic, seq);
    this.#counted(1, entry.bytes);
    this.#share.changed();
  }

  #handOut({ seq, message, atMs }: KeptEntry): OutboxEntry {
    if (seq > this.#takenSeq) {
      this.#takenSeq = seq;
      this.#takenMessages++;
    }
    const { clock, nowMs } = this.#host;
    const appendedAtMs = clock.monotonicMs() - Math.max(0, nowMs() - atMs);
    const isReceived = this.#received.has(seq);
    return { seq, lane: this.#lane, message, appendedAtMs, isReceived };
  }

  /** Removes an entry wherever it is; whoever waits for its commit need not any more. */
  #forget(seq: number): boolean {
    const unwritten = this.#unwritten.find(seq);
    if (unwritten !== undefined) {
      this.#leave(unwritten);
      this.#unwritten.trim();
      this.#share.changed();
      unwritten.settle?.(null);
      return true;
    }
    const chunk = this.#known.at(seq);
    const bytes = chunk?.remove(seq) ?? -1;
    if (chunk === undefined || bytes < 0) return false;
    this.#left(seq, bytes);
    this.#host.totals.removedBytes += bytes;
    if (this.#received.delete(seq)) this.#share.stateChanged();
    if (chunk.left === 0) this.#bury(chunk);
    else this.#share.stateChanged();
    this.#share.changed();
    return true;
  }

  #leave(unwritten: Unwritten): void {
    const { seq, bytes } = unwritten.kept;
    unwritten.isGone = true;
    this.#left(seq, bytes);
    if (this.#share.left(seq, bytes)) this.#host.totals.cancelled++;
  }

  #left(seq: number, bytes: number): void {
    if (seq <= this.#takenSeq) this.#takenMessages--;
    this.#counted(-1, -bytes);
  }

  #bury(chunk: Chunk): void {
    this.#known.remove(chunk);
    this.#share.bury(chunk.first);
  }

  /** A chunk some of which is taken or gone is known from the start, if all before it are. */
  #landChunk(entries: readonly Unwritten[]): void {
    const kept = entries.map((each) => each.kept);
    const first = kept[0]?.seq ?? 0;
    const gone = new Set(entries.flatMap((each) => (each.isGone ? [each.kept.seq] : [])));
    if (this.#unreadMessages === 0 && (gone.size > 0 || first <= this.#takenSeq)) {
      const chunk = new Chunk(kept, (seq) => gone.has(seq));
      if (chunk.last <= this.#takenSeq) chunk.entries = null;
      this.#readFrom = chunk.last + 1;
      this.#known.push(chunk);
      if (chunk.left === 0) this.#bury(chunk);
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

  /** Makes the next unread chunks known. */
  #readMore(): Promise<void> {
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
      gte: outboxChunkKey(this.name, this.#readFrom),
      lt: outboxChunkKey(this.name, Math.min(unwritten, inFlight)),
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
    this.#counted(-this.#unreadMessages, -this.#unreadBytes);
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
    if (chunk.left === 0) this.#bury(chunk);
  }

  /** Fetches the entries of a known chunk again; false when they are lost. */
  async #readAgain(chunk: Chunk): Promise<boolean> {
    const key = outboxChunkKey(this.name, chunk.first);
    const value = await this.#host.database.read((handle) => handle.get(key));
    const parse = () =>
      value === undefined ? null : readChunk(openValue(key, value), chunk.first);
    chunk.entries = parseRow(key, parse, this.#host.onDamage);
    if (chunk.entries !== null || chunk.left === 0) return chunk.left > 0;
    if (value === undefined) this.#host.onDamage(key, "its row is missing");
    for (let seq = chunk.first; seq <= chunk.last; seq++) this.#forget(seq);
    return false;
  }

  /** The oldest entry that is not on its way: "disk" = it has to be read first. */
  #nextWaiting(): KeptEntry | "disk" | null {
    const from = this.#takenSeq + 1;
    for (
      let chunk = this.#known.at(from);
      chunk !== undefined;
      chunk = this.#known.at(chunk.last + 1)
    ) {
      if (chunk.entries === null) continue;
      // What the other side has received is on its way since an earlier run.
      for (const entry of chunk.from(from)) if (!this.#received.has(entry.seq)) return entry;
    }
    if (this.#unreadMessages > 0) return "disk";
    for (const { kept } of this.#unwritten.range(from)) return kept;
    return null;
  }

  #moveToEnd({ seq, message, bytes, atMs, isReport }: KeptEntry): void {
    const waiting = this.#unwritten.find(seq)?.settle ?? null;
    // A row's buffer would stay in memory for as long as this message does.
    const own = { ...message, payload: Buffer.from(message.payload) };
    this.#put({ message: own, bytes, atMs, isReport }, waiting);
    const unwritten = this.#unwritten.find(seq);
    if (unwritten === undefined) this.#forget(seq);
    else {
      this.#leave(unwritten);
      this.#unwritten.trim();
      this.#share.changed();
    }
  }

  #drop({ seq, message, atMs }: KeptEntry, reason: OutboxDropReason): void {
    if (!this.#forget(seq)) return;
    this.#noteDrop(message.topic, atMs, reason);
  }

  #noteDrop(topic: string, atMs: number, reason: OutboxDropReason): void {
    this.#dropped[reason]++;
    const { clock, nowMs } = this.#host;
    this.#gaps.note(topic, clock.nowMs() - Math.max(0, nowMs() - atMs));
    this.#share.changed();
  }

  #oldestMs(): number | null {
    const { head } = this.#known;
    if (head !== undefined) return head.oldestMs;
    if (this.#unreadMessages > 0) return this.#unreadMs;
    return this.#unwritten.first?.kept.atMs ?? null;
  }

  #goneSeqs(): number[] {
    const gone = [...this.#goneUnread];
    for (const chunk of this.#known) if (chunk.isPartial) gone.push(...chunk.gone());
    return gone.sort((a, b) => a - b);
  }

  #counted(messages: number, bytes: number): void {
    this.#messages += messages;
    this.#bytes += bytes;
    this.#kin.counted(messages, bytes);
    this.#host.totals.bytes += bytes;
  }
}
