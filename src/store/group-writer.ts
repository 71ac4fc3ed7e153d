import type { QueueEntry, StoredMessage } from "../mqtt/index.ts";
import { CommitCost } from "./accounting.ts";
import type { Bodies } from "./bodies.ts";
import type { ByteWriter } from "./bytes.ts";
import { writeEntry, writeReleased } from "./entry-codec.ts";
import {
  namedKey,
  outboxChunkKey,
  TABLE,
  textKey,
  writeBodyKey,
  writeInboundKey,
  writeQueueKey,
  writeRetainedKey,
  writeSessionKey,
  writeSubscriptionKey,
} from "./keys.ts";
import type { LevelBatch } from "./leveldb/index.ts";
import { entrySize, writeMessage } from "./message-codec.ts";
import type { OutboxWriter } from "./outbox/index.ts";
import type { Group, SessionOperations } from "./pending.ts";
import { writeSession, writeSubscription } from "./record-codec.ts";
import type { StoredSession } from "./session-store.ts";
import type { WriteCause } from "./status.ts";
import { beginValue, endValue } from "./value.ts";

/** Records encoded in one turn of the event loop: one to two milliseconds. */
const RECORDS_PER_TURN = 1024;

/** What an outbox's chunk costs, in records. */
const RECORDS_PER_CHUNK = 128;

/** A group turned into a batch. */
export interface EncodedGroup {
  readonly cost: CommitCost;
  /** How the number of entries that use a body changes. */
  readonly bodyUses: ReadonlyMap<number, number>;
}

/** Encodes one group into one batch, a slice at a time. */
export class GroupWriter {
  readonly #group: Group;
  readonly #batch: LevelBatch;
  readonly #bodies: Bodies;
  readonly #out: ByteWriter;
  readonly #cost = new CommitCost();
  readonly #bodyUses = new Map<number, number>();
  readonly #writtenBodies = new Set<number>();
  #records = 0;

  /** `out` is for this writer alone until it is done. */
  constructor(group: Group, batch: LevelBatch, bodies: Bodies, out: ByteWriter) {
    this.#group = group;
    this.#batch = batch;
    this.#bodies = bodies;
    this.#out = out;
  }

