/** Strings up to this many UTF-16 units are copied unit by unit while they are ASCII: faster than a call. */
const SHORT_STRING = 24;

/** Room a fresh writer has, and the most it keeps between records. */
const INITIAL_BYTES = 65_536;
const KEPT_BYTES = 1_048_576;

/** Largest whole number the 48-bit fields hold. */
export const MAX_UINT48 = 0xffff_ffff_ffff;

/** Writes a record into a buffer that grows and is used again; big endian. */
export class ByteWriter {
  #buffer = Buffer.allocUnsafeSlow(INITIAL_BYTES);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** Starts the next record; slices of the one before are overwritten. */
  reset(): void {
    this.#length = 0;
    if (this.#buffer.length > KEPT_BYTES) this.#buffer = Buffer.allocUnsafeSlow(INITIAL_BYTES);
  }

  /** A view of what was written; valid until the next write. */
  slice(start: number, end: number): Buffer {
    return this.#buffer.subarray(start, end);
  }

  u8(value: number): void {
    this.#ensure(1);
    this.#buffer[this.#length++] = value;
  }

  u16(value: number): void {
    this.#ensure(2);
    this.#length = this.#buffer.writeUInt16BE(value, this.#length);
  }

  u32(value: number): void {
    this.#ensure(4);
    this.#length = this.#buffer.writeUInt32BE(value, this.#length);
  }

  /** @throws RangeError for anything but a number from 0 to 2⁴⁸ - 1. */
  u48(value: number): void {
    this.#ensure(6);
    this.#length = this.#buffer.writeUIntBE(value, this.#length, 6);
  }

  /** Unsigned LEB128, up to 2⁵³ - 1. */
  varint(value: number): void {
    this.#ensure(8);
    let rest = value;
    while (rest > 0x7f) {
      this.#buffer[this.#length++] = (rest % 128) | 0x80;
      rest = Math.floor(rest / 128);
    }
    this.#buffer[this.#length++] = rest;
  }

  /** Length in bytes (varint), then UTF-8. */
  text(value: string): void {
    if (value.length <= SHORT_STRING && this.#shortAscii(value)) return;
    const bytes = Buffer.byteLength(value);
    this.varint(bytes);
    this.#ensure(bytes);
    this.#length += this.#buffer.write(value, this.#length, "utf8");
  }

  /** UTF-8 without a length: the rest of a key. */
  rawText(value: string): void {
    const bytes = Buffer.byteLength(value);
    this.#ensure(bytes);
    this.#length += this.#buffer.write(value, this.#length, "utf8");
  }

  /** Length (varint), then the bytes. */
  bytes(value: Uint8Array): void {
    this.varint(value.length);
    this.rawBytes(value);
  }

  rawBytes(value: Uint8Array): void {
    this.#ensure(value.length);
    this.#buffer.set(value, this.#length);
    this.#length += value.length;
  }

  #shortAscii(value: string): boolean {
    this.#ensure(value.length + 1);
    const start = this.#length;
    this.#buffer[start] = value.length;
    for (let i = 0; i < value.length; i++) {
      const unit = value.charCodeAt(i);
      if (unit > 0x7f) return false;
      this.#buffer[start + 1 + i] = unit;
    }
    this.#length = start + 1 + value.length;
    return true;
  }

  #ensure(more: number): void {
    const needed = this.#length + more;
    if (needed <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.#buffer.length * 2));
    this.#buffer.copy(grown, 0, 0, this.#length);
    this.#buffer = grown;
  }
}

/** Raised by ByteReader for a record that ends too early or makes no sense. */
export class MalformedRecord extends Error {
  constructor(message: string) {
    super(message);
    this.name = "MalformedRecord";
  }
}

/** Reads a record written by ByteWriter. All methods throw MalformedRecord at its end. */
export class ByteReader {
  readonly #buffer: Buffer;
  readonly #end: number;
  #at: number;

  constructor(buffer: Buffer, start = 0, end = buffer.length) {
    this.#buffer = buffer;
    this.#at = start;
    this.#end = end;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#end;
  }

  u8(): number {
    return this.#buffer[this.#take(1)] ?? 0;
  }

  u16(): number {
    return this.#buffer.readUInt16BE(this.#take(2));
  }

  u32(): number {
    return this.#buffer.readUInt32BE(this.#take(4));
  }

  u48(): number {
    return this.#buffer.readUIntBE(this.#take(6), 6);
  }

  varint(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 8; i++) {
      const byte = this.u8();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 128;
    }
    throw new MalformedRecord("a number is too long");
  }

  text(): string {
    const bytes = this.varint();
    const start = this.#take(bytes);
    return this.#buffer.toString("utf8", start, start + bytes);
  }

  bytes(): Buffer {
    return this.take(this.varint());
  }

  /** The next bytes, as a view. */
  take(bytes: number): Buffer {
    const start = this.#take(bytes);
    return this.#buffer.subarray(start, start + bytes);
  }

  skip(bytes: number): void {
    this.#take(bytes);
  }

  /** Little endian, 1 to 4 bytes. */
  uintLE(bytes: number): number {
    return this.#buffer.readUIntLE(this.#take(bytes), bytes);
  }

  /** Everything up to the end, as a view. */
  rest(): Buffer {
    const start = this.#at;
    this.#at = this.#end;
    return this.#buffer.subarray(start, this.#end);
  }

  #take(bytes: number): number {
    const start = this.#at;
    if (start + bytes > this.#end) throw new MalformedRecord("the record ends too early");
    this.#at = start + bytes;
    return start;
  }
}
