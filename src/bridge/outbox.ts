import type { MessageProperties, QoS, Topic } from "../mqtt/index.ts";
import type { Clock } from "../time/index.ts";

/** A message on its way to the cloud, under its remote topic. */
export interface OutboundMessage {
  readonly topic: Topic;
  readonly payload: Buffer;
  readonly qos: QoS;
  readonly retain: boolean;
  readonly properties?: MessageProperties;
  /** Name of the forward rule it came by, for the counters; what waited over a restart may lack it. */
  readonly rule?: string;
}

/** A kept message and its place in the order. */
export interface OutboxEntry {
  /** Grows by one with every message, never used twice. */
  readonly seq: number;
  readonly message: OutboundMessage;
  /** `clock.monotonicMs()` at `append`; what outlives the process translates it. */
  readonly appendedAtMs: number;
}

/** Why an outbox gave a message up. */
export type OutboxDropReason = "queue_full" | "too_large";

/** What waits in an outbox, and what it gave up since the start. */
export interface OutboxStatus {
  readonly messages: number;
  /** Bytes of topic and payload. */
  readonly bytes: number;
  /** How long the oldest has waited; null when none waits. */
  readonly oldestAgeMs: number | null;
  readonly dropped: Readonly<Record<OutboxDropReason, number>>;
}

/**
 * The QoS 1 and 2 messages that wait for the cloud, oldest first. A message leaves only by
 * `remove`, which the cloud's PUBACK or PUBCOMP causes, or by being dropped at a bound, which is
 * counted. What `take` has handed out is on its way and is not dropped.
 */
export interface Outbox {
  /** Resolves when the message is as safe as this outbox makes it; rejects when it cannot be kept. */
  append(message: OutboundMessage): Promise<void>;
  /** Up to `limit` entries with a `seq` above `afterSeq`, in order. */
  take(afterSeq: number, limit: number): Promise<readonly OutboxEntry[]>;
  /** Forgets an entry; harmless when it is gone. */
  remove(seq: number): void;
  /** Cheap, never throws. */
  status(): OutboxStatus;
}

/** How much an outbox keeps; bytes are those of topic and payload. */
export interface OutboxBounds {
  readonly maxMessages: number;
  readonly maxBytes: number;
}

/** An outbox whose bounds may change. */
export interface MemoryOutbox extends Outbox {
  setBounds(bounds: OutboxBounds): void;
}

/**
 * An outbox in memory: bounded in count and bytes, the oldest message gives way and is counted. It
 * is lost with the process. Every operation costs the same however long the queue is.
 */
export function createMemoryOutbox(deps: { clock: Clock }, bounds: OutboxBounds): MemoryOutbox {
  return new BoundedMemoryOutbox(deps.clock, bounds);
}

class BoundedMemoryOutbox implements MemoryOutbox {
  readonly #clock: Clock;
  #bounds: OutboxBounds;
  readonly #entries = new Map<number, OutboxEntry>();
  readonly #dropped = { queue_full: 0, too_large: 0 };
  /**
   * The packet identifier follows from `seq`. A start that differs each time keeps a new process
   * from meeting identifiers the cloud still holds for the one before.
   */
  #nextSeq = 1 + Math.floor(Math.random() * 60_000);
  #oldestSeq = this.#nextSeq;
  /** Highest `seq` handed out. */
  #takenSeq = 0;
  /** Lowest `seq` not handed out: dropping starts here. */
  #waitingSeq = this.#nextSeq;
  #bytes = 0;

  constructor(clock: Clock, bounds: OutboxBounds) {
    this.#clock = clock;
    this.#bounds = bounds;
  }

  setBounds(bounds: OutboxBounds): void {
    this.#bounds = bounds;
    this.#keepWithin();
  }

  append(message: OutboundMessage): Promise<void> {
    const bytes = sizeOf(message);
    if (bytes > this.#bounds.maxBytes) {
      this.#dropped.too_large += 1;
      return Promise.resolve();
    }
    const seq = this.#nextSeq++;
    const appendedAtMs = this.#clock.monotonicMs();
    this.#entries.set(seq, { seq, message: compact(message), appendedAtMs });
    this.#bytes += bytes;
    this.#keepWithin();
    return Promise.resolve();
  }

  take(afterSeq: number, limit: number): Promise<readonly OutboxEntry[]> {
    this.#skipGone();
    const taken: OutboxEntry[] = [];
    let seq = Math.max(afterSeq + 1, this.#oldestSeq);
    while (seq < this.#nextSeq && taken.length < limit) {
      if (seq > this.#takenSeq && seq < this.#waitingSeq) seq = this.#waitingSeq;
      const entry = this.#entries.get(seq);
      if (entry !== undefined) taken.push(entry);
      seq += 1;
    }
    const last = taken.at(-1);
    if (last !== undefined && last.seq > this.#takenSeq) {
      this.#takenSeq = last.seq;
      this.#waitingSeq = Math.max(this.#waitingSeq, last.seq + 1);
    }
    return Promise.resolve(taken);
  }

  remove(seq: number): void {
    const entry = this.#entries.get(seq);
    if (entry === undefined) return;
    this.#entries.delete(seq);
    this.#bytes -= sizeOf(entry.message);
  }

  status(): OutboxStatus {
    this.#skipGone();
    const oldest = this.#entries.get(this.#oldestSeq);
    return {
      messages: this.#entries.size,
      bytes: this.#bytes,
      oldestAgeMs: oldest === undefined ? null : this.#clock.monotonicMs() - oldest.appendedAtMs,
      dropped: { ...this.#dropped },
    };
  }

  #skipGone(): void {
    while (this.#oldestSeq < this.#nextSeq && !this.#entries.has(this.#oldestSeq)) {
      this.#oldestSeq += 1;
    }
  }

  #keepWithin(): void {
    const { maxMessages, maxBytes } = this.#bounds;
    while (this.#waitingSeq < this.#nextSeq) {
      if (this.#entries.size <= maxMessages && this.#bytes <= maxBytes) return;
      this.#dropOldestWaiting();
    }
  }

  #dropOldestWaiting(): void {
    while (this.#waitingSeq < this.#nextSeq && !this.#entries.has(this.#waitingSeq)) {
      this.#waitingSeq += 1;
    }
    this.remove(this.#waitingSeq);
    this.#waitingSeq += 1;
    this.#dropped.queue_full += 1;
  }
}

/**
 * A payload is often a slice of the 64 kB its socket delivered, and would keep all of it in memory
 * for as long as the message waits.
 */
function compact(message: OutboundMessage): OutboundMessage {
  const { payload, properties } = message;
  const correlationData = properties?.correlationData;
  return {
    ...message,
    payload: ownBytes(payload),
    ...(correlationData !== undefined && {
      properties: { ...properties, correlationData: ownBytes(correlationData) },
    }),
  };
}

function ownBytes(bytes: Buffer): Buffer {
  if (bytes.buffer.byteLength <= 2 * bytes.length) return bytes;
  const own = Buffer.allocUnsafeSlow(bytes.length);
  bytes.copy(own);
  return own;
}

function sizeOf(message: OutboundMessage): number {
  return Buffer.byteLength(message.topic) + message.payload.length;
}
