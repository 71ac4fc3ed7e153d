import type { Framer, FrameSink } from "./framer.ts";

/** Frames of always the same length. A silent line begins a new one, so that a lost byte costs one frame. */
export class FixedFramer implements Framer {
  readonly #sink: FrameSink;
  readonly #frame: Buffer;
  #have = 0;

  constructor(sink: FrameSink, cfg: { length: number }) {
    this.#sink = sink;
    this.#frame = Buffer.allocUnsafeSlow(cfg.length);
  }

  push(chunk: Buffer): void {
    let from = 0;
    while (from < chunk.length) {
      const count = Math.min(this.#frame.length - this.#have, chunk.length - from);
      chunk.copy(this.#frame, this.#have, from, from + count);
      this.#have += count;
      from += count;
      if (this.#have === this.#frame.length) {
        this.#have = 0;
        this.#sink.frame(Buffer.from(this.#frame));
      }
    }
  }

  idle(): void {
    this.reset();
  }

  reset(): void {
    if (this.#have > 0) this.#sink.discard(this.#have, "incomplete");
    this.#have = 0;
  }
}
