import { MAX_PACKET_ID, packetIdOf } from "../mqtt/index.ts";

/** What an outgoing QoS 1 or 2 message waits for. */
export const AWAITS = { nothing: 0, puback: 1, pubrec: 2, pubcomp: 3 } as const;

export type Awaits = (typeof AWAITS)[keyof typeof AWAITS];

const FIRST_SLOTS = 16;
/** An idle client has none. */
const NO_SLOTS = new Uint8Array(0);
/** Sequences from the oldest unacknowledged to the newest sent; below the number of Packet Identifiers. */
const MAX_SPAN = 32_768;

/**
 * The outgoing messages on their way to one client, by sequence. A ring of one byte for each
 * sequence from the oldest unacknowledged one on, so that the common case, acknowledgement in order,
 * allocates nothing.
 */
export class InflightWindow {
  /** Messages that are not acknowledged. */
  count = 0;
  #slots = NO_SLOTS;
  #base = 0;
  #end = 0;

  /** Whether `seq` still lies within the span that Packet Identifiers tell apart. */
  fits(seq: number): boolean {
    return this.count === 0 || seq - this.#base < MAX_SPAN;
  }

  /** `seq` is sent; it must be higher than all before. */
  open(seq: number, awaits: Awaits): void {
    if (this.count === 0) {
      this.#base = seq;
    }
    while (seq - this.#base >= this.#slots.length) this.#double();
    this.#slots[seq & (this.#slots.length - 1)] = awaits;
    this.#end = seq + 1;
    this.count++;
  }

  /** The sequence a Packet Identifier stands for now, -1 when it stands for none. */
  seqOf(packetId: number): number {
    if (this.count === 0) return -1;
    let ahead = packetId - packetIdOf(this.#base);
    if (ahead < 0) ahead += MAX_PACKET_ID;
    const seq = this.#base + ahead;
    return seq < this.#end && this.awaits(seq) !== AWAITS.nothing ? seq : -1;
  }

  awaits(seq: number): number {
    return this.#slots[seq & (this.#slots.length - 1)] ?? AWAITS.nothing;
  }

  /** PUBREC has come for `seq`. */
  release(seq: number): void {
    this.#slots[seq & (this.#slots.length - 1)] = AWAITS.pubcomp;
  }

  /** `seq` is acknowledged. */
  close(seq: number): void {
    const mask = this.#slots.length - 1;
    this.#slots[seq & mask] = AWAITS.nothing;
    this.count--;
    if (seq !== this.#base) return;
    let base = seq + 1;
    while (base < this.#end && this.#slots[base & mask] === AWAITS.nothing) base++;
    this.#base = base;
  }

  clear(): void {
    this.#slots = NO_SLOTS;
    this.count = 0;
    this.#base = 0;
    this.#end = 0;
  }

  #double(): void {
    const old = this.#slots;
    const slots = new Uint8Array(Math.max(FIRST_SLOTS, old.length * 2));
    for (let seq = this.#base; seq < this.#end; seq++) {
      slots[seq & (slots.length - 1)] = old[seq & (old.length - 1)] ?? 0;
    }
    this.#slots = slots;
  }
}
