import { Collector } from "./collector.ts";
import type { Framer, FrameSink } from "./framer.ts";

/** Longest run of bytes one code stands for (Cheshire and Baker, "Consistent Overhead Byte Stuffing"). */
export const COBS_RUN = 254;

/** COBS frames, each ended by a zero byte. */
export class CobsFramer implements Framer {
  readonly #sink: FrameSink;
  readonly #collector: Collector;
  /** Bytes of the present run still to come; -1 before the first code of a frame. */
  #left = -1;
  /** The run ends with a zero of the payload. */
  #hasZero = false;

  constructor(sink: FrameSink, cfg: { maxFrameBytes: number }) {
    this.#sink = sink;
    this.#collector = new Collector(cfg.maxFrameBytes, sink);
  }

  push(chunk: Buffer): void {
    let from = 0;
    while (from < chunk.length) {
      const byte = chunk[from] ?? 0;
      if (byte === 0) {
        this.#end();
        from += 1;
      } else if (this.#left <= 0) {
        this.#code(byte);
        from += 1;
      } else {
        from = this.#run(chunk, from);
      }
    }
  }

  idle(): void {}

  reset(): void {
    if (this.#left < 0) return;
    this.#left = -1;
    if (this.#collector.isEmpty) this.#sink.discard(1, "incomplete");
    else this.#collector.drop("incomplete");
  }

  #code(code: number): void {
    if (this.#left === 0 && this.#hasZero) this.#collector.addByte(0);
    this.#left = code - 1;
    this.#hasZero = code <= COBS_RUN;
  }

  #run(chunk: Buffer, from: number): number {
    let to = Math.min(chunk.length, from + this.#left);
    const zero = chunk.subarray(from, to).indexOf(0);
    if (zero >= 0) to = from + zero;
    this.#collector.add(chunk, from, to);
    this.#left -= to - from;
    return to;
  }

  #end(): void {
    const left = this.#left;
    this.#left = -1;
    if (left < 0) return;
    if (left === 0) this.#collector.finish();
    else if (this.#collector.isEmpty) this.#sink.discard(1, "malformed");
    else this.#collector.drop("malformed");
  }
}
