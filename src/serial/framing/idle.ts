import { Collector } from "./collector.ts";
import type { Framer, FrameSink } from "./framer.ts";

/** Whatever comes until the line is silent is one frame; a longer one is cut at the bound. */
export class IdleFramer implements Framer {
  readonly #collector: Collector;
  readonly #maxFrameBytes: number;

  constructor(sink: FrameSink, cfg: { maxFrameBytes: number }) {
    this.#collector = new Collector(cfg.maxFrameBytes, sink);
    this.#maxFrameBytes = cfg.maxFrameBytes;
  }

  push(chunk: Buffer): void {
    let from = 0;
    while (from < chunk.length) {
      const to = Math.min(chunk.length, from + this.#maxFrameBytes - this.#collector.length);
      this.#collector.add(chunk, from, to);
      from = to;
      if (this.#collector.length === this.#maxFrameBytes) this.#collector.finish();
    }
  }

  idle(): void {
    if (!this.#collector.isEmpty) this.#collector.finish();
  }

  reset(): void {
    this.#collector.drop("incomplete");
  }
}

/** Every chunk is a frame, as it was read; only for devices whose bytes need no order of frames. */
export class RawFramer implements Framer {
  readonly #sink: FrameSink;
  readonly #maxFrameBytes: number;

  constructor(sink: FrameSink, cfg: { maxFrameBytes: number }) {
    this.#sink = sink;
    this.#maxFrameBytes = cfg.maxFrameBytes;
  }

  push(chunk: Buffer): void {
    for (let from = 0; from < chunk.length; from += this.#maxFrameBytes) {
      this.#sink.frame(Buffer.from(chunk.subarray(from, from + this.#maxFrameBytes)));
    }
  }

  idle(): void {}

  reset(): void {}
}
