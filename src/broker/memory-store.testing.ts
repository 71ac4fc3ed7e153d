import { GatewayError } from "../errors/index.ts";
import type {
  EngineStore,
  LoadedSession,
  QueuedMessage,
  QueueEntry,
  SessionRecord,
  SessionStore,
  StoredMessage,
  StoredSubscription,
} from "../mqtt/index.ts";

/** What a memory store keeps over a "restart": hand it to the next one. */
export interface MemoryDisk {
  readonly sessions: Map<string, SavedSession>;
  readonly retained: Map<string, StoredMessage>;
  nowMs: number;
}

interface SavedSession {
  record: SessionRecord | null;
  readonly subscriptions: Map<string, StoredSubscription>;
  readonly inbound: Set<number>;
  readonly queue: Map<number, QueueEntry>;
}

type Operation = (disk: MemoryDisk) => void;

export function newDisk(): MemoryDisk {
  return { sessions: new Map(), retained: new Map(), nowMs: 0 };
}

/**
 * The engine's store in memory, with the same promises: operations go into groups, one group is
 * committed at a time, and only what is committed is on the `disk` a next store starts from.
 */
export class MemoryStore implements EngineStore {
  settledGroup = 0;
  /** Set to refuse: `admit` answers it and commits fail. */
  refusal: "STORE_FULL" | "STORE_WRITE_FAILED" | null = null;
  /** Operations that were committed. */
  written = 0;
  readonly disk: MemoryDisk;
  readonly #handles = new Map<string, MemorySession>();
  readonly #retained: Map<string, StoredMessage>;
  readonly #listeners = new Set<(group: number, error: GatewayError | null) => void>();
  #open = 1;
  #operations: Operation[] = [];
  #isScheduled = false;
  #isDead = false;
  readonly #commitDelayMs: number;
  readonly #startMs = performance.now();
  readonly #baseMs: number;
  /** Added to gateway time by tests that let time pass. */
  skewMs = 0;

  constructor(disk: MemoryDisk = newDisk(), commitDelayMs = 5) {
    this.disk = disk;
    this.#baseMs = disk.nowMs;
    this.#retained = new Map(disk.retained);
    this.#commitDelayMs = commitDelayMs;
  }

