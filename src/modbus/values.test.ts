import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { tag } from "./modbus.testing.ts";
import { readValue, registersOf, UnwritableValue } from "./values.ts";

const hex = (text: string) => Buffer.from(text, "hex");

describe("a tag's value", () => {
  it.each([
    [{ type: "u16" }, "ffff", 65_535],
    [{ type: "s16" }, "ffff", -1],
    [{ type: "s16", scale: 0.1 }, "00d7", 21.5],
    [{ type: "u16", scale: 2, offset: -40 }, "0064", 160],
    [{ type: "u32" }, "00010000", 65_536],
    [{ type: "u32", word_order: "little" }, "00000001", 65_536],
    [{ type: "u32", byte_swap: true }, "01000000", 65_536],
    [{ type: "u32", byte_swap: true, word_order: "little" }, "00000100", 65_536],
    [{ type: "s32" }, "fffffffe", -2],
    [{ type: "f32" }, "41a8cccd", 21.1],
    [{ type: "f32", word_order: "little" }, "cccd41a8", 21.1],
    [{ type: "f64" }, "40351999 9999999a".replace(" ", ""), 21.1],
    [{ type: "u64" }, "0000000000000005", 5],
    [{ type: "u64" }, "ffffffffffffffff", "18446744073709551615"],
    [{ type: "s64" }, "fffffffffffffffb", -5],
    [{ type: "bit", bit: 3 }, "0008", true],
    [{ type: "bit", bit: 3 }, "fff7", false],
    [{ type: "string", registers: 3 }, "414243440000", "ABCD"],
    [{ type: "string", registers: 2, byte_swap: true }, "42414443", "ABCD"],
    [{ type: "f32" }, "7fc00000", "NaN"],
  ] as const)("%o of %s is %s", (more, registers, value) => {
    expect(readValue(tag(more), hex(registers))).toBe(value);
  });

  it("is written so that it reads back the same", () => {
    const integer = fc.record({
      type: fc.constantFrom("u16", "s16", "u32", "s32", "u64", "s64", "f32", "f64"),
      word_order: fc.constantFrom("big", "little"),
      byte_swap: fc.boolean(),
    });
    fc.assert(
      fc.property(integer, fc.nat({ max: 32_767 }), (more, value) => {
        expect(readValue(tag(more), registersOf(tag(more), value))).toBe(value);
      }),
    );
    const scaled = tag({ type: "s16", scale: 0.1, offset: 5 });
    expect(readValue(scaled, registersOf(scaled, 21.5))).toBe(21.5);
    const text = tag({ type: "string", registers: 4 });
    expect(readValue(text, registersOf(text, "hello"))).toBe("hello");
  });

  it.each([
    [{ type: "u16" }, -1, "value is out of u16's range"],
    [{ type: "u16" }, 65_536, "value is out of u16's range"],
    [{ type: "s32" }, 2 ** 31, "value is out of s32's range"],
    [{ type: "u16" }, "1", "value is not a number"],
    [{ type: "u16" }, Number.NaN, "value is not a number"],
    [{ type: "string", registers: 1 }, "abc", "value has 3 characters, at most 2"],
    [{ type: "string", registers: 1 }, 5, "value is not text of one byte characters"],
  ] as const)("of %o cannot be %s", (more, value, reason) => {
    expect(() => registersOf(tag(more), value)).toThrow(new UnwritableValue(reason));
  });
});
