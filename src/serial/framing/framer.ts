/** Why bytes from a line did not become part of a frame. */
export type DiscardReason = "too_long" | "malformed" | "incomplete";

/** Takes what a framer makes of the bytes of a line. */
export interface FrameSink {
  /** One frame without its delimiters, escapes and prefixes; the bytes are the sink's own. */
  frame(bytes: Buffer): void;
  /** `bytes` of the line belong to no frame. */
  discard(bytes: number, reason: DiscardReason): void;
}

/**
 * Cuts the bytes of a line into frames: the same frames however the bytes are split into chunks. It
 * keeps at most one frame of `maxFrameBytes`, and its work is linear in the bytes it gets.
 */
export interface Framer {
  push(chunk: Buffer): void;
  /** The line has been silent for the framing's idle time. */
  idle(): void;
  /** The line is gone: what was not complete is discarded. */
  reset(): void;
}
