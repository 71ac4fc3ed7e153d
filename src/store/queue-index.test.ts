import fc from "fast-check";
import { expect, test } from "vitest";
import { QueueIndex } from "./queue-index.ts";

type Step =
  | { readonly kind: "add"; readonly gap: number; readonly bytes: number }
  | { readonly kind: "remove" | "release"; readonly at: number }
  | { readonly kind: "insert"; readonly seq: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    kind: fc.constant("add" as const),
    gap: fc.integer({ min: 1, max: 9 }),
    bytes: fc.integer({ min: 1, max: 50 }),
  }),
  fc.record({ kind: fc.constantFrom("remove" as const, "release" as const), at: fc.nat(400) }),
  fc.record({ kind: fc.constant("insert" as const), seq: fc.nat(300) }),
);

test("an index answers as a sorted map does", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 400 }), fc.nat(300), (steps, from) => {
      const index = new QueueIndex();
      const model = new Map<number, { bytes: number; body: number }>();
      let next = 0;
      for (const action of steps) {
        const seqs = [...model.keys()];
        if (action.kind === "add") {
          next += action.gap;
          index.add(next, action.bytes, next % 3);
          model.set(next, { bytes: action.bytes, body: next % 3 });
        } else if (action.kind === "insert") {
          next = Math.max(next, action.seq);
          index.add(action.seq, 5, 1);
          model.set(action.seq, { bytes: 5, body: 1 });
        } else {
          const seq =
            seqs[action.at % 4 === 0 ? action.at % Math.max(1, seqs.length) : 0] ?? action.at;
          if (action.kind === "remove") {
            index.remove(seq);
            model.delete(seq);
          } else {
            index.release(seq);
            if (model.has(seq)) model.set(seq, { bytes: 0, body: 0 });
          }
        }
      }
      const sorted = [...model].sort(([a], [b]) => a - b);
      expect(index.count).toBe(model.size);
      expect(index.first).toBe(sorted[0]?.[0] ?? -1);
      expect(index.last).toBe(sorted.at(-1)?.[0] ?? -1);
      for (const [seq, { bytes, body }] of sorted) {
        expect([index.has(seq), index.bytesOf(seq), index.bodyOf(seq)]).toEqual([
          true,
          bytes,
          body,
        ]);
      }
      expect(index.has(1000)).toBe(false);
      const behind = sorted.filter(([seq]) => seq >= from).slice(0, 5);
      const span = index.span(from, 5, 1e9);
      expect(span?.count ?? 0).toBe(behind.length);
      expect(span?.first ?? -1).toBe(behind[0]?.[0] ?? -1);
      expect(index.sequences(from, behind.at(-1)?.[0] ?? from - 1)).toEqual(
        behind.map(([seq]) => seq),
      );
    }),
  );
});

test("a queue that is used for long stays small", () => {
  const index = new QueueIndex();
  for (let seq = 0; seq < 100_000; seq++) {
    index.add(seq, 1, 0);
    if (seq >= 10) index.remove(seq - 10);
  }
  expect(index.count).toBe(10);
  expect(index.first).toBe(99_990);
  // One entry that never goes, and everything behind it coming and going.
  for (let seq = 100_000; seq < 200_000; seq++) {
    index.add(seq, 1, 0);
    index.remove(seq);
  }
  expect(index.sequences(0, 200_000)).toHaveLength(10);
});
