import type { ModbusConfig } from "../config/index.ts";

export type Tag = ModbusConfig["slaves"][number]["groups"][number]["tags"][number];

/** What a tag can be; text also for 64-bit integers that no number holds exactly. */
export type TagValue = number | boolean | string;

/** A value that cannot be written to its tag, in words for the sender. */
export class UnwritableValue extends Error {
  constructor(reason: string) {
    super(reason);
    this.name = "UnwritableValue";
  }
}

const SIGNIFICANT_DIGITS = 12;

/** The value of a tag from its registers, two bytes each as they came. */
export function readValue(tag: Tag, registers: Buffer): TagValue {
  if (tag.type === "string") return textOf(tag, registers);
  const bytes = ordered(tag, registers);
  switch (tag.type) {
    case "bool":
      return (bytes[0] ?? 0) !== 0;
    case "bit":
      return ((bytes.readUInt16BE(0) >> tag.bit) & 1) === 1;
    case "u16":
      return scaled(tag, bytes.readUInt16BE(0));
    case "s16":
      return scaled(tag, bytes.readInt16BE(0));
    case "u32":
      return scaled(tag, bytes.readUInt32BE(0));
    case "s32":
      return scaled(tag, bytes.readInt32BE(0));
    case "f32":
      return scaled(tag, shortest(bytes.readFloatBE(0)));
    case "f64":
      return scaled(tag, bytes.readDoubleBE(0));
    case "u64":
      return wide(tag, bytes.readBigUInt64BE(0));
    case "s64":
      return wide(tag, bytes.readBigInt64BE(0));
  }
}

/**
 * The registers that stand for `value`.
 * @throws UnwritableValue when it is of another type or out of range
 */
export function registersOf(tag: Tag, value: unknown): Buffer {
  if (tag.type === "string") return textRegisters(tag, value);
  if (typeof value !== "number" || !Number.isFinite(value)) {
    throw new UnwritableValue("value is not a number");
  }
  const raw = (value - tag.offset) / tag.scale;
  const whole = Math.round(raw);
  const bytes = Buffer.alloc(8);
  try {
    switch (tag.type) {
      case "u16":
        return ordered(tag, bytes.subarray(0, bytes.writeUInt16BE(whole)));
      case "s16":
        return ordered(tag, bytes.subarray(0, bytes.writeInt16BE(whole)));
      case "u32":
        return ordered(tag, bytes.subarray(0, bytes.writeUInt32BE(whole)));
      case "s32":
        return ordered(tag, bytes.subarray(0, bytes.writeInt32BE(whole)));
      case "u64":
        return ordered(tag, bytes.subarray(0, bytes.writeBigUInt64BE(BigInt(whole))));
      case "s64":
        return ordered(tag, bytes.subarray(0, bytes.writeBigInt64BE(BigInt(whole))));
      case "f32":
        return ordered(tag, bytes.subarray(0, bytes.writeFloatBE(raw)));
      case "f64":
        return ordered(tag, bytes.subarray(0, bytes.writeDoubleBE(raw)));
      case "bool":
      case "bit":
        throw new UnwritableValue(`a ${tag.type} cannot be written to registers`);
    }
  } catch (err) {
    if (err instanceof RangeError) throw new UnwritableValue(`value is out of ${tag.type}'s range`);
    throw err;
  }
}

/** Registers in the order of the most significant first, and the other way round. */
function ordered(tag: Tag, registers: Buffer): Buffer {
  const bytes = Buffer.from(registers);
  if (tag.byte_swap && bytes.length % 2 === 0) bytes.swap16();
  if (tag.word_order === "big" || bytes.length <= 2) return bytes;
  const turned = Buffer.alloc(bytes.length);
  for (let at = 0; at < bytes.length; at += 2)
    bytes.copy(turned, bytes.length - at - 2, at, at + 2);
  return turned;
}

function scaled({ scale, offset }: Tag, raw: number): TagValue {
  if (!Number.isFinite(raw)) return String(raw);
  if (scale === 1 && offset === 0) return raw;
  return Number((raw * scale + offset).toPrecision(SIGNIFICANT_DIGITS));
}

/** The shortest number with the same 32 bits: 21.1, not 21.100000381469727. */
function shortest(single: number): number {
  for (let digits = 6; digits < 9; digits++) {
    const short = Number(single.toPrecision(digits));
    if (Math.fround(short) === single) return short;
  }
  return single;
}

function wide(tag: Tag, raw: bigint): TagValue {
  const number = Number(raw);
  if (tag.scale !== 1 || tag.offset !== 0) return scaled(tag, number);
  return Number.isSafeInteger(number) ? number : raw.toString();
}

/** Two characters a register; NUL and what follows it is filling. */
function textOf(tag: Tag, registers: Buffer): string {
  const bytes = tag.byte_swap ? Buffer.from(registers).swap16() : registers;
  const end = bytes.indexOf(0);
  return bytes.toString("latin1", 0, end < 0 ? bytes.length : end).trimEnd();
}

function textRegisters(tag: Tag, value: unknown): Buffer {
  const bytes = Buffer.alloc(2 * tag.registers);
  if (typeof value !== "string" || !/^[\x20-\xff]*$/.test(value)) {
    throw new UnwritableValue("value is not text of one byte characters");
  }
  if (value.length > bytes.length) {
    throw new UnwritableValue(`value has ${value.length} characters, at most ${bytes.length}`);
  }
  bytes.write(value, "latin1");
  return tag.byte_swap ? bytes.swap16() : bytes;
}
