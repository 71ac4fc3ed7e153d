import type { SerialPortConfig } from "../../config/index.ts";
import { CobsFramer } from "./cobs.ts";
import { DelimitedFramer } from "./delimited.ts";
import { FixedFramer } from "./fixed.ts";
import type { Framer, FrameSink } from "./framer.ts";
import { IdleFramer, RawFramer } from "./idle.ts";
import { PrefixedFramer } from "./prefixed.ts";
import { SlipFramer } from "./slip.ts";

export type FramingConfig = SerialPortConfig["framing"];

/** The framer for a port's configuration. */
export function createFramer(cfg: FramingConfig, sink: FrameSink): Framer {
  const maxFrameBytes = cfg.max_frame_bytes;
  switch (cfg.type) {
    case "line":
      return new DelimitedFramer(sink, {
        delimiter: Buffer.from("\n"),
        maxFrameBytes,
        isText: true,
      });
    case "delimiter":
      return new DelimitedFramer(sink, {
        delimiter: Buffer.from(cfg.delimiter_hex, "hex"),
        maxFrameBytes,
        isText: false,
      });
    case "fixed":
      return new FixedFramer(sink, { length: cfg.length_bytes });
    case "length_prefix":
      return new PrefixedFramer(sink, {
        prefix: {
          bytes: cfg.prefix_bytes,
          order: cfg.prefix_order,
          countsItself: cfg.prefix_counts_itself,
        },
        maxFrameBytes,
      });
    case "slip":
      return new SlipFramer(sink, { maxFrameBytes });
    case "cobs":
      return new CobsFramer(sink, { maxFrameBytes });
    case "idle":
      return new IdleFramer(sink, { maxFrameBytes });
    case "raw":
      return new RawFramer(sink, { maxFrameBytes });
  }
}

/** Silence after which `Framer.idle` is called, ms; 0 = the framing does not look at time. */
export function idleTimeMs(cfg: FramingConfig): number {
  const looksAtTime = cfg.type === "idle" || cfg.type === "fixed" || cfg.type === "length_prefix";
  return looksAtTime ? cfg.idle_ms : 0;
}
