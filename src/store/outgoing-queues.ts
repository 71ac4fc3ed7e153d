import { type Database, keysUnder } from "./database.ts";
import type { Change } from "./group-writer.ts";
import {
  decodePacket,
  decodeRecord,
  encodePacket,
  encodeRecord,
  type StoredPacket,
} from "./record.ts";

/** A packet of a queue as it is streamed to its client: a message, or the PUBREL that follows it. */
export type QueuedPacket =
  | StoredPacket
  | { cmd: "pubrel"; messageId: number; brokerId: string; brokerCounter: number };

/** What `update` is told: the packet identifier a message was sent with, or that it is released. */
export interface DeliveryUpdate {
  readonly cmd?: string;
  readonly messageId?: number | undefined;
  brokerId?: string | undefined;
  brokerCounter?: number | undefined;
}

interface Entry {
  readonly seq: number;
  readonly brokerId: string;
  readonly brokerCounter: number;
  /** Null until the message is sent. */
  messageId: number | null;
  isReleased: boolean;
}

interface ClientQueue {
  nextSeq: number;
  /** Not yet sent, in order. */
  readonly waiting: Map<number, Entry>;
  /** Sent and not yet acknowledged. */
  readonly inflight: Map<number, Entry>;
  readonly byMessage: Map<string, Entry>;
  readonly byPacketId: Map<number, Entry>;
}

const QUEUE = "queue:";
const STATE = "queue-state:";

/**
 * The QoS 1 and 2 messages each persistent session has yet to acknowledge, in order of arrival,
 * across restarts too. Payloads are on disk; only their order and delivery state are in memory.
 */
export class OutgoingQueues {
  readonly #db: Database;
  readonly #queues = new Map<string, ClientQueue>();
  readonly #onDrop: (clientId: string) => void;
  #count = 0;
  limit = Number.POSITIVE_INFINITY;

  constructor(db: Database, onDrop: (clientId: string) => void) {
    this.#db = db;
    this.#onDrop = onDrop;
  }

  /** Messages in all queues. */
  get count(): number {
    return this.#count;
  }

