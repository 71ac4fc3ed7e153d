import { type GatewayError, isGatewayError } from "../errors/index.ts";
import type { Log } from "../log/index.ts";
import type {
  LoadedRetained,
  LoadedSession,
  SessionRecord,
  SessionStore,
  StopListening,
  StoredMessage,
  StoredSubscription,
  StoreRefusal,
} from "../mqtt/index.ts";
import type { Clock, Timer } from "../time/index.ts";
import { Accounting } from "./accounting.ts";
import { Bodies } from "./bodies.ts";
import { ByteWriter } from "./bytes.ts";
import { CommitLoop } from "./commit-loop.ts";
import { Committer } from "./committer.ts";
import { Compaction, tableBytesIn } from "./compaction.ts";
import type { Database } from "./database.ts";
import type { DurableMemory, StoreState } from "./durable-memory.ts";
import { Health } from "./health.ts";
import { TABLE, textKey } from "./keys.ts";
import { retainedBatches, sessionBatches, subscriptionsOf, unusedBodies } from "./loading.ts";
import { readMessage, sizeOf } from "./message-codec.ts";
import {
  LanedOutbox,
  laneOfRows,
  type OutboxConfig,
  type OutboxHost,
  type OutboxTotals,
} from "./outbox/index.ts";
import { Pending } from "./pending.ts";
import { parseRow, Reader } from "./reader.ts";
import { type RecordTable, StoredTable } from "./record-table.ts";
import { FORMAT, META, type ScanResult, scan } from "./scan.ts";
import { type QueueTotals, type SessionHost, StoredSession } from "./session-store.ts";
import { Space } from "./space.ts";
import type { SetAside, StoreStatus, WriteCause } from "./status.ts";
import { Sweeper } from "./sweeper.ts";
import { Upkeep } from "./upkeep.ts";
import { beginValue, endValue, openValue } from "./value.ts";

/** How often what is too old is looked for in the outboxes. */
const TRIM_EVERY_MS = 1000;

const UNBOUNDED: OutboxConfig = {
  maxMessages: Number.POSITIVE_INFINITY,
  maxBytes: Number.POSITIVE_INFINITY,
  maxAgeMs: 0,
  backlogMessages: 1000,
  policy: "drop_oldest",
};

export interface CoreDeps {
  readonly log: Log;
  readonly clock: Clock;
  readonly database: Database;
}

export interface CoreConfig {
  readonly path: string;
  /** fsync every commit. */
  readonly isSynced: boolean;
  readonly commitDelayMs: number;
  /** Commits of small groups a second; 0 = as they come. */
  readonly maxCommitsPerS: number;
  readonly maxBytes: number;
  readonly reserveBytes: number;
}

/** Hears of every change of a subscription, whoever makes it. */
export interface SubscriptionWatcher {
  /** Null: it is removed. */
  subscribed(clientId: string, filter: string, subscription: StoredSubscription | null): void;
  /** The session is gone, with all its subscriptions. */
  ended(clientId: string): void;
}

/** Everything the store does with one open LevelDB folder. */
export class StoreCore implements DurableMemory {
  readonly #deps: CoreDeps;
  readonly pending = new Pending();
  readonly #totals: QueueTotals = { messages: 0, bytes: 0, cancelled: 0, removedBytes: 0 };
  readonly #bodies = new Bodies();
  readonly #accounting = new Accounting();
  readonly #sessions = new Map<string, StoredSession>();
  readonly #records = new Map<number, SessionRecord>();
  readonly #space: Space;
  readonly #committer: Committer;
  readonly #loop: CommitLoop;
  readonly #sweeper: Sweeper;
  readonly #reader: Reader;
  readonly #compactions: readonly Compaction[];
  readonly #outboxes = new Map<string, LanedOutbox>();
  readonly #outboxTotals: OutboxTotals = { bytes: 0, removedBytes: 0, cancelled: 0 };
  readonly #outboxHost: OutboxHost;
  #trimTimer: Timer | null = null;
  readonly #health: Health;
  readonly #host: SessionHost;
  readonly #upkeep: Upkeep;
  readonly #out = new ByteWriter();
  #nextSession = 1;
  #damagedRecords = 0;
  #watcher: SubscriptionWatcher | null = null;
  #setAside: SetAside | null = null;

