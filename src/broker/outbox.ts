import {
  type EngineStore,
  packetIdOf,
  type QoS,
  type QueuedMessage,
  type QueueEntry,
  type SessionStore,
} from "../mqtt/index.ts";
import type { Committer } from "./committer.ts";
import type { Counters } from "./counters.ts";
import { Deque } from "./deque.ts";
import { AWAITS, InflightWindow } from "./inflight.ts";
import { LazyMap } from "./lazy-map.ts";
import { type Limits, MAX_INFLIGHT } from "./limits.ts";
import type { Link } from "./link.ts";
import type { Outgoing } from "./outgoing.ts";
import type { Publication } from "./publication.ts";
import type { Session } from "./session.ts";
import type { ShareGroup } from "./share-group.ts";
import { Ticket } from "./ticket.ts";
import { transmit } from "./transmit.ts";
import type { Watch } from "./watch.ts";

/** What all outboxes share. */
export interface OutboxContext {
  readonly store: EngineStore;
  readonly committer: Committer;
  /** For live messages, and for those that come from a queue: they take turns within one message. */
  readonly outgoing: Outgoing;
  readonly queueOutgoing: Outgoing;
  readonly queuePublication: Publication;
  readonly counters: Counters;
  readonly watch: Watch;
  readonly limits: Limits;
  /** A client has room for more after all its queue is sent. */
  readonly onRoom: (outbox: Outbox) => void;
  readonly onReadFailed: (outbox: Outbox, err: unknown) => void;
}

/** What belongs to an unacknowledged copy besides its place in the queue. */
interface CopyState {
  readonly ticket: Ticket | null;
  readonly share: ShareGroup<Session> | null;
  /** Held for redelivery to another member of the share; null where the store has it. */
  readonly entry: QueuedMessage | null;
  /** Not to be sent before this group of the store is settled. */
  readonly group: number;
}

const PUBREL = 0x62;
/** Entries and bytes read from the store at a time. */
const READ_AHEAD = 256;
const READ_AHEAD_BYTES = 262_144;
/** Steps in which the sequences a session may use are reserved, and what is left when it is done. */
const SEQ_STEP = 8192;
const SEQ_LEFT = 4096;
/** What a message queued in memory takes besides its topic and payload, roughly. */
const ENTRY_BYTES = 256;

/**
 * What one client is to receive with QoS 1 and 2, in order (MQTT 5.0 §4.3, §4.4, §4.6). A session
 * that outlives its connection keeps its queue in the store; in memory are then only the window on
 * its way and a bounded part read ahead. Longer than most files, since window, queue and store move
 * on together with every message.
 */
export class Outbox {
  readonly clientId: string;
  /** Null for a session that ends with its connection. */
  store: SessionStore | null = null;
  link: Link | null = null;
  /** All sequences below have been reserved in the record. */
  seqLimit = 0;
  /** Set while something wants room to send more to this client. */
  wantsRoom = false;
  /** Messages for this session that were dropped, by reason. */
  droppedExpired = 0;
  droppedQueueFull = 0;
  droppedTooLarge = 0;
  readonly #context: OutboxContext;
  readonly #inflight = new InflightWindow();
  readonly #copies = new LazyMap<number, CopyState>();
  /** Not yet sent, in order; with a store, the part [#sentSeq, #aheadEnd) of what is there. */
  readonly #pending = new Deque<QueueEntry>();
  #pendingBytes = 0;
  #nextSeq = 0;
  #sentSeq = 0;
  #aheadEnd = 0;
  /** Entries below were sent on an earlier connection, or may have been. */
  #dupBelow = 0;
  #isReading = false;
  #isPumping = false;
  #awaitsCommit = false;
  #onLimitMoved: (() => void) | null = null;

  constructor(clientId: string, context: OutboxContext) {
    this.clientId = clientId;
    this.#context = context;
  }

  /** Gives the session its place in the store; `keepRecord` writes its record again. */
  makeDurable(store: SessionStore, seqLimit: number, keepRecord: () => void): void {
    this.store = store;
    this.#onLimitMoved = keepRecord;
    this.#nextSeq = Math.max(seqLimit, store.queue.lastSeq + 1);
    this.seqLimit = this.#nextSeq + SEQ_STEP;
    this.#sentSeq = store.queue.count > 0 ? store.queue.firstSeq : this.#nextSeq;
    this.#aheadEnd = this.#sentSeq;
    this.#dupBelow = Math.min(this.#nextSeq, this.#sentSeq + MAX_INFLIGHT);
  }

