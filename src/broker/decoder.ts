import { type BufferPool, LARGE_BYTES } from "./buffer-pool.ts";
import { malformed, PACKET, PacketFault, REASON } from "./codec/index.ts";

/** Takes the frames a scanner finds. */
export interface FrameSink {
  /**
   * One whole packet: `buf[start]` is its first byte, its body is `[body, end)`. The bytes are valid
   * during the call only. False stops the scan; `resume` goes on behind this packet.
   * @throws PacketFault for a packet that ends the connection.
   */
  onFrame(buf: Buffer, start: number, body: number, end: number): boolean;
  /** Whether a packet may come now, known from its fixed header: throws before its bytes are kept. */
  admit(firstByte: number, remainingLength: number): void;
}

/** Where the largest packet's size is looked up. */
export interface PacketLimit {
  readonly maxPacketBytes: number;
}

const NOTHING: Buffer = Buffer.alloc(0);
/** First size of the buffer that collects a packet arriving in pieces. */
const FIRST_PIECES_BYTES = 256;

/**
 * Cuts a byte stream into control packets (MQTT 5.0 §2.1). Whole packets are handed on in place;
 * only one that arrives in pieces is collected, in a buffer that at most doubles with the bytes
 * really received, so that neither a large packet nor one sent a byte a second costs more than
 * linear time, and an announced length costs no memory.
 */
export class FrameScanner {
  /** Largest whole packet accepted, bytes; may change at any time. */
  limit: PacketLimit;
  /** MQTT 5.0 refuses padded lengths ([MQTT-1.5.5-1]); 3.x does not say. */
  refusesPadding = false;
  readonly #sink: FrameSink;
  readonly #pool: BufferPool;
  #pieces: Buffer = NOTHING;
  #have = 0;
  /** Size of the packet in `#pieces`, 0 until its fixed header is complete. */
  #size = 0;
  #bodyAt = 0;
  #waiting: Buffer = NOTHING;
  /** The newest chunk a large packet was handed on from in place: a writer may hold its payload. */
  #lent: Buffer | null = null;
  #isStopped = false;

  /** `pool` lends the buffers that collect packets in pieces. */
  constructor(sink: FrameSink, limit: PacketLimit, pool: BufferPool) {
    this.#sink = sink;
    this.limit = limit;
    this.#pool = pool;
  }

  /** Bytes kept for an unfinished or unread packet. */
  get heldBytes(): number {
    return this.#pieces.length + this.#waiting.length;
  }

  /** Whether nobody reads `chunk`, which was pushed last, any more. */
  isDoneWith(chunk: Buffer): boolean {
    const isLent = this.#lent === chunk;
    this.#lent = null;
    return !isLent && this.#waiting.length === 0;
  }

  /**
   * Hands on every packet that `chunk` completes. False when the sink stopped it.
   * @throws PacketFault 0x81, 0x95 and what the sink throws.
   */
  push(chunk: Buffer): boolean {
    if (this.#isStopped) {
      this.#waiting = this.#waiting.length === 0 ? chunk : Buffer.concat([this.#waiting, chunk]);
      return false;
    }
    if (this.#have === 0) return this.#scan(chunk, 0);
    return this.#fillPieces(chunk);
  }

  /** Goes on after a stop; false when it was stopped again. */
  resume(): boolean {
    this.#isStopped = false;
    const rest = this.#waiting;
    this.#waiting = NOTHING;
    return rest.length === 0 || this.push(rest);
  }

  #stop(chunk: Buffer, from: number): false {
    this.#isStopped = true;
    this.#waiting = from < chunk.length ? chunk.subarray(from) : NOTHING;
    return false;
  }

