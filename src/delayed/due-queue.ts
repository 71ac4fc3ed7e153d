/** Something that is due at a moment; `id` decides between those due at the same one. */
export interface Due {
  readonly id: string;
  readonly dueMs: number;
}

/** A binary heap: what is due first comes first, and of the same moment the smallest id. */
export class DueQueue<T extends Due> {
  readonly #heap: T[] = [];

  get size(): number {
    return this.#heap.length;
  }

  peek(): T | undefined {
    return this.#heap[0];
  }

  push(item: T): void {
    const heap = this.#heap;
    let at = heap.push(item) - 1;
    while (at > 0) {
      const up = (at - 1) >> 1;
      const parent = heap[up];
      if (parent === undefined || !isBefore(item, parent)) break;
      heap[at] = parent;
      at = up;
    }
    heap[at] = item;
  }

  pop(): T | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let down = at * 2 + 1;
      const left = heap[down];
      if (left === undefined) break;
      const right = heap[down + 1];
      const child = right !== undefined && isBefore(right, left) ? right : left;
      if (child === right) down++;
      if (!isBefore(child, last)) break;
      heap[at] = child;
      at = down;
    }
    heap[at] = last;
    return first;
  }

  /** Keeps only what `isWanted`; n log n. */
  retain(isWanted: (item: T) => boolean): void {
    const kept = this.#heap.filter(isWanted);
    kept.sort((left, right) => (isBefore(left, right) ? -1 : 1));
    this.#heap.length = 0;
    for (const item of kept) this.#heap.push(item);
  }
}

function isBefore(left: Due, right: Due): boolean {
  return left.dueMs < right.dueMs || (left.dueMs === right.dueMs && left.id < right.id);
}
