import type {
  QueuedMessage,
  QueueEntry,
  QueueSummary,
  ReleasedMessage,
  SessionRecord,
  SessionStore,
  StoredMessage,
  StoredSubscription,
} from "../mqtt/index.ts";
import { entrySize } from "./message-codec.ts";
import { type Pending, SessionOperations } from "./pending.ts";
import { QueueIndex } from "./queue-index.ts";

/** What a session needs of the store it is part of. */
export interface SessionHost {
  readonly pending: Pending;
  readonly totals: QueueTotals;
  /** An operation was recorded. */
  recorded(): void;
  /** Reads entries from disk: those of `session.index` from `from` to `to`, in order. */
  readEntries(session: StoredSession, from: number, to: number): Promise<QueueEntry[]>;
  /** A subscription was recorded, or its removal (null). */
  subscribed(session: StoredSession, filter: string, subscription: StoredSubscription | null): void;
  /** The session has ended; `isWritten` = there may be rows of it on disk. */
  ended(session: StoredSession, isWritten: boolean): void;
}

/** Entries of all sessions. */
export interface QueueTotals {
  messages: number;
  bytes: number;
  /** Entries removed before they were committed. */
  cancelled: number;
  /** Topic and payload bytes of entries removed from disk since the last compaction. */
  removedBytes: number;
}

/** One session: what is recorded for it, and what is known of its rows on disk. */
export class StoredSession implements SessionStore {
  readonly clientId: string;
  readonly number: number;
  /** Entries on disk whose removal is not recorded. */
  readonly index = new QueueIndex();
  readonly queue: QueueSummary;
  /** Inbound markers that are, or may be, on disk. */
  readonly inboundOnDisk = new Set<number>();
  /** Operations in the open group. */
  open: SessionOperations | null = null;
  inFlight: SessionOperations | null = null;
  readonly #host: SessionHost;
  /** In `pending.open.sessions`. */
  #isListed = false;
  /** There may be rows of this session on disk. */
  #isWritten: boolean;
  #isEnded = false;
  #count = 0;
  #bytes = 0;
  #lastSeq = -1;

  /**
   * `origin`: a `new` session has nothing on disk, a `stored` one has its record there, and a `left`
   * one rows that nothing belongs to any more.
   */
  constructor(
    host: SessionHost,
    clientId: string,
    number: number,
    origin: "new" | "stored" | "left",
  ) {
    this.#host = host;
    this.clientId = clientId;
    this.number = number;
    this.#isWritten = origin !== "new";
    this.#isEnded = origin === "left";
    this.queue = summaryOf(this);
  }

  get count(): number {
    return this.#count;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get lastSeq(): number {
    return this.#lastSeq;
  }

