/** Moved together once so many places in front are empty. */
const COMPACT_AT = 64;

/** A queue with constant-time ends and no holes kept alive. It takes next to nothing until it is used. */
export class Deque<T> {
  #items: (T | undefined)[] | null = null;
  #head = 0;

  get length(): number {
    return this.#items === null ? 0 : this.#items.length - this.#head;
  }

  push(item: T): void {
    this.#items ??= [];
    this.#items.push(item);
  }

  peek(): T | undefined {
    return this.#items === null ? undefined : this.#items[this.#head];
  }

  shift(): T | undefined {
    const items = this.#items;
    if (items === null || this.#head === items.length) return undefined;
    const item = items[this.#head];
    items[this.#head++] = undefined;
    if (this.#head === items.length) {
      items.length = 0;
      this.#head = 0;
    } else if (this.#head >= COMPACT_AT && this.#head * 2 > items.length) {
      this.#items = items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }

  clear(): void {
    this.#items = null;
    this.#head = 0;
  }

  /** Keeps the members that pass. */
  filter(test: (item: T) => boolean): void {
    const kept: T[] = [];
    for (const item of this) if (test(item)) kept.push(item);
    this.#items = kept;
    this.#head = 0;
  }

  *[Symbol.iterator](): Iterator<T> {
    const items = this.#items ?? [];
    for (let i = this.#head; i < items.length; i++) {
      const item = items[i];
      if (item !== undefined) yield item;
    }
  }
}
