import { COBS_RUN } from "./cobs.ts";
import type { FramingConfig } from "./framing.ts";
import { SLIP } from "./slip.ts";

/** Why a payload cannot be sent with a framing, in words for the sender. */
export class Unsendable extends Error {
  constructor(reason: string) {
    super(reason);
    this.name = "Unsendable";
  }
}

/**
 * The bytes that stand for `payload` on the line.
 * @throws Unsendable when the framing cannot carry it
 */
export function encodeFrame(framing: FramingConfig, payload: Buffer): Buffer {
  if (payload.length > framing.max_frame_bytes) {
    throw new Unsendable(`it has ${payload.length} bytes, at most ${framing.max_frame_bytes}`);
  }
  switch (framing.type) {
    case "line":
      return delimited(payload, Buffer.from("\n"));
    case "delimiter":
      return delimited(payload, Buffer.from(framing.delimiter_hex, "hex"));
    case "fixed":
      if (payload.length !== framing.length_bytes) {
        throw new Unsendable(`it has ${payload.length} bytes, not ${framing.length_bytes}`);
      }
      return payload;
    case "length_prefix":
      return prefixed(framing, payload);
    case "slip":
      return slip(payload);
    case "cobs":
      return cobs(payload);
    case "idle":
    case "raw":
      return payload;
  }
}

function delimited(payload: Buffer, delimiter: Buffer): Buffer {
  if (payload.includes(delimiter)) throw new Unsendable("the delimiter stands in it");
  return Buffer.concat([payload, delimiter]);
}

function prefixed(framing: FramingConfig, payload: Buffer): Buffer {
  const { prefix_bytes, prefix_order, prefix_counts_itself } = framing;
  const told = payload.length + (prefix_counts_itself ? prefix_bytes : 0);
  if (told >= 2 ** (8 * prefix_bytes)) {
    throw new Unsendable(`its length does not fit into ${prefix_bytes} bytes`);
  }
  const head = Buffer.alloc(prefix_bytes);
  if (prefix_order === "big") head.writeUIntBE(told, 0, prefix_bytes);
  else head.writeUIntLE(told, 0, prefix_bytes);
  return Buffer.concat([head, payload]);
}

function slip(payload: Buffer): Buffer {
  const out = Buffer.allocUnsafe(2 * payload.length + 2);
  let at = out.writeUInt8(SLIP.end, 0);
  for (const byte of payload) {
    if (byte === SLIP.end || byte === SLIP.escape) {
      out[at++] = SLIP.escape;
      out[at++] = byte === SLIP.end ? SLIP.escapedEnd : SLIP.escapedEscape;
    } else {
      out[at++] = byte;
    }
  }
  out[at++] = SLIP.end;
  return out.subarray(0, at);
}

function cobs(payload: Buffer): Buffer {
  const out = Buffer.allocUnsafe(payload.length + Math.ceil(payload.length / COBS_RUN) + 2);
  let codeAt = 0;
  let at = 1;
  for (const [index, byte] of payload.entries()) {
    if (byte === 0) {
      out[codeAt] = at - codeAt;
      codeAt = at++;
      continue;
    }
    out[at++] = byte;
    if (at - codeAt > COBS_RUN && index < payload.length - 1) {
      out[codeAt] = 0xff;
      codeAt = at++;
    }
  }
  out[codeAt] = at - codeAt;
  out[at++] = 0;
  return out.subarray(0, at);
}
