import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { BufferPool, LARGE_BYTES } from "./buffer-pool.ts";
import type { Counters } from "./counters.ts";

/** QoS 1 and 2 wait in the session, not here, once this much has gathered behind a write the peer has not taken. */
const CONGESTED_BYTES = 65_536;
const NOTHING = Buffer.alloc(0);
/** Time one pass over the waiting writers may take before others get their turn. */
const FLUSH_SLICE_MS = 5;
const CLOCK_CHECK_MASK = 15;

/** Collects the writers that have something to send and writes each once per turn of the event loop. */
export class Flusher {
  readonly pool = new BufferPool();
  #dirty: Writer[] = [];
  #isScheduled = false;
  readonly #run = (): void => this.#flushAll();

  add(writer: Writer): void {
    this.#dirty.push(writer);
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(this.#run);
  }

  #flushAll(): void {
    const writers = this.#dirty;
    this.#dirty = [];
    const startMs = performance.now();
    for (let i = 0; i < writers.length; i++) {
      if (
        (i & CLOCK_CHECK_MASK) === CLOCK_CHECK_MASK &&
        performance.now() - startMs > FLUSH_SLICE_MS
      ) {
        const rest = writers.slice(i);
        for (const later of this.#dirty) rest.push(later);
        this.#dirty = rest;
        break;
      }
      writers[i]?.flush();
    }
    if (this.#dirty.length > 0) setImmediate(this.#run);
    else this.#isScheduled = false;
  }
}

/**
 * The outgoing side of one connection. Packets are encoded straight into one pooled buffer and
 * written once per turn of the loop. While the socket has not taken the last write (`isBlocked`)
 * everything gathers here, so that it can be counted and refused.
 */
export class Writer {
  /** The buffer that `reserve` gave room in. */
  out: Buffer = NOTHING;
  /** True while the peer has not taken what was written before. */
  isBlocked = false;
  /** Monotonic tick of the owner at which the peer last took something; the owner reads and resets it. */
  hasProgressed = false;
  /** PUBLISH packets and all others that were handed over, since the connection began. */
  published = 0;
  others = 0;
  /** Bytes and writes given to the stream. */
  bytesOut = 0;
  writesOut = 0;
  readonly #stream: Duplex;
  readonly #flusher: Flusher;
  readonly #counters: Counters;
  readonly #onDrained: () => void;
  readonly #isPlain: boolean;
  #start = 0;
  #end = 0;
  #parts: Buffer[] = [];
  #partBytes = 0;
  #isDirty = false;
  #isClosed = false;
  #lastUnsent = 0;
  /** `published` at the last write. */
  #publishedBefore = 0;

  constructor(stream: Duplex, flusher: Flusher, counters: Counters, onDrained: () => void) {
    this.#stream = stream;
    this.#flusher = flusher;
    this.#counters = counters;
    this.#onDrained = onDrained;
    // Only a bare socket is known to have given everything to the kernel when nothing is left in it.
    this.#isPlain = Object.getPrototypeOf(stream) === Socket.prototype;
  }

  /** PUBLISH packets gathered since the last write. */
  get messages(): number {
    return this.published - this.#publishedBefore;
  }

  /** Bytes gathered and not yet handed to the socket. */
  get gatheredBytes(): number {
    return this.#partBytes + this.#end - this.#start;
  }

  /** The peer is so far behind that nothing new should be started for it. */
  get isCongested(): boolean {
    return this.isBlocked && this.gatheredBytes >= CONGESTED_BYTES;
  }

  /** Room for `length` bytes in `out`; answers where they start. They are sent with the next flush. */
  reserve(length: number): number {
    if (!this.#isDirty) {
      this.#isDirty = true;
      this.#flusher.add(this);
    }
    const at = this.#end;
    if (at + length <= this.out.length) {
      this.#end = at + length;
      return at;
    }
    return this.#grow(length);
  }

  /** Sends a small packet. */
  send(packet: Buffer): void {
    this.others++;
    if (packet.length >= LARGE_BYTES) {
      this.sendLarge(packet);
      return;
    }
    const at = this.reserve(packet.length);
    packet.copy(this.out, at);
  }

  /** Sends `bytes` without copying them; they must not change any more. */
  sendLarge(bytes: Buffer): void {
    this.reserve(0);
    this.#cut();
    this.#parts.push(bytes);
    this.#partBytes += bytes.length;
  }

  /** The four bytes of an acknowledgement without reason and properties. */
  ack(firstByte: number, packetId: number): void {
    const at = this.reserve(4);
    this.others++;
    const out = this.out;
    out[at] = firstByte;
    out[at + 1] = 2;
    out[at + 2] = packetId >> 8;
    out[at + 3] = packetId & 255;
  }

  /** Writes what has gathered, unless the peer has not taken the last write yet. */
  flush(): void {
    this.#isDirty = false;
    if (this.#isClosed || this.isBlocked) return;
    if (this.gatheredBytes === 0) return;
    const stream = this.#stream;
    if (!stream.writable) {
      this.#drop();
      return;
    }
    this.#publishedBefore = this.published;
    this.writesOut++;
    this.bytesOut += this.gatheredBytes;
    this.#counters.bytesOut += this.gatheredBytes;
    if (this.#parts.length === 0 && this.#isPlain) {
      stream.write(this.out.subarray(this.#start, this.#end));
      if (stream.writableLength === 0) {
        // The kernel has it all: the buffer is free again.
        this.#flusher.pool.give(this.out);
        this.#forgetOut();
        return;
      }
      this.#forgetOut();
      this.#block();
      stream.write(NOTHING, this.#written);
      return;
    }
    this.#writeParts(stream);
  }

  /** Writes everything at once, blocked or not, and takes no more: the connection is about to end. */
  finish(): void {
    if (this.#isClosed) return;
    if (this.#stream.writable && this.gatheredBytes > 0) {
      this.#counters.bytesOut += this.gatheredBytes;
      this.#cut();
      for (const part of this.#parts) {
        this.writesOut++;
        this.bytesOut += part.length;
        this.#stream.write(part);
      }
    }
    this.close();
  }

  /** Takes no more and forgets what has gathered. */
  close(): void {
    this.#isClosed = true;
    this.#drop();
  }

  /** Whether the kernel took anything of the last write since the last question. */
  tookSome(): boolean {
    const unsent = unsentBytes(this.#stream);
    const has = unsent < this.#lastUnsent || this.hasProgressed;
    this.#lastUnsent = unsent;
    this.hasProgressed = false;
    return has;
  }

  readonly #written = (): void => {
    this.isBlocked = false;
    this.hasProgressed = true;
    if (this.#isClosed) return;
    this.flush();
    if (!this.isBlocked) this.#onDrained();
  };

  #writeParts(stream: Duplex): void {
    this.#cut();
    const parts = this.#parts;
    this.#parts = [];
    this.#partBytes = 0;
    this.#forgetOut();
    this.#block();
    const last = parts.pop() ?? NOTHING;
    if (parts.length > 0) stream.cork();
    for (const part of parts) stream.write(part);
    stream.write(last, this.#written);
    if (parts.length > 0) stream.uncork();
    if (stream.writableLength === 0) this.isBlocked = false;
  }

  #block(): void {
    this.isBlocked = true;
    this.#lastUnsent = unsentBytes(this.#stream);
  }

  /** Moves the filled part of `out` to the finished parts. */
  #cut(): void {
    if (this.#end > this.#start) {
      this.#parts.push(this.out.subarray(this.#start, this.#end));
      this.#partBytes += this.#end - this.#start;
      this.#start = this.#end;
    }
  }

  #forgetOut(): void {
    this.out = NOTHING;
    this.#start = 0;
    this.#end = 0;
  }

  #drop(): void {
    this.#parts = [];
    this.#partBytes = 0;
    this.#forgetOut();
    this.#publishedBefore = this.published;
  }

  #grow(length: number): number {
    const pool = this.#flusher.pool;
    const used = this.#end - this.#start;
    if (this.out === NOTHING) {
      this.out = pool.take(length);
    } else if (this.#parts.length === 0 && this.#start === 0 && this.out.length < pool.largest) {
      const larger = pool.take(
        Math.min(pool.largest, Math.max(this.out.length * 4, used + length)),
      );
      if (larger.length < used + length) {
        this.#cut();
        this.out = pool.take(length);
        this.#start = 0;
        this.#end = 0;
      } else {
        this.out.copy(larger, 0, 0, this.#end);
        pool.give(this.out);
        this.out = larger;
      }
    } else {
      // A full buffer goes out now: written alone and at once, it can be used again.
      if (!this.isBlocked && !this.#isClosed) {
        this.flush();
        this.#isDirty = true;
        this.#flusher.add(this);
      }
      this.#cut();
      this.out = pool.take(length);
      this.#start = 0;
      this.#end = 0;
    }
    const at = this.#end;
    this.#end = at + length;
    return at;
  }
}

/** Bytes the kernel has not taken, as far as the stream tells. */
function unsentBytes(stream: Duplex): number {
  const handle: unknown = Reflect.get(stream, "_handle");
  if (typeof handle === "object" && handle !== null && "writeQueueSize" in handle) {
    const size = handle.writeQueueSize;
    if (typeof size === "number") return size;
  }
  return stream.writableLength;
}
