/** One change of a group: a value to put, or null to delete the key. */
export type Change = readonly [key: string, value: Buffer | null];

/** Writes one group atomically; with `isDurable` it returns only once the group is on the medium. */
export type WriteGroup = (changes: readonly Change[], isDurable: boolean) => Promise<void>;

interface Group {
  readonly changes: Map<string, Buffer | null>;
  readonly done: PromiseWithResolvers<void>;
  isDurable: boolean;
}

/**
 * Group commit: one write at a time, and what arrives meanwhile forms the next group. Changes keep
 * the order they were given in, which single writes do not (LevelDB's run in a thread pool), and a
 * value replaced or deleted before its group was written is never written at all.
 */
export class GroupWriter {
  readonly #write: WriteGroup;
  #next: Group | null = null;
  #running: Group | null = null;
  #isScheduled = false;

  constructor(write: WriteGroup) {
    this.#write = write;
  }

  /** Adds `changes` to the next group; resolves once it is written. */
  commit(changes: readonly Change[], { isDurable }: { isDurable: boolean }): Promise<void> {
    this.#next ??= { changes: new Map(), done: Promise.withResolvers(), isDurable: false };
    for (const [key, value] of changes) this.#next.changes.set(key, value);
    this.#next.isDurable ||= isDurable;
    const { promise } = this.#next.done;
    this.#schedule();
    return promise;
  }

  /** The value `key` will have once everything accepted is written; undefined when untouched. */
  pending(key: string): Buffer | null | undefined {
    const next = this.#next?.changes.get(key);
    return next === undefined ? this.#running?.changes.get(key) : next;
  }

  /** Keys with a pending value from `gte` up to but without `lt`. */
  pendingKeys(gte: string, lt: string): string[] {
    const keys = [...(this.#running?.changes.keys() ?? []), ...(this.#next?.changes.keys() ?? [])];
    return keys.filter((key) => key >= gte && key < lt && this.pending(key) !== null);
  }

  /** Resolves once nothing is waiting; a failed write has been reported to its callers. */
  async flush(): Promise<void> {
    for (let group = this.#next ?? this.#running; group; group = this.#next ?? this.#running) {
      await group.done.promise.catch(() => undefined);
    }
  }

  #schedule(): void {
    if (this.#isScheduled || this.#running !== null) return;
    this.#isScheduled = true;
    // The rest of this turn of the loop still joins the group.
    setImmediate(() => {
      this.#isScheduled = false;
      this.#start();
    });
  }

  #start(): void {
    const group = this.#next;
    if (group === null) return;
    this.#next = null;
    this.#running = group;
    this.#write([...group.changes], group.isDurable)
      .then(group.done.resolve, group.done.reject)
      .finally(() => {
        this.#running = null;
        if (this.#next !== null) this.#start();
      })
      .catch(() => undefined);
  }
}
