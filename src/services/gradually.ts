import { setImmediate as nextTurn } from "node:timers/promises";

/** How many elements are handled before other work gets a turn: well under a millisecond. */
const BATCH = 500;

/**
 * What `pick` makes of each element, `undefined` results left out. Lists may have hundred thousands
 * of rows, so the event loop gets a turn after every batch.
 */
export async function gradually<T, R>(
  items: Iterable<T>,
  pick: (item: T) => R | undefined,
): Promise<R[]> {
  const picked: R[] = [];
  let left = BATCH;
  for (const item of items) {
    const result = pick(item);
    if (result !== undefined) picked.push(result);
    left -= 1;
    if (left === 0) {
      left = BATCH;
      await nextTurn();
    }
  }
  return picked;
}
