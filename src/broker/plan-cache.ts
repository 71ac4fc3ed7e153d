/** Topics in each half of the cache, and bytes of their names. */
const HALF_ENTRIES = 8192;
const HALF_KEY_BYTES = 4_194_304;

/**
 * A bounded cache in two halves: the older half is dropped whole when the younger is full, and
 * what is used in the meantime moves over. Every step is constant time.
 */
export class PlanCache<V> {
  #young = new Map<string, V>();
  #old = new Map<string, V>();
  #keyBytes = 0;

  get(key: string): V | undefined {
    const value = this.#young.get(key);
    if (value !== undefined) return value;
    const older = this.#old.get(key);
    if (older !== undefined) this.set(key, older);
    return older;
  }

  set(key: string, value: V): void {
    if (this.#young.size >= HALF_ENTRIES || this.#keyBytes >= HALF_KEY_BYTES) {
      this.#old = this.#young;
      this.#young = new Map();
      this.#keyBytes = 0;
    }
    if (!this.#young.has(key)) this.#keyBytes += key.length;
    this.#young.set(key, value);
  }
}
