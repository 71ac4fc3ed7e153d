import { expect, test } from "vitest";
import { paginate } from "./paging.ts";

const rows = Array.from({ length: 10 }, (_, i) => i);
const even = (row: number) => row % 2 === 0;

test("count is absent where it is unknown, and the walk ends one row after the page", async () => {
  let walked = 0;
  function* source() {
    for (const row of rows) {
      walked += 1;
      yield row;
    }
  }
  const page = await paginate(source(), { page: 2, limit: 2 }, { isCountKnown: false });
  expect(page).toEqual({ data: [2, 3], meta: { page: 2, limit: 2, hasnext: true } });
  expect(walked).toBe(5);
});

test("pick leaves rows out, and shows only those of the page when where decides", async () => {
  const picked = await paginate(
    rows,
    { limit: 2 },
    {
      isCountKnown: true,
      pick: (row) => (even(row) ? `n${row}` : undefined),
    },
  );
  expect(picked.data).toEqual(["n0", "n2"]);
  expect(picked.meta).toEqual({ page: 1, limit: 2, count: 5, hasnext: true });

  const shown: number[] = [];
  const where = await paginate(
    rows,
    { page: 2, limit: 2 },
    {
      isCountKnown: true,
      where: even,
      pick: (row) => shown.push(row) && `n${row}`,
    },
  );
  expect(where.data).toEqual(["n4", "n6"]);
  expect(where.meta.count).toBe(5);
  expect(shown).toEqual([4, 6]);
});

test("a known count needs no walk to the end", async () => {
  let walked = 0;
  async function* source() {
    for (const row of rows) {
      walked += 1;
      yield row;
    }
  }
  const page = await paginate(source(), { limit: 3 }, { isCountKnown: true, count: 10 });
  expect(page.meta).toEqual({ page: 1, limit: 3, count: 10, hasnext: true });
  expect(walked).toBe(4);
});

test.each([
  [1, 10, 10, false],
  [1, 9, 9, true],
  [2, 9, 1, false],
  [3, 9, 0, false],
])("page %i of %i rows has %i, and a next one: %s", async (page, limit, length, hasnext) => {
  const result = await paginate(rows, { page, limit }, { isCountKnown: false });
  expect(result.data).toHaveLength(length);
  expect(result.meta.hasnext).toBe(hasnext);
});

test("a walk over a million rows gives the event loop turns", async () => {
  let turns = 0;
  let isWalking = true;
  const count = () => {
    turns += 1;
    if (isWalking) setImmediate(count);
  };
  setImmediate(count);
  function* source() {
    for (let i = 0; i < 1_000_000; i++) yield i;
  }
  const startMs = performance.now();
  await paginate(source(), { page: 100, limit: 10_000 }, { isCountKnown: true, where: even });
  const tookMs = performance.now() - startMs;
  isWalking = false;
  // Every 4 ms and a batch; a machine that is busy otherwise makes the batches longer.
  expect(turns).toBeGreaterThan(tookMs / 20);
});