  get firstSeq(): number {
    if (this.#count === 0) return -1;
    if (this.index.count > 0 && !this.#isOutOfOrder()) return this.index.first;
    const recorded = this.#recordedEntries(0)[0]?.seq ?? Number.POSITIVE_INFINITY;
    return this.index.count > 0 ? Math.min(this.index.first, recorded) : recorded;
  }

  put(record: SessionRecord): void {
    const open = this.#operations();
    if (open === null) return;
    open.record = record;
    this.#recorded(1, 0);
  }

  putSubscription(subscription: StoredSubscription): void {
    this.#operations()?.subscriptions.set(subscription.filter, subscription);
    this.#recorded(1, 0);
    this.#host.subscribed(this, subscription.filter, subscription);
  }

  deleteSubscription(filter: string): void {
    this.#operations()?.subscriptions.set(filter, null);
    this.#recorded(1, 0);
    this.#host.subscribed(this, filter, null);
  }

  putInbound(packetId: number): void {
    const inbound = this.#operations()?.inbound;
    if (inbound === undefined) return;
    const isNew = !inbound.has(packetId);
    inbound.set(packetId, true);
    if (isNew) this.#recorded(1, 0);
  }

  deleteInbound(packetId: number): void {
    const recorded = this.open?.inbound.get(packetId);
    const isWritten =
      this.inboundOnDisk.has(packetId) || this.inFlight?.inbound.get(packetId) === true;
    if (isWritten) {
      if (recorded === false) return;
      this.#operations()?.inbound.set(packetId, false);
      this.#recorded(recorded === undefined ? 1 : 0, 0);
    } else if (recorded === true) {
      this.open?.inbound.delete(packetId);
      this.#recorded(-1, 0);
    }
  }

  enqueue(entry: QueuedMessage): void {
    this.store(entry);
    this.#host.pending.noteCopy(entry.message);
  }

  /** Puts any entry at its sequence, in place of the one that is there. */
  store(entry: QueueEntry): void {
    const open = this.#operations();
    if (open === null) return;
    const { seq } = entry;
    const bytes = entrySize(entry);
    if (seq <= this.#lastSeq) this.#replace(seq);
    else this.#lastSeq = seq;
    open.queue.set(seq, entry);
    this.#counted(1, bytes);
    this.#recorded(1, bytes);
  }

  /** The newest version of a released entry that is in the index. */
  released(seq: number): ReleasedMessage {
    const recorded = this.#recordedEntry(seq);
    return recorded?.message === null ? recorded : { seq, message: null };
  }

  setReleased(seq: number): void {
    const bytes = this.bytesOf(seq);
    if (bytes <= 0) return;
    this.#counted(0, -bytes);
    this.#freeBody(seq);
    this.index.release(seq);
    const isOpen = this.open?.queue.has(seq) === true;
    this.#operations()?.queue.set(seq, { seq, message: null });
    if (isOpen) this.#recorded(0, -bytes);
    else this.#recorded(1, 0);
  }

  dequeue(seq: number): void {
    const open = this.open?.queue.get(seq);
    if (open === null) return;
    if (open !== undefined) {
      this.#takeBack(seq, open);
      return;
    }
    const bytes = this.bytesOf(seq);
    if (bytes < 0) return;
    this.#counted(-1, -bytes);
    if (this.index.has(seq)) {
      this.#freeBody(seq);
      this.index.remove(seq);
      this.#host.totals.removedBytes += bytes;
    }
    this.#operations()?.queue.set(seq, null);
    this.#recorded(1, 0);
  }

  bytesOf(seq: number): number {
    const recorded = this.#recordedEntry(seq);
    if (recorded === null) return -1;
    return recorded === undefined ? this.index.bytesOf(seq) : entrySize(recorded);
  }

  async readQueue(
    fromSeq: number,
    maxMessages: number,
    maxBytes: number,
  ): Promise<readonly QueueEntry[]> {
    const span = this.index.span(fromSeq, maxMessages, maxBytes);
    if (span === null) return this.#take(fromSeq, maxMessages, maxBytes);
    const isOutOfOrder = this.#isOutOfOrder();
    const room = isOutOfOrder ? maxMessages : maxMessages - span.count;
    const budget = isOutOfOrder ? maxBytes : maxBytes - span.bytes;
    const recorded = room > 0 && budget > 0 ? this.#take(fromSeq, room, budget) : [];
    const read = await this.#host.readEntries(this, span.first, span.last);
    const present = recorded.filter((entry) => this.bytesOf(entry.seq) >= 0);
    if (!isOutOfOrder) return present.length === 0 ? read : read.concat(present);
    return cutOff(
      read.concat(present).sort((a, b) => a.seq - b.seq),
      maxMessages,
      maxBytes,
    );
  }

  delete(): void {
    if (this.#isEnded) return;
    this.#counted(-this.#count, -this.#bytes);
    this.#recorded(-(this.open?.count ?? 0), -(this.open?.bytes ?? 0));
    this.open = null;
    const isWritten = this.#isWritten || this.inFlight !== null;
    if (isWritten) {
      const open = this.#operations();
      if (open !== null) open.isEnd = true;
      this.#recorded(1, 0);
    }
    this.#isEnded = true;
    this.#host.ended(this, isWritten);
  }

  /** Takes an entry found on disk at the start into the summary. */
  found(seq: number, bytes: number, body: number): void {
    this.index.add(seq, bytes, body);
    this.#lastSeq = Math.max(this.#lastSeq, seq);
    this.#counted(1, bytes);
  }

  /** A row that is in the index turned out to be unreadable. */
  lost(seq: number): void {
    const bytes = this.index.bytesOf(seq);
    if (bytes < 0) return;
    this.#counted(-1, -bytes);
    this.#freeBody(seq);
    this.index.remove(seq);
    this.#operations()?.queue.set(seq, null);
    this.#recorded(1, 0);
  }

  /** The open group is closed: what is recorded from now on belongs to the next. */
  freeze(): void {
    this.#isListed = false;
    // All of it cancelled: the healthy case, in which nothing is to be made anew.
    if (this.open === null || this.open.count === 0) return;
    this.inFlight = this.open;
    this.open = null;
    this.#isWritten = true;
  }

  /** The group in flight is on disk; `bodyOf` names the body an entry's message was put into. */
  land(bodyOf: (message: StoredMessage) => number): void {
    const landed = this.inFlight;
    this.inFlight = null;
    if (landed === null) return;
    for (const [packetId, isPut] of landed.inbound) {
      if (isPut) this.inboundOnDisk.add(packetId);
      else this.inboundOnDisk.delete(packetId);
    }
    for (const [seq, entry] of landed.queue) {
      if (entry === null) continue;
      const body = entry.message === null ? 0 : bodyOf(entry.message);
      const later = this.open?.queue.get(seq);
      if (later === undefined) this.index.add(seq, entrySize(entry), body);
      else {
        if (body !== 0) this.#host.pending.open.freedBodies.push(body);
        if (later?.message === null) this.index.add(seq, 0, 0);
        else if (later !== null) this.open?.markUncertain(seq);
      }
    }
  }

  /** The group in flight may or may not be on disk: it is open again, below what came later. */
  restore(): void {
    const failed = this.inFlight;
    const later = this.open;
    this.inFlight = null;
    this.#isListed = true;
    if (failed === null) return;
    for (const [packetId, isPut] of failed.inbound) if (isPut) this.inboundOnDisk.add(packetId);
    for (const [seq, entry] of failed.queue) if (entry !== null) failed.markUncertain(seq);
    if (later?.isEnd) return;
    this.open = failed;
    if (later !== null) failed.overtake(later);
  }

  /** An entry recorded in the open group is removed again. */
  #takeBack(seq: number, entry: QueueEntry): void {
    const bytes = entrySize(entry);
    this.#counted(-1, -bytes);
    if (this.#isPerhapsOnDisk(seq)) {
      this.#freeBody(seq);
      this.index.remove(seq);
      this.open?.queue.set(seq, null);
      this.#recorded(0, -bytes);
    } else {
      this.open?.queue.delete(seq);
      this.#host.totals.cancelled++;
      this.#recorded(-1, -bytes);
    }
  }

  /** Makes room for a new entry at `seq`, which may be present. */
  #replace(seq: number): void {
    const recorded = this.open?.queue.get(seq);
    if (recorded !== undefined) this.#recorded(-1, recorded === null ? 0 : -entrySize(recorded));
    if (recorded === null || this.index.has(seq)) this.#operations()?.markUncertain(seq);
    const bytes = this.bytesOf(seq);
    if (bytes < 0) return;
    this.#counted(-1, -bytes);
    this.#freeBody(seq);
    this.index.remove(seq);
  }

  #isPerhapsOnDisk(seq: number): boolean {
    if (this.open?.uncertain?.has(seq) === true) return true;
    if (this.inFlight?.queue.has(seq) === true) return true;
    return seq <= this.index.last && this.index.has(seq);
  }

  /** A recorded entry may stand before one that is on disk: only after a replacement or a failure. */
  #isOutOfOrder(): boolean {
    return (this.open?.uncertain ?? this.inFlight?.uncertain ?? null) !== null;
  }