  nowMs(): number {
    return Math.floor(this.#baseMs + performance.now() - this.#startMs + this.skewMs);
  }

  async *sessions(): AsyncIterable<readonly LoadedSession[]> {
    for (const [clientId, saved] of this.disk.sessions) {
      if (saved.record === null) continue;
      const store = new MemorySession(clientId, this, saved);
      this.#handles.set(clientId, store);
      const { record } = saved;
      const subscriptions = [...saved.subscriptions.values()];
      yield [{ store, record, subscriptions, inbound: [...saved.inbound] }];
    }
  }

  async *retained() {
    for (const [topic, message] of this.disk.retained) {
      const bytes = Buffer.byteLength(topic) + message.payload.length;
      const isSmall = message.payload.length <= 4096;
      yield [{ topic, bytes, expiresAtMs: message.expiresAtMs, message: isSmall ? message : null }];
    }
  }

  session(clientId: string): SessionStore {
    let handle = this.#handles.get(clientId);
    if (handle === undefined) {
      handle = new MemorySession(clientId, this, null);
      this.#handles.set(clientId, handle);
    }
    return handle;
  }

  /** Sessions on the disk, and what is queued in them. */
  status(): { readonly sessions: number; readonly queuedMessages: number } {
    const saved = [...this.disk.sessions.values()];
    const queuedMessages = saved.reduce((sum, { queue }) => sum + queue.size, 0);
    return { sessions: saved.filter(({ record }) => record !== null).length, queuedMessages };
  }

  putRetained(message: StoredMessage): void {
    this.#retained.set(message.topic, message);
    this.record((disk) => disk.retained.set(message.topic, message));
  }

  deleteRetained(topic: string): void {
    this.#retained.delete(topic);
    this.record((disk) => disk.retained.delete(topic));
  }

  getRetained(topic: string): Promise<StoredMessage | null> {
    return Promise.resolve(this.#retained.get(topic) ?? null);
  }

  admit(): "STORE_FULL" | "STORE_WRITE_FAILED" | null {
    return this.refusal;
  }

  schedule(urgent: boolean): number {
    if (this.#operations.length === 0) return this.#open - 1;
    if (!this.#isScheduled) {
      this.#isScheduled = true;
      if (urgent) setImmediate(() => this.#commit());
      else setTimeout(() => this.#commit(), this.#commitDelayMs);
    }
    return this.#open;
  }

  onSettled(listener: (group: number, error: GatewayError | null) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** As a crash would: nothing that is not committed reaches the disk any more. */
  die(): void {
    this.#isDead = true;
  }

  /** For the sessions of this store. */
  record(operation: Operation): void {
    this.#operations.push(operation);
  }

  forget(clientId: string): void {
    this.#handles.delete(clientId);
  }

  #commit(): void {
    this.#isScheduled = false;
    if (this.#isDead) return;
    const operations = this.#operations;
    const group = this.#open++;
    const error =
      this.refusal === null ? null : new GatewayError(this.refusal, { reason: "the test says so" });
    if (error === null) {
      this.#operations = [];
      for (const operation of operations) operation(this.disk);
      this.written += operations.length;
      this.disk.nowMs = this.nowMs();
    }
    this.settledGroup = group;
    for (const listener of this.#listeners) listener(group, error);
  }
}

class MemorySession implements SessionStore {
  readonly clientId: string;
  readonly queue = { count: 0, bytes: 0, firstSeq: -1, lastSeq: -1 };
  readonly #store: MemoryStore;
  /** In order of sequence. */
  readonly #entries = new Map<number, QueueEntry>();

  constructor(clientId: string, store: MemoryStore, saved: SavedSession | null) {
    this.clientId = clientId;
    this.#store = store;
    const entries = [...(saved?.queue ?? [])].sort(([a], [b]) => a - b);
    for (const [seq, entry] of entries) this.#add(seq, entry);
  }

  put(record: SessionRecord): void {
    this.#write((saved) => {
      saved.record = record;
    });
  }

  putSubscription(subscription: StoredSubscription): void {
    this.#write((saved) => saved.subscriptions.set(subscription.filter, subscription));
  }

  deleteSubscription(filter: string): void {
    this.#write((saved) => saved.subscriptions.delete(filter));
  }

  putInbound(packetId: number): void {
    this.#write((saved) => saved.inbound.add(packetId));
  }

  deleteInbound(packetId: number): void {
    this.#write((saved) => saved.inbound.delete(packetId));
  }

  enqueue(entry: QueuedMessage): void {
    if (entry.seq <= this.queue.lastSeq) throw new Error("sequence went backwards");
    this.#add(entry.seq, entry);
    this.#write((saved) => {
      if (this.#entries.has(entry.seq)) saved.queue.set(entry.seq, entry);
    });
  }

  setReleased(seq: number): void {
    const entry = this.#entries.get(seq);
    if (entry === undefined) return;
    this.queue.bytes -= bytesOf(entry);
    const released = { seq, message: null };
    this.#entries.set(seq, released);
    this.#write((saved) => saved.queue.set(seq, released));
  }

  dequeue(seq: number): void {
    const entry = this.#entries.get(seq);
    if (entry === undefined) return;
    this.#entries.delete(seq);
    this.queue.count--;
    this.queue.bytes -= bytesOf(entry);
    if (this.queue.count === 0) {
      this.queue.firstSeq = -1;
      this.queue.lastSeq = -1;
    } else if (seq === this.queue.firstSeq) {
      this.queue.firstSeq = this.#entries.keys().next().value ?? -1;
    }
    this.#write((saved) => saved.queue.delete(seq));
  }

  bytesOf(seq: number): number {
    const entry = this.#entries.get(seq);
    return entry === undefined ? -1 : bytesOf(entry);
  }

  async readQueue(
    fromSeq: number,
    maxMessages: number,
    maxBytes: number,
  ): Promise<readonly QueueEntry[]> {
    await new Promise((resolve) => setImmediate(resolve));
    const read: QueueEntry[] = [];
    let bytes = 0;
    for (const [seq, entry] of this.#entries) {
      if (seq < fromSeq) continue;
      read.push(entry);
      bytes += bytesOf(entry);
      if (read.length === maxMessages || bytes >= maxBytes) break;
    }
    return read;
  }

  delete(): void {
    this.#store.forget(this.clientId);
    this.#store.record((disk) => disk.sessions.delete(this.clientId));
  }

  #add(seq: number, entry: QueueEntry): void {
    this.#entries.set(seq, entry);
    if (this.queue.count++ === 0) this.queue.firstSeq = seq;
    this.queue.lastSeq = seq;
    this.queue.bytes += bytesOf(entry);
  }

  #write(change: (saved: SavedSession) => void): void {
    this.#store.record((disk) => {
      let saved = disk.sessions.get(this.clientId);
      if (saved === undefined) {
        saved = { record: null, subscriptions: new Map(), inbound: new Set(), queue: new Map() };
        disk.sessions.set(this.clientId, saved);
      }
      change(saved);
    });
  }
}

function bytesOf(entry: QueueEntry): number {
  return entry.message === null
    ? 0
    : Buffer.byteLength(entry.message.topic) + entry.message.payload.length;
}
