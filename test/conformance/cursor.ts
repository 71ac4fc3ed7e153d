/** The server sent what no server may send. */
export class WireFault extends Error {}

/** @throws WireFault */
export function must(isTrue: boolean, rule: string): asserts isTrue {
  if (!isTrue) throw new WireFault(`the server broke a rule: ${rule}`);
}

/** Splits whole packets off `buffer`; what is left is not complete. */
export function splitFrames(buffer: Buffer): { frames: Buffer[]; rest: Buffer } {
  const frames: Buffer[] = [];
  let rest = buffer;
  for (;;) {
    const size = sizeOf(rest);
    if (size === null || rest.length < size) return { frames, rest };
    frames.push(rest.subarray(0, size));
    rest = rest.subarray(size);
  }
}

function sizeOf(buffer: Buffer): number | null {
  let value = 0;
  for (let i = 1; i < buffer.length; i++) {
    must(i <= 4, "Remaining Length has at most four bytes");
    const byte = buffer[i] ?? 0;
    value += (byte & 0x7f) * 128 ** (i - 1);
    if (byte > 127) continue;
    must(byte > 0 || i === 1, "Remaining Length uses the fewest bytes [MQTT-1.5.5-1]");
    return 1 + i + value;
  }
  return null;
}

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Reads a packet's fields in order. */
export class Cursor {
  readonly #bytes: Buffer;
  #at: number;

  constructor(content: Buffer, at: number) {
    this.#bytes = content;
    this.#at = at;
  }

  get isDone(): boolean {
    return this.#at === this.#bytes.length;
  }

  take(length: number): Buffer {
    must(this.#at + length <= this.#bytes.length, "a field ends inside its packet");
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  rest(): Buffer {
    return this.take(this.#bytes.length - this.#at);
  }

  u8(): number {
    return this.take(1).readUInt8();
  }

  u16(): number {
    return this.take(2).readUInt16BE();
  }

  u32(): number {
    return this.take(4).readUInt32BE();
  }

  varint(): number {
    let value = 0;
    for (let i = 0; i < 4; i++) {
      const byte = this.u8();
      value += (byte & 0x7f) * 128 ** i;
      if (byte > 127) continue;
      must(byte > 0 || i === 0, "a Variable Byte Integer uses the fewest bytes [MQTT-1.5.5-1]");
      return value;
    }
    throw new WireFault("a Variable Byte Integer has at most four bytes");
  }

  binary(): Buffer {
    return this.take(this.u16());
  }

  text(): string {
    const content = this.binary();
    must(!content.includes(0), "text holds no U+0000 [MQTT-1.5.4-2]");
    try {
      return UTF8.decode(content);
    } catch {
      throw new WireFault("the server broke a rule: text is well-formed UTF-8 [MQTT-1.5.4-1]");
    }
  }
}
