/** Small durable values, as the store keeps them for other parts. */
export interface RecordTable {
  /** All records, in byte order of their keys, in slices that give the event loop turns. */
  entries(): AsyncIterable<readonly (readonly [key: string, value: Buffer])[]>;
  /** Recorded in the open group; a later put or delete of the key replaces it. */
  put(key: string, value: Buffer): void;
  delete(key: string): void;
  /**
   * Resolves when everything recorded so far is durable.
   * @throws GatewayError STORE_FULL, STORE_WRITE_FAILED
   */
  committed(): Promise<void>;
}

/** Records changed in one turn of the loop. */
const SLICE = 500;

/** Does `work` for each item, giving the event loop a turn now and then. */
export async function gradually<T>(items: Iterable<T>, work: (item: T) => void): Promise<void> {
  let inSlice = 0;
  for (const item of items) {
    work(item);
    if (++inSlice < SLICE) continue;
    inSlice = 0;
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}
