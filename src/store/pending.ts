import type {
  QueueEntry,
  SessionRecord,
  StoredMessage,
  StoredSubscription,
} from "../mqtt/index.ts";
import type { KeyRange } from "./keys.ts";
import { entrySize } from "./message-codec.ts";
import type { StoredOutbox } from "./outbox/index.ts";
import type { StoredSession } from "./session-store.ts";
import type { WriteCause } from "./status.ts";

/** Operations on one session's rows. Null and false stand for "remove". */
export class SessionOperations {
  record: SessionRecord | null = null;
  /** The session has ended: its record is removed, the rest is swept up later. */
  isEnd = false;
  readonly subscriptions = new Map<string, StoredSubscription | null>();
  readonly inbound = new Map<number, boolean>();
  readonly queue = new Map<number, QueueEntry | null>();
  /** Sequences in `queue` that may be on disk although they are not in the index. */
  uncertain: Set<number> | null = null;

  get count(): number {
    return (
      (this.record === null ? 0 : 1) +
      (this.isEnd ? 1 : 0) +
      this.subscriptions.size +
      this.inbound.size +
      this.queue.size
    );
  }

  /** Topic and payload bytes. */
  get bytes(): number {
    let bytes = 0;
    for (const entry of this.queue.values()) bytes += entry === null ? 0 : entrySize(entry);
    return bytes;
  }

  markUncertain(seq: number): void {
    this.uncertain ??= new Set();
    this.uncertain.add(seq);
  }

  /** Takes in what was recorded later. */
  overtake(later: SessionOperations): void {
    this.record = later.record ?? this.record;
    for (const [filter, subscription] of later.subscriptions) {
      this.subscriptions.set(filter, subscription);
    }
    for (const [packetId, isPut] of later.inbound) this.inbound.set(packetId, isPut);
    for (const [seq, entry] of later.queue) this.queue.set(seq, entry);
    for (const seq of later.uncertain ?? []) this.markUncertain(seq);
  }
}

/** A row that is encoded when it is recorded; value null = remove. */
export interface RowOperation {
  readonly key: Buffer;
  /** Version byte and checksum included; null = remove. */
  readonly value: Buffer | null;
  readonly cause: WriteCause;
}

/** The operations that are written together. */
export class Group {
  readonly sessions: StoredSession[] = [];
  readonly outboxes: StoredOutbox[] = [];
  readonly retained = new Map<string, StoredMessage | null>();
  /** By the key's bytes in latin1. */
  readonly rows = new Map<string, RowOperation>();
  /** One element for each entry that no longer needs the body of this number. */
  freedBodies: number[] = [];
  /** Messages that several entries of this group hold. */
  readonly shared = new Set<StoredMessage>();
  /** Numbers given to bodies, also by an attempt that failed and may be on disk all the same. */
  readonly bodies = new Map<StoredMessage, number>();
  operations = 0;
  /** Topic and payload bytes. */
  bytes = 0;
}

/** The open group, and the one being written. */
export class Pending {
  open = new Group();
  inFlight: Group | null = null;
  #newest: StoredMessage | null = null;

  get operations(): number {
    return this.open.operations + (this.inFlight?.operations ?? 0);
  }

  get bytes(): number {
    return this.open.bytes + (this.inFlight?.bytes ?? 0);
  }

  /** A copy of `message` is enqueued: the second in a row shares its body with the first. */
  noteCopy(message: StoredMessage): void {
    if (this.#newest === message) this.open.shared.add(message);
    else this.#newest = message;
  }

  putRetained(topic: string, message: StoredMessage | null, bytes: number): void {
    this.open.retained.set(topic, message);
    this.open.operations++;
    this.open.bytes += bytes;
  }

  putRow(row: RowOperation): void {
    this.open.rows.set(row.key.toString("latin1"), row);
    this.open.operations++;
    this.open.bytes += row.value?.length ?? 0;
  }

  /** What is recorded for a topic: undefined = nothing. */
  retained(topic: string): StoredMessage | null | undefined {
    const open = this.open.retained.get(topic);
    return open !== undefined ? open : this.inFlight?.retained.get(topic);
  }

  row(key: Buffer): RowOperation | undefined {
    const name = key.toString("latin1");
    return this.open.rows.get(name) ?? this.inFlight?.rows.get(name);
  }

  /** The row operations recorded in a range, in the order of their keys. */
  rowsIn({ gte, lt }: KeyRange): [key: Buffer, value: Buffer | null][] {
    const rows = new Map([...(this.inFlight?.rows ?? []), ...this.open.rows]);
    return [...rows.values()]
      .filter(({ key }) => key.compare(gte) >= 0 && key.compare(lt) < 0)
      .sort((a, b) => a.key.compare(b.key))
      .map(({ key, value }) => [key, value]);
  }

  /**
   * Closes the open group and returns it for writing. Unless `isAll`, what the cloud may soon have goes to
   * the next one.
   */
  freeze(isAll: boolean): Group {
    const group = this.open;
    this.inFlight = group;
    this.open = new Group();
    this.#newest = null;
    for (const session of group.sessions) session.freeze();
    for (const outbox of group.outboxes) outbox.freeze(isAll);
    return group;
  }

  /** The group in flight is on disk. */
  settle(): void {
    this.inFlight = null;
  }

  /** The group in flight could not be written: all of it that is not overtaken is open again. */
  restore(): void {
    const failed = this.inFlight;
    if (failed === null) return;
    const later = this.open;
    this.open = failed;
    this.inFlight = null;
    const recorded = new Set(failed.sessions);
    for (const session of later.sessions) if (!recorded.has(session)) failed.sessions.push(session);
    for (const session of failed.sessions) session.restore();
    for (const outbox of later.outboxes) {
      if (!failed.outboxes.includes(outbox)) failed.outboxes.push(outbox);
    }
    for (const outbox of failed.outboxes) outbox.restore();
    for (const [topic, message] of later.retained) failed.retained.set(topic, message);
    for (const [name, row] of later.rows) failed.rows.set(name, row);
    for (const message of later.shared) failed.shared.add(message);
    failed.freedBodies = failed.freedBodies.concat(later.freedBodies);
    failed.operations = failed.retained.size + failed.rows.size + failed.freedBodies.length;
    failed.bytes = 0;
    for (const session of failed.sessions) {
      failed.operations += session.open?.count ?? 0;
      failed.bytes += session.open?.bytes ?? 0;
    }
    for (const outbox of failed.outboxes) {
      const { operations, bytes } = outbox.recount();
      failed.operations += operations;
      failed.bytes += bytes;
    }
    for (const message of failed.retained.values()) failed.bytes += message?.payload.length ?? 0;
    for (const row of failed.rows.values()) failed.bytes += row.value?.length ?? 0;
  }
}
