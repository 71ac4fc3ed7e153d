import { Collector } from "./collector.ts";
import type { Framer, FrameSink } from "./framer.ts";

/** RFC 1055. */
export const SLIP = { end: 0xc0, escape: 0xdb, escapedEnd: 0xdc, escapedEscape: 0xdd } as const;

/** SLIP frames (RFC 1055): END after each, and perhaps before; END and ESC escaped within. */
export class SlipFramer implements Framer {
  readonly #sink: FrameSink;
  readonly #collector: Collector;
  #isEscaped = false;
  /** The rest of a frame with a wrong escape is discarded up to its END. */
  #skipped = 0;

  constructor(sink: FrameSink, cfg: { maxFrameBytes: number }) {
    this.#sink = sink;
    this.#collector = new Collector(cfg.maxFrameBytes, sink);
  }

  push(chunk: Buffer): void {
    for (const byte of chunk) this.#take(byte);
  }

  idle(): void {}

  reset(): void {
    if (this.#skipped > 0) this.#sink.discard(this.#skipped, "malformed");
    else if (this.#isEscaped) this.#sink.discard(1, "incomplete");
    this.#skipped = 0;
    this.#isEscaped = false;
    this.#collector.drop("incomplete");
  }

  #take(byte: number): void {
    if (byte === SLIP.end) {
      if (this.#skipped > 0 || this.#isEscaped) {
        this.#sink.discard(this.#skipped + (this.#isEscaped ? 1 : 0), "malformed");
        this.#collector.drop("malformed");
      } else if (!this.#collector.isEmpty) {
        this.#collector.finish();
      }
      this.#skipped = 0;
      this.#isEscaped = false;
    } else if (this.#skipped > 0) {
      this.#skipped += 1;
    } else if (this.#isEscaped) {
      this.#isEscaped = false;
      if (byte === SLIP.escapedEnd) this.#collector.addByte(SLIP.end);
      else if (byte === SLIP.escapedEscape) this.#collector.addByte(SLIP.escape);
      else this.#skipped = 2;
    } else if (byte === SLIP.escape) {
      this.#isEscaped = true;
    } else {
      this.#collector.addByte(byte);
    }
  }
}
