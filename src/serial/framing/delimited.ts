import { Collector } from "./collector.ts";
import type { Framer, FrameSink } from "./framer.ts";

/**
 * Frames that end with `delimiter`. With `trimsCarriageReturn` a CR before it is left out, as lines
 * of text may end with LF or CR LF; empty lines are no frames then.
 */
export class DelimitedFramer implements Framer {
  readonly #delimiter: Buffer;
  readonly #isText: boolean;
  readonly #collector: Collector;
  /** How many bytes of the delimiter have been seen at the end of what came. */
  #matched = 0;
  /** For each number of matched bytes, how many still match when the next byte does not (KMP). */
  readonly #fallback: readonly number[];

  constructor(sink: FrameSink, cfg: { delimiter: Buffer; maxFrameBytes: number; isText: boolean }) {
    this.#delimiter = cfg.delimiter;
    this.#isText = cfg.isText;
    this.#fallback = fallbackOf(cfg.delimiter);
    this.#collector = new Collector(cfg.maxFrameBytes, cfg.isText ? trimming(sink) : sink);
  }

  push(chunk: Buffer): void {
    if (this.#delimiter.length === 1) this.#pushSimple(chunk);
    else for (const byte of chunk) this.#pushByte(byte);
  }

  idle(): void {}

  reset(): void {
    this.#addPartOfDelimiter(this.#matched);
    this.#matched = 0;
    this.#collector.drop("incomplete");
  }

  #pushSimple(chunk: Buffer): void {
    const end = this.#delimiter[0] ?? 0;
    let from = 0;
    while (from < chunk.length) {
      const at = chunk.indexOf(end, from);
      if (at < 0) {
        this.#collector.add(chunk, from, chunk.length);
        return;
      }
      this.#collector.add(chunk, from, at);
      this.#finish();
      from = at + 1;
    }
  }

  #pushByte(byte: number): void {
    while (this.#matched > 0 && this.#delimiter[this.#matched] !== byte) {
      const still = this.#fallback[this.#matched] ?? 0;
      this.#addPartOfDelimiter(this.#matched - still);
      this.#matched = still;
    }
    if (this.#delimiter[this.#matched] !== byte) {
      this.#collector.addByte(byte);
      return;
    }
    this.#matched += 1;
    if (this.#matched < this.#delimiter.length) return;
    this.#matched = 0;
    this.#finish();
  }

  /** Bytes that looked like the beginning of a delimiter and belong to the frame. */
  #addPartOfDelimiter(count: number): void {
    this.#collector.add(this.#delimiter, 0, count);
  }

  #finish(): void {
    if (this.#isText && this.#collector.isEmpty) return;
    this.#collector.finish();
  }
}

/** Leaves out the CR of a line that ended with CR LF, and lines of nothing else. */
function trimming(sink: FrameSink): FrameSink {
  return {
    frame(bytes) {
      const text = bytes.at(-1) === 0x0d ? bytes.subarray(0, -1) : bytes;
      if (text.length > 0) sink.frame(text);
    },
    discard: (bytes, reason) => sink.discard(bytes, reason),
  };
}

function fallbackOf(pattern: Buffer): readonly number[] {
  const fallback = [0, 0];
  let still = 0;
  for (let at = 1; at < pattern.length; at++) {
    while (still > 0 && pattern[at] !== pattern[still]) still = fallback[still] ?? 0;
    if (pattern[at] === pattern[still]) still += 1;
    fallback.push(still);
  }
  return fallback;
}
