import fc from "fast-check";
import { expect, it } from "vitest";
import { tagWidth } from "../config/index.ts";
import { tag } from "./modbus.testing.ts";
import { planReads } from "./plan.ts";

it("reads neighbours together, over small gaps, and starts anew behind large ones", () => {
  const tags = [
    tag({ name: "a", address: 10 }),
    tag({ name: "b", address: 11, type: "f32" }),
    tag({ name: "c", address: 16 }),
    tag({ name: "d", address: 40 }),
    tag({ name: "e", address: 11, area: "input_register" }),
    tag({ name: "f", address: 3, area: "coil", type: "bool" }),
  ];
  const batches = planReads(tags, { maxGap: 3, maxRegisters: 125 });
  expect(batches.map(({ area, address, count }) => [area, address, count])).toEqual([
    ["holding_register", 10, 7],
    ["holding_register", 40, 1],
    ["input_register", 11, 1],
    ["coil", 3, 1],
  ]);
});

it("covers every tag with requests of at most the allowed length, however they lie", () => {
  const some = fc.record({
    address: fc.nat({ max: 400 }),
    type: fc.constantFrom("u16", "f32", "f64"),
  });
  fc.assert(
    fc.property(
      fc.array(some, { maxLength: 60 }),
      fc.nat({ max: 20 }),
      fc.integer({ min: 4, max: 125 }),
      (made, maxGap, maxRegisters) => {
        const tags = made.map((more, index) => tag({ name: `t${index}`, ...more }));
        const batches = planReads(tags, { maxGap, maxRegisters });
        expect(batches.flatMap((batch) => batch.tags).length).toBe(tags.length);
        for (const { address, count, tags: within } of batches) {
          expect(count).toBeLessThanOrEqual(maxRegisters);
          for (const each of within) {
            expect(each.address).toBeGreaterThanOrEqual(address);
            expect(each.address + tagWidth(each)).toBeLessThanOrEqual(address + count);
          }
        }
      },
    ),
    { numRuns: 200 },
  );
});
