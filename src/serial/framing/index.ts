export { encodeFrame, Unsendable } from "./encode.ts";
export type { DiscardReason, Framer, FrameSink } from "./framer.ts";
export { createFramer, type FramingConfig, idleTimeMs } from "./framing.ts";