  constructor(deps: CoreDeps, cfg: CoreConfig) {
    this.#deps = deps;
    const { log, clock, database } = deps;
    const { pending } = this;
    this.#space = new Space(cfg.path, cfg.reserveBytes);
    this.#committer = new Committer(
      {
        clock,
        database,
        pending,
        bodies: this.#bodies,
        accounting: this.#accounting,
        space: this.#space,
        nowMs: () => this.nowMs(),
        beforeCommit: () => this.#upkeep.recordTime(),
      },
      { isSynced: cfg.isSynced },
    );
    this.#loop = new CommitLoop(
      { clock, source: this.#committer },
      {
        delayMs: cfg.commitDelayMs,
        minIntervalMs: cfg.maxCommitsPerS === 0 ? 0 : 1000 / cfg.maxCommitsPerS,
      },
    );
    const recorded = () => this.#loop.recorded();
    const committed = (isUrgent: boolean) => this.#loop.committed(isUrgent);
    this.#reader = new Reader(database, this.#bodies, (key, reason) => this.#damaged(key, reason));
    this.#sweeper = new Sweeper({
      log,
      clock,
      database,
      pending,
      totals: this.#totals,
      recorded,
      committed,
    });
    this.#compactions = [
      new Compaction(log, database, this.#totals, [TABLE.queue, TABLE.body]),
      new Compaction(log, database, this.#outboxTotals, [TABLE.chunk]),
    ];
    this.#health = new Health({ log, space: this.#space }, { maxBytes: cfg.maxBytes });
    this.#host = {
      pending,
      totals: this.#totals,
      recorded,
      readEntries: (session, from, to) => this.#reader.readEntries(session, from, to),
      subscribed: ({ clientId }, filter, subscription) =>
        this.#watcher?.subscribed(clientId, filter, subscription),
      ended: (session, isWritten) => this.#ended(session, isWritten),
    };
    this.#upkeep = new Upkeep({
      clock,
      database,
      space: this.#space,
      health: this.#health,
      compactions: this.#compactions,
      accounting: this.#accounting,
      putMeta: (key, writeValue) => this.#putMeta(key, writeValue),
      commitNow: () => this.#loop.schedule(true),
    });
    this.#outboxHost = {
      log,
      clock,
      database,
      pending,
      totals: this.#outboxTotals,
      recorded,
      onDamage: (key, reason) => this.#damaged(key, reason),
      nowMs: () => this.nowMs(),
      admit: (bytes) => this.admit(bytes),
      commitDelayMs: cfg.commitDelayMs,
      scheduleBy: (dueMs) => this.#loop.scheduleBy(dueMs),
      committed: () => committed(true),
    };
    this.#loop.onSettled((_, error) => {
      this.#health.settled(error);
      if (error !== null) for (const outbox of this.#outboxes.values()) outbox.failed(error);
    });
  }

  /** Reads what is on disk. @throws whatever LevelDB reports (rejects). */
  async load(): Promise<ScanResult> {
    const { database } = this.#deps;
    const found = await database.read((handle) =>
      scan(handle, {
        bodies: this.#bodies,
        accounting: this.#accounting,
        found: (number, clientId) => this.#found(number, clientId),
        left: (number) => new StoredSession(this.#host, "", number, "left"),
        outbox: (rowName) => {
          const { name, lane } = laneOfRows(rowName);
          return this.outbox(name).lane(lane);
        },
      }),
    );
    this.#upkeep.continueFrom(found.time);
    this.#nextSession = found.highestSession + 1;
    for (const [number, record] of found.records) this.#records.set(number, record);
    this.#damagedRecords += found.damaged.length;
    await this.#space.sampleVolume();
    await this.#space.sampleFiles();
    this.#health.update();
    return found;
  }

  /** Begins to work: what was left is swept, damaged rows go, and samples are taken. */
  begin(found: ScanResult, setAside: SetAside | null): void {
    this.#setAside = setAside;
    if (found.format === null) this.markFormat();
    for (const key of found.damaged) this.removeRow(key);
    if (found.unknown > 0) {
      const fields = { count: found.unknown };
      this.#deps.log.warn(fields, "a newer version has left records of its own; they are kept");
    }
    for (const session of found.left) this.#sweeper.add(session);
    if (setAside?.isRepaired === true) void this.#tidyBodies(found.highestBody);
    this.#upkeep.start();
    this.#trimTimer = this.#deps.clock.every(TRIM_EVERY_MS, () => {
      for (const outbox of this.#outboxes.values()) outbox.trim();
    });
  }

  /** Records that the folder has this layout, completely. */
  markFormat(format = FORMAT): void {
    this.#putMeta(META.format, (out) => out.u8(format));
  }

  /** Commits what is recorded and stops; the database is left open. */
  async stop(): Promise<void> {
    this.#sweeper.stop();
    this.#trimTimer?.cancel();
    for (const outbox of this.#outboxes.values()) await outbox.idle();
    await this.#upkeep.stop();
    await this.#loop.stop();
    await this.#sweeper.idle();
    for (const compaction of this.#compactions) await compaction.idle();
    this.#health.stop();
  }

  /** Commits nothing more; what is not committed is given up. */
  abandon(): void {
    this.#loop.abandon();
  }

  nowMs(): number {
    return this.#upkeep.nowMs();
  }

  async *sessions(): AsyncGenerator<readonly LoadedSession[]> {
    yield* sessionBatches(this.#deps.database, this.#sessions.values(), this.#records);
    this.#records.clear();
  }

  /** Tells `watcher` of every subscription there is, and from then on of every change. */
  async watchSubscriptions(watcher: SubscriptionWatcher): Promise<void> {
    await this.committed(true);
    const sessions = [...this.#sessions.values()];
    this.#watcher = watcher;
    for await (const [clientId, subscription] of subscriptionsOf(this.#deps.database, sessions)) {
      watcher.subscribed(clientId, subscription.filter, subscription);
    }
  }

  retained(): AsyncGenerator<readonly LoadedRetained[]> {
    return retainedBatches(this.#deps.database, (key, reason) => this.#damaged(key, reason));
  }

  session(clientId: string): SessionStore {
    return this.storedSession(clientId);
  }

  storedSession(clientId: string): StoredSession {
    let session = this.#sessions.get(clientId);
    if (session === undefined) {
      session = new StoredSession(this.#host, clientId, this.#nextSession++, "new");
      this.#sessions.set(clientId, session);
    }
    return session;
  }

  putRetained(message: StoredMessage): void {
    this.pending.putRetained(message.topic, message, sizeOf(message));
    this.#loop.recorded();
  }

  deleteRetained(topic: string): void {
    this.pending.putRetained(topic, null, 0);
    this.#loop.recorded();
  }

  async getRetained(topic: string): Promise<StoredMessage | null> {
    const recorded = this.pending.retained(topic);
    if (recorded !== undefined) return recorded;
    const key = textKey(TABLE.retained, topic);
    const value = await this.#deps.database.read((handle) => handle.get(key));
    if (value === undefined) return null;
    return parseRow(
      key,
      () => readMessage(openValue(key, value)),
      (_, reason) => this.#damaged(key, reason),
    );
  }

  admit(bytes: number): StoreRefusal | null {
    return this.#health.admit(bytes);
  }

  schedule(urgent: boolean): number {
    return this.#loop.schedule(urgent);
  }

  get settledGroup(): number {
    return this.#loop.settledGroup;
  }

  onSettled(listener: (group: number, error: GatewayError | null) => void): StopListening {
    return this.#loop.onSettled(listener);
  }

  committed(urgent: boolean): Promise<void> {
    return this.#loop.committed(urgent);
  }

  get state(): StoreState {
    return this.#health.state;
  }

  onState(listener: (state: StoreState) => void): StopListening {
    return this.#health.onState(listener);
  }

  get pendingBytes(): number {
    return this.pending.bytes;
  }

  get pendingOperations(): number {
    return this.pending.operations;
  }

  table(name: string): RecordTable {
    return new StoredTable(
      {
        database: this.#deps.database,
        pending: this.pending,
        onDamage: (key, reason) => this.#damaged(key, reason),
        putRow: (key, writeValue) => this.putRow(key, writeValue, "record"),
        removeRow: (key) => this.removeRow(key),
        committed: () => this.committed(true),
      },
      name,
    );
  }

  /** The outbox of this name, with the bounds it last had or unbounded. */
  outbox(name: string): LanedOutbox {
    let outbox = this.#outboxes.get(name);
    if (outbox === undefined) {
      outbox = new LanedOutbox(this.#outboxHost, name, UNBOUNDED);
      this.#outboxes.set(name, outbox);
    }
    return outbox;
  }

  /** Those something waits in. */
  waiting(): { readonly name: string; readonly messages: number; readonly bytes: number }[] {
    return [...this.#outboxes].flatMap(([name, outbox]) => {
      const { messages, bytes } = outbox.status();
      return messages > 0 ? [{ name, messages, bytes }] : [];
    });
  }

  /** The session of a client if it has one. */
  knownSession(clientId: string): StoredSession | undefined {
    return this.#sessions.get(clientId);
  }

  /** Records a row of a table the store itself knows nothing of. */
  putRow(key: Buffer, writeValue: (out: ByteWriter) => void, cause: WriteCause = "session"): void {
    this.pending.putRow({ key, value: this.#encode(key, writeValue), cause });
    this.#loop.recorded();
  }

  removeRow(key: Buffer): void {
    this.pending.putRow({ key, value: null, cause: "delete" });
    this.#loop.recorded();
  }

  /** Resolves when ended sessions have been swept up and no compaction is under way. */
  async idle(): Promise<void> {
    await this.#sweeper.idle();
    for (const compaction of this.#compactions) await compaction.idle();
  }

  status(): StoreStatus {
    const nowMs = this.nowMs();
    const { commits, failedCommits, lastCommitMs, longestCommitMs } = this.#committer;
    const { freeBytes, volumeBytes, reserveBytes, bytesOnDisk } = this.#space;
    return {
      state: this.state,
      trouble: this.#health.trouble,
      sessions: this.#sessions.size,
      queuedMessages: this.#totals.messages,
      queuedBytes: this.#totals.bytes,
      bodies: this.#bodies.count,
      bytesOnDisk,
      freeBytes,
      volumeBytes,
      reserveBytes,
      maxBytes: this.#health.maxBytes,
      pendingBytes: this.pendingBytes,
      pendingOperations: this.pendingOperations,
      commits,
      failedCommits,
      lastCommitMs,
      longestCommitMs,
      outboxBytes: this.#outboxTotals.bytes,
      cancelled: this.#totals.cancelled + this.#outboxTotals.cancelled,
      compactions: this.#compactions.reduce((sum, { count }) => sum + count, 0),
      writes: this.#accounting.total,
      writesToday: this.#accounting.today(nowMs),
      writesYesterday: this.#accounting.yesterday(nowMs),
      tableBytesWritten: tableBytesIn(this.#deps.database.stats()),
      setAside: this.#setAside,
      damagedRecords: this.#damagedRecords,
    };
  }

  #found(number: number, clientId: string): StoredSession {
    const session = new StoredSession(this.#host, clientId, number, "stored");
    this.#sessions.set(clientId, session);
    return session;
  }

  /** A repair may bring bodies back whose entries are gone; those made since the start are not looked at. */
  async #tidyBodies(highest: number): Promise<void> {
    try {
      for await (const key of unusedBodies(this.#deps.database, this.#bodies, highest)) {
        this.removeRow(key);
      }
    } catch (err) {
      if (!isGatewayError(err)) throw err;
      this.#deps.log.warn({ code: err.code, err: err.message }, "bodies could not be tidied up");
    }
  }

  #ended(session: StoredSession, isWritten: boolean): void {
    if (this.#sessions.get(session.clientId) === session) this.#sessions.delete(session.clientId);
    this.#watcher?.ended(session.clientId);
    if (isWritten) this.#sweeper.add(session);
  }

  #damaged(key: Buffer, reason: string): void {
    this.#damagedRecords++;
    if (this.#damagedRecords > 1) return;
    this.#deps.log.error({ table: key[0], err: reason }, "a record in the store is damaged");
  }

  #putMeta(key: Buffer, writeValue: (out: ByteWriter) => void): void {
    this.putRow(key, writeValue, "time");
  }

  #encode(key: Buffer, writeValue: (out: ByteWriter) => void): Buffer {
    const out = this.#out;
    out.reset();
    out.rawBytes(key);
    beginValue(out);
    writeValue(out);
    endValue(out, 0);
    return Buffer.from(out.slice(key.length, out.length));
  }
}
