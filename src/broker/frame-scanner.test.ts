import fc from "fast-check";
import { expect, test } from "vitest";
import { FrameScanner } from "./frame-scanner.ts";
import { frame } from "./rig.testing.ts";

const MAX = 500;

function verdictOf(chunks: readonly Buffer[]): string | null {
  const scanner = new FrameScanner();
  for (const chunk of chunks) {
    const fault = scanner.scan(chunk, MAX);
    if (fault !== null) return fault;
  }
  return null;
}

function split(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const at = [...cuts.map((cut) => cut % (bytes.length + 1)), 0, bytes.length].toSorted(
    (left, right) => left - right,
  );
  return at.slice(1).map((end, n) => bytes.subarray(at[n], end));
}

test("any split of the bytes gives the same verdict", () => {
  const anyBytes = fc.uint8Array({ maxLength: 400 }).map((bytes) => Buffer.from(bytes));
  const frames = fc
    .array(fc.tuple(fc.nat(255), fc.nat(600)), { maxLength: 8 })
    .map((list) => Buffer.concat(list.map(([first, size]) => frame(first, Buffer.alloc(size)))));
  fc.assert(
    fc.property(fc.oneof(anyBytes, frames), fc.array(fc.nat(5000)), (bytes, cuts) => {
      expect(verdictOf(split(bytes, cuts))).toBe(verdictOf([bytes]));
    }),
  );
});

test("a packet of exactly the limit passes, one byte more does not", () => {
  const fits = frame(0x30, Buffer.alloc(MAX - 3));
  expect(fits).toHaveLength(MAX);
  expect(verdictOf([fits, fits])).toBeNull();
  expect(verdictOf([fits, frame(0x30, Buffer.alloc(MAX - 2)).subarray(0, 3)])).toContain("limit");
});
