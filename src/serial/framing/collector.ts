import type { DiscardReason, FrameSink } from "./framer.ts";

const FIRST_BYTES = 256;

/** The frame that is being received; at most `maxBytes` of it are kept. */
export class Collector {
  readonly #maxBytes: number;
  readonly #sink: FrameSink;
  #bytes: Buffer = Buffer.allocUnsafe(FIRST_BYTES);
  #length = 0;
  /** Bytes of a frame that has become too long, its end not seen yet. */
  #excess = 0;

  constructor(maxBytes: number, sink: FrameSink) {
    this.#maxBytes = maxBytes;
    this.#sink = sink;
  }

  get length(): number {
    return this.#length;
  }

  /** Whether nothing of a frame has come yet. */
  get isEmpty(): boolean {
    return this.#length === 0 && this.#excess === 0;
  }

  get isTooLong(): boolean {
    return this.#excess > 0;
  }

  /** Adds `chunk[from, to)`; a frame that gets too long is given up as a whole. */
  add(chunk: Buffer, from: number, to: number): void {
    const count = to - from;
    if (count === 0) return;
    if (this.#excess > 0 || this.#length + count > this.#maxBytes) {
      this.#excess += this.#length + count;
      this.#length = 0;
      return;
    }
    this.#makeRoom(this.#length + count);
    chunk.copy(this.#bytes, this.#length, from, to);
    this.#length += count;
  }

  addByte(byte: number): void {
    if (this.#excess > 0 || this.#length + 1 > this.#maxBytes) {
      this.#excess += this.#length + 1;
      this.#length = 0;
      return;
    }
    this.#makeRoom(this.#length + 1);
    this.#bytes[this.#length] = byte;
    this.#length += 1;
  }

  /** The frame is complete: handed on, or counted as too long. */
  finish(): void {
    if (this.#excess > 0) this.#sink.discard(this.#excess, "too_long");
    else this.#sink.frame(Buffer.from(this.#bytes.subarray(0, this.#length)));
    this.#start();
  }

  /** Gives up what has been collected. */
  drop(reason: DiscardReason): void {
    if (this.#excess > 0) this.#sink.discard(this.#excess, "too_long");
    else if (this.#length > 0) this.#sink.discard(this.#length, reason);
    this.#start();
  }

  #start(): void {
    this.#length = 0;
    this.#excess = 0;
    // A large frame was an exception: its room is not kept.
    if (this.#bytes.length > 16 * FIRST_BYTES) this.#bytes = Buffer.allocUnsafe(FIRST_BYTES);
  }

  #makeRoom(length: number): void {
    if (length <= this.#bytes.length) return;
    const size = Math.min(this.#maxBytes, Math.max(length, this.#bytes.length * 2));
    const larger = Buffer.allocUnsafe(size);
    this.#bytes.copy(larger, 0, 0, this.#length);
    this.#bytes = larger;
  }
}
