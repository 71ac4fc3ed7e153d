import { ack5, PACKET, REASON, type ReasonCode } from "./codec/index.ts";
import type { Counters } from "./counters.ts";
import { Deque } from "./deque.ts";
import type { RepeatMark } from "./ports.ts";
import type { Ticket } from "./ticket.ts";
import type { Writer } from "./writer.ts";

interface Slot {
  readonly packetId: number;
  readonly qos: number;
  readonly bytes: number;
  readonly ticket: Ticket | null;
  readonly reason: ReasonCode;
  readonly mark: RepeatMark | null;
}

/** What the connection has to do when an acknowledgement is due. */
export interface AckOwner {
  readonly writer: Writer;
  readonly isV5: boolean;
  /** A QoS 2 message was refused: its Packet Identifier is free again. */
  onRefused(packetId: number): void;
  /** 3.x has no way to refuse but to close. */
  closeUnacknowledged(): void;
  /** Fewer publications wait than before. */
  onAcknowledged(): void;
}

/**
 * The acknowledgements a publisher is owed: they leave in the order its messages came
 * ([MQTT-4.6.0-2], [MQTT-4.6.0-3]), each when its ticket is done.
 */
export class AckQueue {
  /** Payload bytes of the messages that wait. */
  waitingBytes = 0;
  readonly #owner: AckOwner;
  readonly #counters: Counters;
  readonly #slots = new Deque<Slot>();
  readonly #drain = (): void => this.#drainDone();

  constructor(owner: AckOwner, counters: Counters) {
    this.#owner = owner;
    this.#counters = counters;
  }

  get waiting(): number {
    return this.#slots.length;
  }

  /** Acknowledges as soon as its turn comes. */
  now(packetId: number, qos: number, reason: ReasonCode): void {
    if (this.#slots.length === 0) this.#send(packetId, qos, reason);
    else this.#slots.push({ packetId, qos, bytes: 0, ticket: null, reason, mark: null });
  }

  /** Acknowledges when `ticket` is done; `reason` is what success is called. */
  later(
    packetId: number,
    qos: number,
    bytes: number,
    ticket: Ticket,
    reason: ReasonCode,
    mark: RepeatMark | null = null,
  ): void {
    this.#slots.push({ packetId, qos, bytes, ticket, reason, mark });
    this.waitingBytes += bytes;
    ticket.seal(this.#drain);
  }

  #drainDone(): void {
    const owner = this.#owner;
    let count = 0;
    for (let slot = this.#slots.peek(); slot !== undefined; slot = this.#slots.peek()) {
      if (slot.ticket !== null && !slot.ticket.isDone) break;
      this.#slots.shift();
      this.waitingBytes -= slot.bytes;
      count++;
      const refused = slot.ticket?.reason ?? REASON.success;
      slot.mark?.settle(refused === REASON.success);
      if (refused !== REASON.success) {
        owner.onRefused(slot.packetId);
        if (!owner.isV5) {
          owner.closeUnacknowledged();
          return;
        }
      }
      this.#send(slot.packetId, slot.qos, refused === REASON.success ? slot.reason : refused);
    }
    if (count > 0) owner.onAcknowledged();
  }

  #send(packetId: number, qos: number, reason: ReasonCode): void {
    const isPuback = qos === 1;
    const type = isPuback ? PACKET.puback : PACKET.pubrec;
    if (isPuback) this.#counters.pubackOut++;
    else this.#counters.pubrecOut++;
    const { writer, isV5 } = this.#owner;
    if (reason === REASON.success || !isV5) writer.ack(type << 4, packetId);
    else writer.send(ack5(type, packetId, reason, null));
  }
}
