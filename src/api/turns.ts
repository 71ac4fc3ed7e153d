import { setImmediate as nextTurn } from "node:timers/promises";

/** Rows between two looks at the clock. */
const ROWS_PER_LOOK = 64;
/** How long a list is worked on before the event loop gets a turn. */
const SLICE_MS = 4;

/** Gives the event loop turns during long work; one per list. */
interface Turns {
  /** To be awaited when true, after each row. */
  isDue(): boolean;
  take(): Promise<void>;
}

/**
 * By time rather than by count: rows differ, and so do boards.
 * @param rowsPerLook rows between two looks at the clock: fewer for dear ones
 */
export function createTurns(rowsPerLook = ROWS_PER_LOOK): Turns {
  let rows = 0;
  let sinceMs = performance.now();
  return {
    isDue() {
      rows += 1;
      return rows % rowsPerLook === 0 && performance.now() - sinceMs > SLICE_MS;
    },
    async take() {
      await nextTurn();
      sinceMs = performance.now();
    },
  };
}

/** What `pick` makes of each row, in turns. */
export async function inTurns<T, R>(
  rows: Iterable<T>,
  pick: (row: T) => R,
  rowsPerLook?: number,
): Promise<R[]> {
  const picked: R[] = [];
  const turns = createTurns(rowsPerLook);
  for (const row of rows) {
    picked.push(pick(row));
    if (turns.isDue()) await turns.take();
  }
  return picked;
}