  get isOnline(): boolean {
    return this.link?.isReady === true;
  }

  /** Messages sent and not acknowledged. */
  get inflightCount(): number {
    return this.#inflight.count;
  }

  /** Messages that wait to be sent. */
  get waitingCount(): number {
    if (this.store === null) return this.#pending.length;
    return Math.max(0, this.store.queue.count - this.#inflight.count);
  }

  /** Topic and payload bytes of both, as far as they are kept. */
  get heldBytes(): number {
    return this.store?.queue.bytes ?? this.#pendingBytes;
  }

  /** The lowest sequence that was not sent on this connection, and the lowest never used. */
  get sentSeq(): number {
    return this.#sentSeq;
  }

  get nextSeq(): number {
    return this.#nextSeq;
  }

  /** What waits in memory; with a store, the part of it that was read ahead. */
  get pending(): Iterable<QueueEntry> {
    return this.#pending;
  }

  /** Everything queued is on its way and more would be sent at once. */
  get hasRoom(): boolean {
    const { link } = this;
    return (
      link?.isReady === true &&
      this.#sentSeq === this.#nextSeq &&
      this.#inflight.count < link.window &&
      !link.writer.isCongested
    );
  }

  /**
   * Hands the session one copy: at once when it may go, else queued (QoS ≥ 1) or dropped (QoS 0).
   * A copy that must last is added to the publication's ticket.
   */
  deliver(
    pub: Publication,
    qos: QoS,
    retain: boolean,
    ids: readonly number[],
    share: ShareGroup<Session> | null,
    expiryS: number,
  ): void {
    const { link } = this;
    const isLive = link?.isReady === true;
    if (qos === 0) {
      if (isLive) this.#sendQoS0(link, pub, retain, ids, expiryS);
      else this.#context.counters.qos0Away += pub.counts;
      return;
    }
    pub.receivers++;
    if (this.store !== null) {
      this.#deliverDurable(this.store, pub, qos, retain, ids, share, expiryS);
      return;
    }
    if (link === null) return;
    const seq = this.#nextSeq;
    if (isLive && this.#sentSeq === seq && this.#mayOpen(link, seq)) {
      this.#nextSeq = seq + 1;
      this.#sentSeq = seq + 1;
      if (share !== null) {
        const entry = { seq, message: pub.keep(), qos, retain, subscriptionIds: ids };
        this.#copies.set(seq, { ticket: null, share, entry, group: 0 });
      }
      this.#send(link, pub, qos, retain, ids, seq, false, expiryS);
      return;
    }
    this.#queueInMemory(pub, qos, retain, ids, share);
  }

  /** PUBACK, or a PUBREC that refuses ([MQTT-4.3.2-5], [MQTT-4.3.3-4]). */
  onPuback(packetId: number): void {
    const { counters } = this.#context;
    const seq = this.#inflight.seqOf(packetId);
    if (seq < 0) {
      counters.pubackMissed++;
    } else if (this.#inflight.awaits(seq) === AWAITS.puback) {
      counters.acked++;
      this.#context.watch.observer?.acked(this.clientId, seq);
      this.#finish(seq);
    } else {
      counters.pubackInUse++;
    }
  }

  /** PUBREC: answers with PUBREL once that is safe, or says that the identifier is unknown. */
  onPubrec(packetId: number, isRefusal: boolean): "known" | "unknown" {
    const seq = this.#inflight.seqOf(packetId);
    const awaits = seq < 0 ? AWAITS.nothing : this.#inflight.awaits(seq);
    const { counters } = this.#context;
    if (awaits !== AWAITS.pubrec && awaits !== AWAITS.pubcomp) {
      counters.pubrecMissed++;
      return "unknown";
    }
    if (isRefusal) {
      this.#finish(seq);
      return "known";
    }
    const wasReleased = awaits === AWAITS.pubcomp;
    if (wasReleased) counters.pubrecInUse++;
    this.#inflight.release(seq);
    const { link, store } = this;
    if (store === null || wasReleased) {
      this.#sendPubrel(link, packetId);
      return "known";
    }
    // Durable before PUBREL: after a crash the identifier must not be used for a PUBLISH again.
    store.setReleased(seq);
    this.#context.committer.after(true, () => {
      if (this.link === link) this.#sendPubrel(link, packetId);
    });
    return "known";
  }

  onPubcomp(packetId: number): void {
    const seq = this.#inflight.seqOf(packetId);
    const { counters } = this.#context;
    if (seq < 0) {
      counters.pubcompMissed++;
    } else if (this.#inflight.awaits(seq) === AWAITS.pubcomp) {
      counters.acked++;
      this.#context.watch.observer?.acked(this.clientId, seq);
      this.#finish(seq);
    } else {
      counters.pubcompInUse++;
    }
  }

  #sendPubrel(link: Link | null, packetId: number): void {
    if (link === null) return;
    link.writer.ack(PUBREL, packetId);
    this.#context.counters.pubrelOut++;
  }

  /** The connection is ready: what was on its way is sent again, in order, then the rest. */
  resume(): void {
    this.rewind();
    this.pump();
  }

  /** Sending starts over with the oldest unacknowledged entry at the next `pump`. */
  rewind(): void {
    const { store } = this;
    if (store === null) return;
    this.#dupBelow = Math.max(this.#dupBelow, this.#sentSeq);
    this.#inflight.clear();
    this.#pending.clear();
    this.#pendingBytes = 0;
    this.#sentSeq = store.queue.count > 0 ? store.queue.firstSeq : this.#nextSeq;
    this.#aheadEnd = this.#sentSeq;
  }

  /** Sends what is queued as far as the client's window and its reading allow. */
  pump(): void {
    if (this.#isPumping) return;
    this.#isPumping = true;
    this.#pump();
    this.#isPumping = false;
  }

  #pump(): void {
    const { link } = this;
    if (link?.isReady !== true) return;
    for (;;) {
      const entry = this.#pending.peek();
      if (entry === undefined) {
        if (this.store !== null && this.#aheadEnd < this.#nextSeq) {
          this.#readAhead(this.store);
          return;
        }
        this.#sentSeq = this.#nextSeq;
        this.#aheadEnd = this.#nextSeq;
        if (this.wantsRoom && this.hasRoom) this.#context.onRoom(this);
        return;
      }
      if (!this.#mayOpen(link, entry.seq)) return;
      const copy = this.#copies.get(entry.seq);
      if (copy !== undefined && copy.group > this.#context.store.settledGroup) {
        this.#pumpAfterCommit();
        return;
      }
      this.#pending.shift();
      this.#sentSeq = entry.seq + 1;
      this.#sendEntry(link, entry);
    }
  }

  /** The store refused the group with this copy: it is as if it had never been queued. */
  withdraw(seq: number): void {
    this.store?.dequeue(seq);
    this.#copies.delete(seq);
    if (seq >= this.#sentSeq) this.#pending.filter((entry) => entry.seq !== seq);
  }

  /** Shared QoS 1 messages that another member may get, once this session is over (MQTT 5.0 §4.8.2). */
  takeShared(): { readonly share: ShareGroup<Session>; readonly entry: QueuedMessage }[] {
    const taken: { share: ShareGroup<Session>; entry: QueuedMessage }[] = [];
    const inOrder = [...this.#copies].sort(([a], [b]) => a - b);
    for (const [, { share, entry, ticket }] of inOrder) {
      ticket?.copyDone();
      if (share === null || entry === null) continue;
      // [MQTT-4.8.2-5]: a QoS 2 message that was on its way, on whatever connection, goes to nobody else.
      const wasSent = entry.seq < this.#sentSeq || entry.seq < this.#dupBelow;
      if (entry.qos === 1 || !wasSent) taken.push({ share, entry });
    }
    this.#copies.clear();
    return taken;
  }

  #deliverDurable(
    store: SessionStore,
    pub: Publication,
    qos: QoS,
    retain: boolean,
    ids: readonly number[],
    share: ShareGroup<Session> | null,
    expiryS: number,
  ): void {
    if (!this.#makeRoom(store, pub.sizeBytes)) return;
    const { link } = this;
    const seq = this.#nextSeq++;
    if (this.#nextSeq + SEQ_LEFT > this.seqLimit) {
      this.seqLimit += SEQ_STEP;
      this.#onLimitMoved?.();
    }
    const entry: QueuedMessage = { seq, message: pub.keep(), qos, retain, subscriptionIds: ids };
    store.enqueue(entry);
    pub.ticket ??= new Ticket();
    pub.ticket.addCopy(this, seq);
    // A QoS 2 copy goes out when it is durable: else a crash would make the publisher repeat what
    // the receiver has already taken.
    const group = qos === 2 ? this.#context.store.schedule(true) : 0;
    const isShared = share === null ? null : entry;
    this.#copies.set(seq, { ticket: pub.ticket, share, entry: isShared, group });
    if (link?.isReady !== true) return;
    if (qos === 1 && this.#sentSeq === seq && this.#mayOpen(link, seq)) {
      this.#sentSeq = seq + 1;
      this.#aheadEnd = seq + 1;
      this.#send(link, pub, qos, retain, ids, seq, false, expiryS);
      return;
    }
    if (this.#aheadEnd === seq && this.#pending.length < READ_AHEAD && !this.#isReading) {
      this.#pending.push(entry);
      this.#aheadEnd = seq + 1;
    }
    this.pump();
  }

  #pumpAfterCommit(): void {
    if (this.#awaitsCommit) return;
    this.#awaitsCommit = true;
    this.#context.committer.after(true, () => {
      this.#awaitsCommit = false;
      this.pump();
    });
  }

  /**
   * Whether one more copy is queued. At a bound the policy decides what gives way: the oldest entry
   * that is not on its way, or the new copy.
   */
  #makeRoom(store: SessionStore, bytes: number): boolean {
    const { limits } = this.#context;
    const { queue } = store;
    while (
      queue.count - this.#inflight.count >= limits.maxQueuedMessages ||
      (queue.bytes + bytes > limits.maxQueuedBytes && queue.count > this.#inflight.count)
    ) {
      if (this.#dropsNewest()) return false;
      let seq = this.#sentSeq;
      while (seq < this.#nextSeq && store.bytesOf(seq) < 0) seq++;
      if (seq === this.#nextSeq) return true;
      store.dequeue(seq);
      this.#drop("queue_full");
      this.#settleCopy(seq);
      this.#sentSeq = seq + 1;
      this.#aheadEnd = Math.max(this.#aheadEnd, seq + 1);
      if (this.#pending.peek()?.seq === seq) this.#pending.shift();
    }
    return true;
  }

  /** At a bound: true when the policy gives up the new copy, and the client that is to blame with it. */
  #dropsNewest(): boolean {
    const { limits } = this.#context;
    if (limits.queuePolicy === "drop_oldest") return false;
    this.#drop("queue_full");
    if (limits.queuePolicy === "disconnect" && this.link?.isReady === true) this.link.onQueueFull();
    return true;
  }

  #queueInMemory(
    pub: Publication,
    qos: QoS,
    retain: boolean,
    ids: readonly number[],
    share: ShareGroup<Session> | null,
  ): void {
    const { limits } = this.#context;
    const bytes = pub.sizeBytes + ENTRY_BYTES;
    while (
      this.#pending.length >= limits.maxQueuedMessages ||
      (this.#pendingBytes + bytes > limits.maxQueuedBytes && this.#pending.length > 0)
    ) {
      if (this.#dropsNewest()) return;
      const dropped = this.#pending.shift();
      if (dropped === undefined) break;
      this.#pendingBytes -= bytesOf(dropped) + ENTRY_BYTES;
      this.#sentSeq = dropped.seq + 1;
      this.#copies.delete(dropped.seq);
      this.#drop("queue_full");
    }
    const seq = this.#nextSeq++;
    const entry: QueuedMessage = { seq, message: pub.keep(), qos, retain, subscriptionIds: ids };
    if (share !== null) this.#copies.set(seq, { ticket: null, share, entry, group: 0 });
    this.#pending.push(entry);
    this.#pendingBytes += bytes;
  }

  #mayOpen(link: Link, seq: number): boolean {
    return (
      this.#inflight.count < link.window && this.#inflight.fits(seq) && !link.writer.isCongested
    );
  }

  #sendQoS0(
    link: Link,
    pub: Publication,
    retain: boolean,
    ids: readonly number[],
    expiryS: number,
  ): void {
    const { limits, counters, outgoing } = this.#context;
    const { writer } = link;
    if (writer.isBlocked) {
      const isFull =
        writer.messages >= limits.maxQueuedMessages ||
        writer.gatheredBytes >= limits.maxWriterBytes;
      if (isFull) {
        counters.qos0Blocked++;
        this.droppedQueueFull++;
        this.#context.watch.observer?.dropped(this.clientId, pub.topic, "queue_full");
        return;
      }
    }
    pub.receivers++;
    if (transmit(outgoing, link, pub, 0, retain, ids, 0, false, expiryS)) {
      counters.publishOut++;
      counters.qos0Out += pub.counts;
      link.out0 += pub.counts;
      this.#context.watch.observer?.sent(this.clientId, pub, 0, -1);
    } else {
      this.#drop("too_large", pub.topic);
    }
  }

  #sendEntry(link: Link, entry: QueueEntry): void {
    const { seq } = entry;
    if (entry.message === null) {
      this.#inflight.open(seq, AWAITS.pubcomp);
      this.#sendPubrel(link, packetIdOf(seq));
      return;
    }
    this.#pendingBytes -= bytesOf(entry) + ENTRY_BYTES;
    const pub = this.#context.queuePublication;
    pub.load(entry.message);
    let expiryS = -1;
    if (pub.expiresAtMs !== null) {
      expiryS = Math.ceil((pub.expiresAtMs - this.#context.store.nowMs()) / 1000);
      // Already sent once: [MQTT-3.3.2-5] forbids starting delivery, not completing it.
      if (expiryS <= 0 && seq >= this.#dupBelow) {
        this.#drop("expired", pub.topic);
        this.store?.dequeue(seq);
        this.#settleCopy(seq);
        return;
      }
      expiryS = Math.max(expiryS, 0);
    }
    const { qos, retain, subscriptionIds } = entry;
    const { queueOutgoing } = this.#context;
    queueOutgoing.begin(pub);
    const isDup = seq < this.#dupBelow;
    this.#send(link, pub, qos, retain, subscriptionIds, seq, isDup, expiryS, queueOutgoing);
  }

  #send(
    link: Link,
    pub: Publication,
    qos: QoS,
    retain: boolean,
    ids: readonly number[],
    seq: number,
    isDup: boolean,
    expiryS: number,
    outgoing = this.#context.outgoing,
  ): void {
    const { counters } = this.#context;
    this.#inflight.open(seq, qos === 1 ? AWAITS.puback : AWAITS.pubrec);
    if (transmit(outgoing, link, pub, qos, retain, ids, packetIdOf(seq), isDup, expiryS)) {
      counters.publishOut++;
      if (qos === 1) {
        counters.qos1Out += pub.counts;
        link.out1 += pub.counts;
      } else {
        counters.qos2Out += pub.counts;
        link.out2 += pub.counts;
      }
      if (isDup) counters.repeatedOut += pub.counts;
      this.#context.watch.observer?.sent(this.clientId, pub, qos, seq);
      return;
    }
    // [MQTT-3.1.2-25]: as if it had been delivered.
    this.#drop("too_large", pub.topic);
    this.#finish(seq);
  }

  #finish(seq: number): void {
    this.#inflight.close(seq);
    if (this.store !== null) {
      this.store.dequeue(seq);
      this.#context.store.schedule(false);
      this.#settleCopy(seq);
    } else if (this.#copies.size > 0) {
      this.#copies.delete(seq);
    }
    if (this.#sentSeq < this.#nextSeq || this.wantsRoom) this.pump();
  }

  #settleCopy(seq: number): void {
    const copy = this.#copies.get(seq);
    if (copy === undefined) return;
    this.#copies.delete(seq);
    copy.ticket?.copyDone();
  }

  #drop(reason: "expired" | "queue_full" | "too_large", topic: string | null = null): void {
    const { counters, watch } = this.#context;
    watch.observer?.dropped(this.clientId, topic, reason);
    if (reason === "queue_full") {
      counters.queueFull++;
      this.droppedQueueFull++;
    } else if (reason === "expired") {
      counters.expired++;
      this.droppedExpired++;
    } else {
      counters.tooLarge++;
      this.droppedTooLarge++;
    }
  }

  #readAhead(store: SessionStore): void {
    if (this.#isReading) return;
    this.#isReading = true;
    const { link } = this;
    const from = this.#aheadEnd;
    const end = this.#nextSeq;
    store.readQueue(from, READ_AHEAD, READ_AHEAD_BYTES).then(
      (entries) => {
        this.#isReading = false;
        // Another connection has taken over, or what was to be read has been dropped meanwhile.
        if (this.store !== store || this.link !== link || this.#aheadEnd !== from) {
          this.pump();
          return;
        }
        for (const entry of entries) this.#pending.push(entry);
        const last = entries.at(-1);
        this.#aheadEnd = last === undefined ? end : last.seq + 1;
        if (last === undefined && this.#pending.length === 0) this.#sentSeq = end;
        this.pump();
      },
      (err: unknown) => {
        this.#isReading = false;
        this.#context.onReadFailed(this, err);
      },
    );
  }
}

/** How long to wait after a failed read of the queue. */
export const READ_RETRY_MS = 1000;

function bytesOf(entry: QueueEntry): number {
  return entry.message === null
    ? 0
    : Buffer.byteLength(entry.message.topic) + entry.message.payload.length;
}
