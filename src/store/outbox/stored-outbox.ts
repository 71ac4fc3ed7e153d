import { GatewayError } from "../../errors/index.ts";
import type { OutboxDropReason, OutboxEntry, OutboxGap, OutboxMessage } from "../../mqtt/index.ts";
import type { ByteReader } from "../bytes.ts";
import { outboxRanges } from "../keys.ts";
import { type KeptEntry, type OutboxState, writeChunk, writeState } from "./chunk-codec.ts";
import { Gaps, writeGap } from "./gaps.ts";
import { GroupShare } from "./group-share.ts";
import type { LaneKin } from "./lane-kin.ts";
import { type OutboxHost, type OutboxWriter, ROWS_PER_READ } from "./outbox-host.ts";
import { Trimmer } from "./trimmer.ts";
import { type Unwritten, UnwrittenEntries } from "./unwritten.ts";
import { WrittenEntries } from "./written.ts";

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

  readonly #written: WrittenEntries;
  readonly #unwritten = new UnwrittenEntries();
  /** Sequences of QoS 2 messages that the other side has received. */
  readonly #received = new Set<number>();

  #seqLimit = 0;
  #takenSeq = 0;
  #messages = 0;
  #bytes = 0;
  #takenMessages = 0;

  readonly #share: GroupShare;

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
    this.#written = new WrittenEntries(host, name, kin, this.#share, this.#unwritten, {
      counted: (messages, bytes) => this.#counted(messages, bytes),
      placed: (topic, seq) => kin.placed(topic, seq, lane),
      forget: (seq) => this.#forget(seq),
    });
    this.#trimmer = new Trimmer(host, kin, lane, {
      name,
      unreadMs: () => this.#written.unreadMs,
      oldestMs: () => this.#oldestMs(),
      nextWaiting: () => this.#nextWaiting(),
      readMore: () => this.#written.readMore(),
      drop: (entry, reason) => this.#drop(entry, reason),
      moveToEnd: (entry) => this.#moveToEnd(entry),
    });
  }

  append(message: OutboxMessage, patienceMs: number): Promise<void> {
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
    const dueMs = this.#dueMs(message.qos > 0 ? patienceMs : 0);
    this.#put({ message, bytes, atMs, isReport: false }, settle, dueMs);
    if (this.#kin.isOver(0, 0)) this.#kin.trim();
    if (message.qos > 0) this.#host.scheduleBy(dueMs);
    return done;
  }

  async take(afterSeq: number, limit: number): Promise<readonly OutboxEntry[]> {
    const taken: OutboxEntry[] = [];
    let from = afterSeq + 1;
    while (taken.length < limit) {
      const chunk = this.#written.at(from);
      if (chunk === undefined) {
        if (!this.#written.hasUnread) break;
        await this.#written.readMore();
        continue;
      }
      if (chunk.entries === null && !(await this.#written.readAgain(chunk))) continue;
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
    if (this.#written.at(seq)?.has(seq) !== true) return DONE;
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
      this.#put({ message, bytes, atMs, isReport: true }, null, this.#dueMs(0));
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
    return this.#written.mayHold(seq) || this.#share.mayHold(seq);
  }

  /** The sequence from which on entries wait, or a lower one; infinite when none does. */
  waitsFrom(): number {
    if (this.waiting === 0) return Number.POSITIVE_INFINITY;
    const next = this.#nextWaiting();
    if (next === "disk") return this.#written.readFrom;
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
    this.#written.clear();
    this.#received.clear();
    this.#takenMessages = 0;
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

  /** Entries that commits leave out for some time, and until when the first of them; monotonic ms. */
  patience(): { readonly messages: number; readonly untilMs: number } {
    return this.#share.patience();
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
    this.#written.foundGone(gone);
    for (const seq of received) this.#received.add(seq);
  }

  foundGap(topic: string, from: ByteReader): void {
    this.#gaps.found(topic, from);
  }

  foundChunk(key: Buffer, value: Buffer): void {
    this.#written.foundChunk(key, value);
    this.#trimmer.foundOnDisk();
  }

  /** The open group is closed, with all of it or with what is, or soon will be, due. */
  freeze(isAll: boolean): void {
    const { clock, commitDelayMs } = this.#host;
    const soonMs = clock.monotonicMs() + commitDelayMs;
    this.#share.freeze(isAll ? this.#kin.nextSeq : this.#unwritten.dueBelow(soonMs));
  }

  /** Writes the group in flight. One step is one chunk: the caller gives turns in between. */
  *encode(writer: OutboxWriter): Generator<void> {
    const { inFlight } = this.#share;
    if (inFlight === null) return;
    if (inFlight.isStateDirty) {
      const received = [...this.#received].sort((a, b) => a - b);
      const state = { seqLimit: this.#seqLimit, gone: this.#written.goneSeqs(), received };
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
    for (const { entries } of chunks) this.#written.land(entries, this.#takenSeq);
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

  /** When something has to be committed that has so much patience; monotonic ms. */
  #dueMs(patienceMs: number): number {
    const { clock, commitDelayMs } = this.#host;
    if (patienceMs === 0) return Number.NEGATIVE_INFINITY;
    return clock.monotonicMs() + Math.max(patienceMs, commitDelayMs);
  }

  #put(entry: Omit<KeptEntry, "seq">, settle: Unwritten["settle"], dueMs: number): void {
    const seq = this.#kin.nextSeq++;
    if (seq + RESERVE_BELOW >= this.#seqLimit) {
      this.#seqLimit = seq + 1 + RESERVED_SEQS;
      this.#share.stateChanged();
    }
    if (!entry.isReport) this.#kin.placed(entry.message.topic, seq, this.#lane);
    const kept = { seq, ...entry };
    const unwritten: Unwritten = { kept, settle, dueMs, isGone: false, hasFailed: false };
    this.#unwritten.push(unwritten);
    this.#share.entered(unwritten);
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
    const chunk = this.#written.at(seq);
    const bytes = chunk?.remove(seq) ?? -1;
    if (chunk === undefined || bytes < 0) return false;
    this.#left(seq, bytes);
    this.#host.totals.removedBytes += bytes;
    if (this.#received.delete(seq)) this.#share.stateChanged();
    if (chunk.left === 0) this.#written.bury(chunk);
    else this.#share.stateChanged();
    this.#share.changed();
    return true;
  }

  #leave(unwritten: Unwritten): void {
    const { seq, bytes } = unwritten.kept;
    unwritten.isGone = true;
    this.#left(seq, bytes);
    if (this.#share.left(unwritten)) this.#host.totals.cancelled++;
  }

  #left(seq: number, bytes: number): void {
    if (seq <= this.#takenSeq) this.#takenMessages--;
    this.#counted(-1, -bytes);
  }

  /** The oldest entry that is not on its way: "disk" = it has to be read first. */
  #nextWaiting(): KeptEntry | "disk" | null {
    const from = this.#takenSeq + 1;
    for (
      let chunk = this.#written.at(from);
      chunk !== undefined;
      chunk = this.#written.at(chunk.last + 1)
    ) {
      if (chunk.entries === null) continue;
      // What the other side has received is on its way since an earlier run.
      for (const entry of chunk.from(from)) if (!this.#received.has(entry.seq)) return entry;
    }
    if (this.#written.hasUnread) return "disk";
    for (const { kept } of this.#unwritten.range(from)) return kept;
    return null;
  }

  #moveToEnd({ seq, message, bytes, atMs, isReport }: KeptEntry): void {
    const unwritten = this.#unwritten.find(seq);
    const dueMs = unwritten?.dueMs ?? this.#dueMs(0);
    // A row's buffer would stay in memory for as long as this message does.
    const own = { ...message, payload: Buffer.from(message.payload) };
    this.#put({ message: own, bytes, atMs, isReport }, unwritten?.settle ?? null, dueMs);
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
    return this.#written.oldestMs() ?? this.#unwritten.first?.kept.atMs ?? null;
  }

  #counted(messages: number, bytes: number): void {
    this.#messages += messages;
    this.#bytes += bytes;
    this.#kin.counted(messages, bytes);
    this.#host.totals.bytes += bytes;
  }
}