  async load(): Promise<void> {
    this.#queues.clear();
    this.#count = 0;
    for await (const key of this.#db.keys(keysUnder(QUEUE))) {
      const [, client = "", seq = "", counter = "", brokerId = ""] = key.split(":");
      this.#add(decodeURIComponent(client), {
        seq: Number(seq),
        brokerId: decodeURIComponent(brokerId),
        brokerCounter: Number(counter),
        messageId: null,
        isReleased: false,
      });
    }
    for await (const [key, value] of this.#db.entries(keysUnder(STATE))) {
      const [, client = "", seq = ""] = key.split(":");
      const queue = this.#queues.get(decodeURIComponent(client));
      const entry = queue?.waiting.get(Number(seq));
      const state = decodeRecord(value)?.header;
      if (queue === undefined || entry === undefined || typeof state?.["messageId"] !== "number") {
        continue;
      }
      entry.isReleased = state["isReleased"] === true;
      assign(queue, entry, state["messageId"]);
    }
  }

  /** Appends `packet`; over the limit the oldest message that was not sent yet goes. */
  async enqueue(clientId: string, packet: StoredPacket): Promise<void> {
    const { brokerId = "", brokerCounter = 0 } = packet;
    const queue = this.#queueOf(clientId);
    // One message reaches a session once, however many of its filters match.
    if (queue.byMessage.has(messageKey(brokerId, brokerCounter))) return;
    const seq = queue.nextSeq;
    const entry: Entry = { seq, brokerId, brokerCounter, messageId: null, isReleased: false };
    this.#add(clientId, entry);
    const changes: Change[] = [[queueKey(clientId, entry), encodePacket(packet)]];
    while (queue.waiting.size + queue.inflight.size > this.limit) {
      const oldest = first(queue.waiting) ?? first(queue.inflight);
      if (oldest === undefined) break;
      changes.push(...this.#remove(clientId, queue, oldest));
      this.#onDrop(clientId);
    }
    try {
      await this.#db.commit(changes, { isDurable: true });
    } catch (err) {
      this.#remove(clientId, queue, entry);
      throw err;
    }
  }

  /**
   * Notes the packet identifier a message is sent with, or that its PUBREL is due. A message that
   * was dropped meanwhile is none of the queue's business any more.
   */
  async update(clientId: string, update: DeliveryUpdate): Promise<void> {
    const queue = this.#queues.get(clientId);
    const entry = queue && find(queue, update);
    if (queue === undefined || entry === undefined || update.messageId === undefined) return;
    assign(queue, entry, update.messageId);
    entry.isReleased = update.cmd === "pubrel";
    update.brokerId = entry.brokerId;
    update.brokerCounter = entry.brokerCounter;
    const state = encodeRecord({ messageId: entry.messageId, isReleased: entry.isReleased });
    // Without it a power cut costs a repeat with another packet identifier. A PUBREC must not be
    // forgotten, or QoS 2 comes twice ([MQTT-4.3.3-1]).
    await this.#db.commit([[stateKey(clientId, entry), state]], { isDurable: entry.isReleased });
  }

  /** Deletes the message acknowledged by `messageId` and returns it. */
  async acknowledge(clientId: string, messageId: number): Promise<QueuedPacket | undefined> {
    const queue = this.#queues.get(clientId);
    const entry = queue?.byPacketId.get(messageId);
    if (queue === undefined || entry === undefined) return undefined;
    const packet = await this.#read(clientId, entry);
    if (queue.byPacketId.get(messageId) !== entry) return undefined;
    await this.#db.commit(this.#remove(clientId, queue, entry), { isDurable: false });
    return packet;
  }

  /** The queue as it is now, oldest first, without what is acknowledged or sent meanwhile. */
  async *stream(clientId: string): AsyncGenerator<QueuedPacket> {
    const queue = this.#queues.get(clientId);
    if (queue === undefined) return;
    const snapshot = [...queue.inflight.values(), ...queue.waiting.values()]
      .sort((left, right) => left.seq - right.seq)
      .map((entry) => ({ entry, messageId: entry.messageId }));
    for (const { entry, messageId } of snapshot) {
      const isQueued = queue.waiting.has(entry.seq) || queue.inflight.has(entry.seq);
      if (!isQueued || entry.messageId !== messageId) continue;
      const packet = await this.#read(clientId, entry);
      if (packet !== undefined) yield packet;
    }
  }

  async clear(clientId: string): Promise<void> {
    const queue = this.#queues.get(clientId);
    if (queue === undefined) return;
    const entries = [...queue.waiting.values(), ...queue.inflight.values()];
    const changes = entries.flatMap((entry) => this.#remove(clientId, queue, entry));
    await this.#db.commit(changes, { isDurable: true });
  }

  async #read(clientId: string, entry: Entry): Promise<QueuedPacket | undefined> {
    const { brokerId, brokerCounter, messageId } = entry;
    if (entry.isReleased && messageId !== null) {
      return { cmd: "pubrel", messageId, brokerId, brokerCounter };
    }
    const bytes = await this.#db.get(queueKey(clientId, entry));
    const packet = bytes === undefined ? null : decodePacket(bytes);
    return packet === null ? undefined : { ...packet, messageId: messageId ?? undefined };
  }

  #queueOf(clientId: string): ClientQueue {
    let queue = this.#queues.get(clientId);
    if (queue === undefined) {
      queue = {
        nextSeq: 1,
        waiting: new Map(),
        inflight: new Map(),
        byMessage: new Map(),
        byPacketId: new Map(),
      };
      this.#queues.set(clientId, queue);
    }
    return queue;
  }

  #add(clientId: string, entry: Entry): void {
    const queue = this.#queueOf(clientId);
    queue.nextSeq = entry.seq + 1;
    queue.waiting.set(entry.seq, entry);
    queue.byMessage.set(messageKey(entry.brokerId, entry.brokerCounter), entry);
    this.#count += 1;
  }

  #remove(clientId: string, queue: ClientQueue, entry: Entry): Change[] {
    if (!queue.waiting.delete(entry.seq) && !queue.inflight.delete(entry.seq)) return [];
    queue.byMessage.delete(messageKey(entry.brokerId, entry.brokerCounter));
    forgetPacketId(queue, entry);
    this.#count -= 1;
    if (queue.waiting.size + queue.inflight.size === 0) this.#queues.delete(clientId);
    const changes: Change[] = [[queueKey(clientId, entry), null]];
    if (entry.messageId !== null) changes.push([stateKey(clientId, entry), null]);
    return changes;
  }
}

function find(queue: ClientQueue, update: DeliveryUpdate): Entry | undefined {
  if (update.brokerId) {
    return queue.byMessage.get(messageKey(update.brokerId, update.brokerCounter ?? 0));
  }
  return update.messageId === undefined ? undefined : queue.byPacketId.get(update.messageId);
}

function assign(queue: ClientQueue, entry: Entry, messageId: number): void {
  forgetPacketId(queue, entry);
  entry.messageId = messageId;
  queue.byPacketId.set(messageId, entry);
  if (queue.waiting.delete(entry.seq)) queue.inflight.set(entry.seq, entry);
}

function forgetPacketId(queue: ClientQueue, { messageId, seq }: Entry): void {
  if (messageId !== null && queue.byPacketId.get(messageId)?.seq === seq) {
    queue.byPacketId.delete(messageId);
  }
}

function first(entries: ReadonlyMap<number, Entry>): Entry | undefined {
  return entries.values().next().value;
}

function messageKey(brokerId: string, brokerCounter: number): string {
  return `${brokerCounter}:${brokerId}`;
}

function queueKey(clientId: string, entry: Entry): string {
  const message = `${entry.brokerCounter}:${encodeURIComponent(entry.brokerId)}`;
  return `${QUEUE}${encodeURIComponent(clientId)}:${padded(entry.seq)}:${message}`;
}

function stateKey(clientId: string, entry: Entry): string {
  return `${STATE}${encodeURIComponent(clientId)}:${padded(entry.seq)}`;
}

/** 16 digits hold Number.MAX_SAFE_INTEGER, so that keys sort like the numbers. */
function padded(seq: number): string {
  return String(seq).padStart(16, "0");
}
