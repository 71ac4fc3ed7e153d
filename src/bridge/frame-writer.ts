/** Small frames are laid one behind the other in buffers of this size. */
const CHUNK_BYTES = 65_536;

/** A chunk is not begun anew for less. */
const NONE = Buffer.alloc(0);

/**
 * Gathers the frames of one turn of the event loop and writes them at its end at once: a write for
 * each would cost more than all else that is done for a message.
 */
export class FrameWriter {
  readonly #write: (bytes: Buffer) => void;
  #chunk = NONE;
  /** What is in the chunk and not written. */
  #from = 0;
  #to = 0;
  #isScheduled = false;

  constructor(write: (bytes: Buffer) => void) {
    this.#write = write;
  }

  /** Bytes that wait for the end of the turn. */
  get waitingBytes(): number {
    return this.#to - this.#from;
  }

  /** Has a frame of this size filled in at the given place. */
  add(bytes: number, fill: (into: Buffer, at: number) => void): void {
    if (bytes > CHUNK_BYTES) {
      const own = Buffer.allocUnsafeSlow(bytes);
      fill(own, 0);
      this.flush();
      this.#write(own);
      return;
    }
    if (this.#to + bytes > this.#chunk.length) {
      this.flush();
      this.#chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES);
      this.#from = 0;
      this.#to = 0;
    }
    fill(this.#chunk, this.#to);
    this.#to += bytes;
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.flush();
    });
  }

  /** Writes what is there. */
  flush(): void {
    if (this.#from === this.#to) return;
    const bytes = this.#chunk.subarray(this.#from, this.#to);
    this.#from = this.#to;
    this.#write(bytes);
  }
}
