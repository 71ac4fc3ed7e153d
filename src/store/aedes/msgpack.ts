import { MalformedRecord } from "../bytes.ts";

/** Deepest nesting that is read; what is stored has two levels. */
const MAX_DEPTH = 8;

/** A value as MessagePack has them; maps become Maps, so that no name can be a trap. */
export type MsgpackValue =
  | null
  | boolean
  | number
  | string
  | Buffer
  | readonly MsgpackValue[]
  | ReadonlyMap<string, MsgpackValue>;

/**
 * Reads one MessagePack value, the format of aedes-persistence-level's rows. Strings, binaries,
 * numbers, booleans, nil, arrays and maps with string keys.
 * @throws MalformedRecord for anything else.
 */
export function readMsgpack(bytes: Buffer): MsgpackValue {
  const reader = new MsgpackReader(bytes);
  const value = reader.value(0);
  if (!reader.isAtEnd) throw new MalformedRecord("there is more behind the value");
  return value;
}

class MsgpackReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  value(depth: number): MsgpackValue {
    if (depth > MAX_DEPTH) throw new MalformedRecord("nested too deep");
    const type = this.#uint(1);
    if (type <= 0x7f) return type;
    if (type <= 0x8f) return this.#map(type & 0x0f, depth);
    if (type <= 0x9f) return this.#array(type & 0x0f, depth);
    if (type <= 0xbf) return this.#text(type & 0x1f);
    if (type >= 0xe0) return type - 0x100;
    switch (type) {
      case 0xc0:
        return null;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xc4:
      case 0xc5:
      case 0xc6:
        return this.#binary(this.#uint(1 << (type - 0xc4)));
      case 0xca:
        return this.#bytes.readFloatBE(this.#take(4));
      case 0xcb:
        return this.#bytes.readDoubleBE(this.#take(8));
      case 0xcc:
      case 0xcd:
      case 0xce:
        return this.#uint(1 << (type - 0xcc));
      case 0xcf:
        return Number(this.#bytes.readBigUInt64BE(this.#take(8)));
      case 0xd0:
        return this.#bytes.readInt8(this.#take(1));
      case 0xd1:
        return this.#bytes.readInt16BE(this.#take(2));
      case 0xd2:
        return this.#bytes.readInt32BE(this.#take(4));
      case 0xd3:
        return Number(this.#bytes.readBigInt64BE(this.#take(8)));
      case 0xd9:
      case 0xda:
      case 0xdb:
        return this.#text(this.#uint(1 << (type - 0xd9)));
      case 0xdc:
      case 0xdd:
        return this.#array(this.#uint(2 << (type - 0xdc)), depth);
      case 0xde:
      case 0xdf:
        return this.#map(this.#uint(2 << (type - 0xde)), depth);
      default:
        throw new MalformedRecord(`MessagePack type ${type}`);
    }
  }

  #map(size: number, depth: number): ReadonlyMap<string, MsgpackValue> {
    const map = new Map<string, MsgpackValue>();
    for (let i = 0; i < size; i++) {
      const name = this.value(depth + 1);
      if (typeof name !== "string") throw new MalformedRecord("a map's key is no text");
      map.set(name, this.value(depth + 1));
    }
    return map;
  }

  #array(size: number, depth: number): MsgpackValue[] {
    const list: MsgpackValue[] = [];
    for (let i = 0; i < size; i++) list.push(this.value(depth + 1));
    return list;
  }

  #text(bytes: number): string {
    const start = this.#take(bytes);
    return this.#bytes.toString("utf8", start, start + bytes);
  }

  #binary(bytes: number): Buffer {
    const start = this.#take(bytes);
    return this.#bytes.subarray(start, start + bytes);
  }

  #uint(bytes: number): number {
    return this.#bytes.readUIntBE(this.#take(bytes), bytes);
  }

  #take(bytes: number): number {
    const start = this.#at;
    if (start + bytes > this.#bytes.length) throw new MalformedRecord("the value ends too early");
    this.#at = start + bytes;
    return start;
  }
}