  /** What is recorded for `seq`: null = its removal, undefined = nothing. */
  #recordedEntry(seq: number): QueueEntry | null | undefined {
    const open = this.open?.queue.get(seq);
    return open !== undefined ? open : this.inFlight?.queue.get(seq);
  }

  /** The entries with sequence ≥ `from` that are recorded and not in the index, in order. */
  #recordedEntries(from: number): QueueEntry[] {
    const entries: QueueEntry[] = [];
    const take = (entry: QueueEntry | null) => {
      if (entry !== null && entry.seq >= from && !this.#isReleaseOnDisk(entry)) entries.push(entry);
    };
    for (const [seq, entry] of this.inFlight?.queue ?? []) {
      if (this.open?.queue.has(seq) !== true) take(entry);
    }
    for (const entry of this.open?.queue.values() ?? []) take(entry);
    for (let i = 1; i < entries.length; i++) {
      if ((entries[i - 1]?.seq ?? 0) > (entries[i]?.seq ?? 0)) {
        return entries.sort((a, b) => a.seq - b.seq);
      }
    }
    return entries;
  }

  /** The row of a release that is not committed is in the index, which already says "released". */
  #isReleaseOnDisk(entry: QueueEntry): boolean {
    return entry.message === null && this.index.has(entry.seq);
  }

  #take(from: number, maxMessages: number, maxBytes: number): QueueEntry[] {
    const taken: QueueEntry[] = [];
    let bytes = 0;
    for (const entry of this.#recordedEntries(from)) {
      taken.push(entry);
      bytes += entrySize(entry);
      if (taken.length >= maxMessages || bytes >= maxBytes) break;
    }
    return taken;
  }

  #freeBody(seq: number): void {
    const body = this.index.bodyOf(seq);
    if (body !== 0) this.#host.pending.open.freedBodies.push(body);
  }

  /** The open operations of a living session. */
  #operations(): SessionOperations | null {
    if (this.#isEnded) return null;
    if (!this.#isListed) {
      this.#isListed = true;
      this.#host.pending.open.sessions.push(this);
    }
    this.open ??= new SessionOperations();
    return this.open;
  }

  #counted(messages: number, bytes: number): void {
    if (this.#isEnded) return;
    this.#count += messages;
    this.#bytes += bytes;
    this.#host.totals.messages += messages;
    this.#host.totals.bytes += bytes;
  }

  #recorded(operations: number, bytes: number): void {
    if (this.#isEnded) return;
    this.#host.pending.open.operations += operations;
    this.#host.pending.open.bytes += bytes;
    this.#host.recorded();
  }
}

function cutOff(entries: QueueEntry[], maxMessages: number, maxBytes: number): QueueEntry[] {
  let bytes = 0;
  const end = entries.findIndex((entry, i) => {
    bytes += entrySize(entry);
    return i + 1 >= maxMessages || bytes >= maxBytes;
  });
  return end < 0 ? entries : entries.slice(0, end + 1);
}

function summaryOf(session: StoredSession): QueueSummary {
  return {
    get count() {
      return session.count;
    },
    get bytes() {
      return session.bytes;
    },
    get firstSeq() {
      return session.firstSeq;
    },
    get lastSeq() {
      return session.lastSeq;
    },
  };
}
