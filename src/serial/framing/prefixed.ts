import { Collector } from "./collector.ts";
import type { Framer, FrameSink } from "./framer.ts";

/** How a length stands before its frame. */
export interface LengthPrefix {
  readonly bytes: 1 | 2 | 4;
  readonly order: "big" | "little";
  /** The length counts the prefix as well. */
  readonly countsItself: boolean;
}

/**
 * Frames with their length before them. A length that cannot be right is given up byte by byte until
 * one can; a silent line begins a new frame.
 */
export class PrefixedFramer implements Framer {
  readonly #sink: FrameSink;
  readonly #prefix: LengthPrefix;
  readonly #maxFrameBytes: number;
  readonly #collector: Collector;
  readonly #head: Buffer;
  #headBytes = 0;
  /** Bytes of the frame still to come; null while its prefix is being read. */
  #missing: number | null = null;

  constructor(sink: FrameSink, cfg: { prefix: LengthPrefix; maxFrameBytes: number }) {
    this.#sink = sink;
    this.#prefix = cfg.prefix;
    this.#maxFrameBytes = cfg.maxFrameBytes;
    this.#collector = new Collector(cfg.maxFrameBytes, sink);
    this.#head = Buffer.alloc(cfg.prefix.bytes);
  }

  push(chunk: Buffer): void {
    let from = 0;
    while (from < chunk.length) {
      if (this.#missing === null) {
        this.#head[this.#headBytes] = chunk[from] ?? 0;
        this.#headBytes += 1;
        from += 1;
        if (this.#headBytes === this.#head.length) this.#begin();
        continue;
      }
      const count = Math.min(this.#missing, chunk.length - from);
      this.#collector.add(chunk, from, from + count);
      from += count;
      this.#missing -= count;
      if (this.#missing === 0) this.#finish();
    }
  }

  idle(): void {
    this.reset();
  }

  reset(): void {
    const begun = this.#headBytes;
    this.#headBytes = 0;
    this.#missing = null;
    if (begun > 0) this.#sink.discard(begun, "incomplete");
    this.#collector.drop("incomplete");
  }

  #begin(): void {
    const { bytes, order, countsItself } = this.#prefix;
    const told =
      order === "big" ? this.#head.readUIntBE(0, bytes) : this.#head.readUIntLE(0, bytes);
    const length = countsItself ? told - bytes : told;
    if (length < 0 || length > this.#maxFrameBytes) {
      // Not in step with the line: the next byte may begin a prefix.
      this.#sink.discard(1, "malformed");
      this.#head.copyWithin(0, 1);
      this.#headBytes -= 1;
      return;
    }
    this.#missing = length;
    if (length === 0) this.#finish();
  }

  #finish(): void {
    this.#missing = null;
    this.#headBytes = 0;
    this.#collector.finish();
  }
}
