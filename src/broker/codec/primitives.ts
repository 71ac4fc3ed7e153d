import { isUtf8 } from "node:buffer";
import { malformed } from "./reason-codes.ts";

/** Longest UTF-8 Encoded String or Binary Data, in bytes (MQTT 5.0 §1.5.4, §1.5.6). */
const MAX_FIELD_BYTES = 65_535;

/**
 * The text in `buf[start, end)`, or null when it is not well-formed UTF-8 ([MQTT-1.5.4-1]: no
 * surrogates, no overlong forms) or holds U+0000 ([MQTT-1.5.4-2]). A byte order mark is kept
 * ([MQTT-1.5.4-3]).
 */
export function decodeText(buf: Buffer, start: number, end: number): string | null {
  let isAscii = true;
  for (let i = start; i < end; i++) {
    const byte = buf[i];
    if (byte === 0) return null;
    if (byte !== undefined && byte > 0x7f) isAscii = false;
  }
  if (isAscii) return buf.toString("latin1", start, end);
  return isUtf8(buf.subarray(start, end)) ? buf.toString("utf8", start, end) : null;
}

/** Reads a packet's fields in order; whatever would leave the packet is malformed. */
export class Reader {
  readonly buf: Buffer;
  readonly end: number;
  pos: number;

  constructor(buf: Buffer, start: number, end: number) {
    this.buf = buf;
    this.pos = start;
    this.end = end;
  }

  get isDone(): boolean {
    return this.pos === this.end;
  }

  u8(): number {
    return this.buf[this.#take(1)] ?? 0;
  }

  u16(): number {
    return this.buf.readUInt16BE(this.#take(2));
  }

  u32(): number {
    return this.buf.readUInt32BE(this.#take(4));
  }

  /** Variable Byte Integer, in its shortest form only ([MQTT-1.5.5-1]). */
  varint(): number {
    let value = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.u8();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) {
        if (byte === 0 && shift > 0) throw malformed("variable byte integer is padded");
        return value;
      }
    }
    throw malformed("variable byte integer is over four bytes");
  }

  text(): string {
    const length = this.u16();
    const start = this.#take(length);
    const value = decodeText(this.buf, start, this.pos);
    if (value === null) throw malformed("text is not well-formed UTF-8 or holds U+0000");
    return value;
  }

  /** Binary Data, copied so that it does not keep the packet's buffer alive. */
  binary(): Buffer {
    const length = this.u16();
    const start = this.#take(length);
    return Buffer.from(this.buf.subarray(start, this.pos));
  }

  #take(length: number): number {
    const start = this.pos;
    if (start + length > this.end) throw malformed("packet ends inside a field");
    this.pos = start + length;
    return start;
  }
}

/** Collects a packet's fields in order. */
export class ByteSink {
  #buf = Buffer.allocUnsafe(128);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  u8(value: number): this {
    const at = this.#room(1);
    this.#buf[at] = value;
    return this;
  }

  u16(value: number): this {
    const at = this.#room(2);
    this.#buf.writeUInt16BE(value, at);
    return this;
  }

  u32(value: number): this {
    const at = this.#room(4);
    this.#buf.writeUInt32BE(value, at);
    return this;
  }

  varint(value: number): this {
    let rest = value;
    do {
      const byte = rest % 128;
      rest = Math.floor(rest / 128);
      this.u8(rest > 0 ? byte + 128 : byte);
    } while (rest > 0);
    return this;
  }

  text(value: string): this {
    return this.binary(Buffer.from(value));
  }

  binary(value: Buffer): this {
    const length = Math.min(value.length, MAX_FIELD_BYTES);
    return this.u16(length).bytes(value.subarray(0, length));
  }

  bytes(value: Buffer): this {
    const at = this.#room(value.length);
    value.copy(this.#buf, at);
    return this;
  }

  /** The bytes so far; the sink must not be written to again. */
  finish(): Buffer {
    return this.#buf.subarray(0, this.#length);
  }

  #room(length: number): number {
    const start = this.#length;
    this.#length += length;
    if (this.#length > this.#buf.length) {
      const larger = Buffer.allocUnsafe(Math.max(this.#length, this.#buf.length * 2));
      this.#buf.copy(larger, 0, 0, start);
      this.#buf = larger;
    }
    return start;
  }
}

/** Bytes a Variable Byte Integer takes. */
export function varintSize(value: number): 1 | 2 | 3 | 4 {
  if (value < 128) return 1;
  if (value < 16_384) return 2;
  return value < 2_097_152 ? 3 : 4;
}

/** Writes a Variable Byte Integer at `at` and answers where it ends. */
export function writeVarint(buf: Buffer, at: number, value: number): number {
  let pos = at;
  let rest = value;
  while (rest > 127) {
    buf[pos++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  buf[pos++] = rest;
  return pos;
}

/** A whole packet: fixed header and body. */
export function packet(firstByte: number, body: Buffer): Buffer {
  const size = varintSize(body.length);
  const out = Buffer.allocUnsafe(1 + size + body.length);
  out[0] = firstByte;
  body.copy(out, writeVarint(out, 1, body.length));
  return out;
}