  async encode(): Promise<EncodedGroup> {
    const group = this.#group;
    for (const session of group.sessions) {
      if (session.inFlight === null) continue;
      this.#encodeSession(session, session.inFlight);
      if (this.#isTurnOver()) await nextTurn();
      for (const [seq, entry] of session.inFlight.queue) {
        this.#encodeEntry(session.number, seq, entry);
        if (this.#isTurnOver()) await nextTurn();
      }
    }
    for (const outbox of group.outboxes) {
      for (const _ of outbox.encode(this.#outboxWriter(outbox.name))) {
        if (this.#isTurnOver()) await nextTurn();
      }
    }
    for (const [topic, message] of group.retained) {
      this.#encodeRetained(topic, message);
      if (this.#isTurnOver()) await nextTurn();
    }
    for (const { key, value, cause } of group.rows.values()) {
      if (value === null) {
        this.#batch.del(key);
        this.#cost.add("delete", key.length);
      } else {
        this.#batch.put(key, value);
        this.#cost.add(cause, key.length + value.length);
      }
      this.#records++;
      if (this.#isTurnOver()) await nextTurn();
    }
    this.#deleteUnusedBodies();
    return { cost: this.#cost, bodyUses: this.#bodyUses };
  }

  #encodeSession(session: StoredSession, operations: SessionOperations): void {
    const out = this.#out;
    const { number, clientId } = session;
    const { record } = operations;
    if (operations.isEnd) {
      this.#delete((key) => writeSessionKey(key, number));
      return;
    }
    if (record !== null) {
      this.#put(
        "session",
        () => writeSessionKey(out, number),
        () => writeSession(out, clientId, record),
      );
    }
    for (const [filter, subscription] of operations.subscriptions) {
      if (subscription === null) {
        this.#delete((key) => writeSubscriptionKey(key, number, filter));
      } else {
        this.#put(
          "session",
          () => writeSubscriptionKey(out, number, filter),
          () => writeSubscription(out, subscription),
        );
      }
    }
    for (const [packetId, isPut] of operations.inbound) {
      if (isPut) {
        this.#put(
          "inbound",
          () => writeInboundKey(out, number, packetId),
          () => {},
        );
      } else {
        this.#delete((key) => writeInboundKey(key, number, packetId));
      }
    }
  }

  /** The hot path: written out, without closures. */
  #encodeEntry(session: number, seq: number, entry: QueueEntry | null): void {
    const out = this.#out;
    const body = entry === null || entry.message === null ? null : this.#bodyFor(entry.message);
    out.reset();
    writeQueueKey(out, session, seq);
    if (entry === null) {
      this.#finishDelete();
      return;
    }
    const keyEnd = out.length;
    beginValue(out);
    if (entry.message === null) writeReleased(out, entry);
    else writeEntry(out, entry, entrySize(entry), body);
    this.#finishPut("queue", keyEnd);
  }

  #outboxWriter(name: string): OutboxWriter {
    const put = (key: Buffer, writeValue: (out: ByteWriter) => void) =>
      this.#put(
        "outbox",
        () => this.#out.rawBytes(key),
        () => writeValue(this.#out),
      );
    return {
      state: (writeValue) => put(textKey(TABLE.outbox, name), writeValue),
      gap: (topic, writeValue) => {
        const key = namedKey(TABLE.gap, name, topic);
        if (writeValue === null) this.#delete((out) => out.rawBytes(key));
        else put(key, writeValue);
      },
      chunk: (first, writeValue) => {
        put(outboxChunkKey(name, first), writeValue);
        this.#records += RECORDS_PER_CHUNK;
      },
      deleteChunk: (first) => this.#delete((out) => out.rawBytes(outboxChunkKey(name, first))),
    };
  }

  #encodeRetained(topic: string, message: StoredMessage | null): void {
    const out = this.#out;
    if (message === null) {
      this.#delete((key) => writeRetainedKey(key, topic));
    } else {
      this.#put(
        "retained",
        () => writeRetainedKey(out, topic),
        () => writeMessage(out, message),
      );
    }
  }

  /** The body the message goes into, written if it is not yet in this batch; null = none. */
  #bodyFor(message: StoredMessage): number | null {
    const { bodies, shared } = this.#group;
    if (!this.#bodies.wants(message, shared.size > 0 && shared.has(message))) return null;
    const body = bodies.get(message) ?? this.#bodies.newNumber();
    bodies.set(message, body);
    this.#changeUses(body, 1);
    if (!this.#writtenBodies.has(body)) {
      this.#writtenBodies.add(body);
      const out = this.#out;
      this.#put(
        "queue",
        () => writeBodyKey(out, body),
        () => writeMessage(out, message),
      );
    }
    return body;
  }

  /**
   * Bodies whose last entry goes with this group, and bodies an attempt that failed may have
   * written for entries that are gone since.
   */
  #deleteUnusedBodies(): void {
    for (const body of this.#group.freedBodies) this.#changeUses(body, -1);
    for (const body of this.#group.bodies.values()) this.#changeUses(body, 0);
    for (const [body, change] of this.#bodyUses) {
      if (this.#bodies.uses(body) + change > 0) continue;
      this.#delete((key) => writeBodyKey(key, body));
    }
  }

  #changeUses(body: number, change: number): void {
    this.#bodyUses.set(body, (this.#bodyUses.get(body) ?? 0) + change);
  }

  #put(cause: WriteCause, writeKey: () => void, writeValue: () => void): void {
    const out = this.#out;
    out.reset();
    writeKey();
    const keyEnd = out.length;
    beginValue(out);
    writeValue();
    this.#finishPut(cause, keyEnd);
  }

  #finishPut(cause: WriteCause, keyEnd: number): void {
    const out = this.#out;
    endValue(out, 0);
    this.#batch.put(out.slice(0, keyEnd), out.slice(keyEnd, out.length));
    this.#cost.add(cause, out.length);
    this.#records++;
  }

  #delete(writeKey: (out: ByteWriter) => void): void {
    this.#out.reset();
    writeKey(this.#out);
    this.#finishDelete();
  }

  #finishDelete(): void {
    this.#batch.del(this.#out.slice(0, this.#out.length));
    this.#cost.add("delete", this.#out.length);
    this.#records++;
  }

  #isTurnOver(): boolean {
    if (this.#records < RECORDS_PER_TURN) return false;
    this.#records = 0;
    return true;
  }
}

/** The store's own turn is over: sockets and timers have theirs. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
