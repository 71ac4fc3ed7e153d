import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { TLSSocket } from "node:tls";

/** Chunks from this size on are freed at once; smaller ones cost the garbage collector little. */
const RELEASED_BYTES = 16_384;

/** Whether what `stream` delivers is allocated for the purpose, and read by nobody else. */
export function ownsItsChunks(stream: Duplex): boolean {
  const prototype: unknown = Object.getPrototypeOf(stream);
  return prototype === Socket.prototype || prototype === TLSSocket.prototype;
}

/**
 * Frees the memory behind a large chunk nobody reads any more. Left to the garbage collector, the
 * 64 kB a socket delivers at a time bring on a full collection every few hundred reads.
 */
export function release(chunk: Buffer): void {
  const { buffer } = chunk;
  if (chunk.length < RELEASED_BYTES || buffer.byteLength !== chunk.length) return;
  if (buffer instanceof ArrayBuffer) buffer.transfer(0);
}
