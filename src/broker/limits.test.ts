import { expect, it } from "vitest";
import { boundsWithin } from "./limits.ts";

const MB = 2 ** 20;

it.each([
  [4096 * MB, { maxWriterBytes: MB, maxUnacknowledgedBytes: 16 * MB }],
  [512 * MB, { maxWriterBytes: MB, maxUnacknowledgedBytes: 16 * MB }],
  [128 * MB, { maxWriterBytes: MB / 4, maxUnacknowledgedBytes: 4 * MB }],
  [16 * MB, { maxWriterBytes: MB / 8, maxUnacknowledgedBytes: MB }],
])("with %d bytes of memory the bounds of one client are %o", (memoryBytes, bounds) => {
  expect(boundsWithin(memoryBytes)).toEqual(bounds);
});