  #scan(chunk: Buffer, from: number): boolean {
    const length = chunk.length;
    const sink = this.#sink;
    const max = this.limit.maxPacketBytes;
    let at = from;
    while (at < length) {
      let pos = at + 1;
      let byte = pos < length ? (chunk[pos++] ?? 0) : -1;
      if (byte < 0) return this.#keep(chunk, at);
      let remaining = byte & 0x7f;
      for (let shift = 7; byte > 0x7f; shift += 7) {
        if (shift > 21) throw malformed("remaining length is over four bytes");
        if (pos === length) return this.#keep(chunk, at);
        byte = chunk[pos++] ?? 0;
        remaining |= (byte & 0x7f) << shift;
        if (byte === 0 && this.refusesPadding) throw malformed("remaining length is padded");
      }
      const end = pos + remaining;
      if (end - at > max) throw tooLarge(end - at, max);
      if (end > length) {
        sink.admit(chunk[at] ?? 0, remaining);
        this.#size = end - at;
        this.#bodyAt = pos - at;
        return this.#keep(chunk, at);
      }
      if (end - at >= LARGE_BYTES) this.#lent = chunk;
      if (!sink.onFrame(chunk, at, pos, end)) return this.#stop(chunk, end);
      at = end;
    }
    return true;
  }

  #keep(chunk: Buffer, from: number): true {
    const have = chunk.length - from;
    this.#pieces = this.#pool.take(this.#roomFor(have));
    chunk.copy(this.#pieces, 0, from);
    this.#have = have;
    return true;
  }

  /** A buffer for `have` bytes, never over the packet's own size, at most doubling. */
  #roomFor(have: number): number {
    const room = Math.max(have, Math.min(have * 2, 65_536), FIRST_PIECES_BYTES);
    return this.#size > 0 ? Math.min(this.#size, Math.max(room, have * 2)) : room;
  }

  #fillPieces(chunk: Buffer): boolean {
    let at = 0;
    while (this.#size === 0) {
      if (at === chunk.length) return true;
      this.#add(chunk, at, at + 1);
      at += 1;
      this.#readHeader();
    }
    const wanted = Math.min(this.#size - this.#have, chunk.length - at);
    this.#add(chunk, at, at + wanted);
    at += wanted;
    if (this.#have < this.#size) return true;
    const whole = this.#pieces;
    const size = this.#size;
    const bodyAt = this.#bodyAt;
    this.#pieces = NOTHING;
    this.#have = 0;
    this.#size = 0;
    const goesOn = this.#sink.onFrame(whole, 0, bodyAt, size);
    // A large payload may have been handed on as it is; anything else has been copied.
    if (size < LARGE_BYTES) this.#pool.give(whole);
    return goesOn ? this.#scan(chunk, at) : this.#stop(chunk, at);
  }

  #add(chunk: Buffer, from: number, to: number): void {
    const have = this.#have + to - from;
    if (have > this.#pieces.length) {
      const larger = this.#pool.take(this.#roomFor(have));
      this.#pieces.copy(larger, 0, 0, this.#have);
      this.#pool.give(this.#pieces);
      this.#pieces = larger;
    }
    chunk.copy(this.#pieces, this.#have, from, to);
    this.#have = have;
  }

  #readHeader(): void {
    const pieces = this.#pieces;
    let remaining = 0;
    for (let pos = 1; pos < this.#have; pos++) {
      const byte = pieces[pos] ?? 0;
      remaining |= (byte & 0x7f) << (7 * (pos - 1));
      if (byte < 0x80) {
        if (byte === 0 && pos > 1 && this.refusesPadding) {
          throw malformed("remaining length is padded");
        }
        this.#size = pos + 1 + remaining;
        this.#bodyAt = pos + 1;
        const { maxPacketBytes } = this.limit;
        if (this.#size > maxPacketBytes) throw tooLarge(this.#size, maxPacketBytes);
        this.#sink.admit(pieces[0] ?? 0, remaining);
        return;
      }
      if (pos === 4) throw malformed("remaining length is over four bytes");
    }
  }
}

function tooLarge(size: number, max: number): PacketFault {
  return new PacketFault(REASON.packetTooLarge, `packet has ${size} bytes, at most ${max}`);
}

/** Fixed header flags by packet type (MQTT 5.0 §2.1.3); PUBLISH checks its own. */
const FLAGS: readonly number[] = [-1, 0, 0, -1, 0, 0, 2, 0, 2, 0, 2, 0, 0, 0, 0, 0];
/** Least Remaining Length by packet type for what a client may send; a missing payload is another fault. */
const LEAST: readonly number[] = [-1, 10, -1, 2, 2, 2, 2, 2, 2, -1, 2, -1, 0, -1, 0, 0];

/**
 * What the fixed header alone tells: type and flags ([MQTT-2.1.3-1]), and a length no such packet has.
 * @throws PacketFault 0x81, or 0x82 for a packet only servers send.
 */
export function checkFixedHeader(firstByte: number, remaining: number, isV5: boolean): void {
  const type = firstByte >> 4;
  const least = LEAST[type] ?? -1;
  if (least < 0) {
    throw new PacketFault(
      type === 0 ? REASON.malformedPacket : REASON.protocolError,
      "packet type is not one a client sends",
    );
  }
  const flags = FLAGS[type];
  if (flags !== -1 && flags !== (firstByte & 15))
    throw malformed("reserved header flags are wrong");
  if (remaining < least) throw malformed("packet is too short for its type");
  if (type === PACKET.pingreq && remaining !== 0) throw malformed("PINGREQ has a body");
  if (isV5) return;
  if (type === PACKET.auth) throw malformed("AUTH is not a packet of MQTT 3");
  if (type >= PACKET.puback && type <= PACKET.pubcomp && remaining !== 2) {
    throw malformed("acknowledgement has more than a packet id");
  }
}
