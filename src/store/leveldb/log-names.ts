import { readdir, stat } from "node:fs/promises";
import { syncFolder } from "./sync-folder.ts";

/** A folder that was changed so lately may be changed again without its time showing it. */
const SETTLED_NS = 100_000_000n;

/**
 * Sees that the name of LevelDB's log is on the disk before a commit into it is acknowledged.
 * LevelDB begins a new log in the middle of a write and syncs its content alone: on a file system
 * that does not carry the name along, a power cut takes the whole log. The folder is asked for its
 * time after each commit, listed when that has changed, and synced when there is a new log.
 */
export class LogNames {
  readonly #path: string;
  readonly #sync: (path: string) => Promise<void>;
  /** The folder's time at the last look; null = it may have changed since without showing it. */
  #seenNs: bigint | null = null;
  #newest = 0;

  constructor(path: string, sync = syncFolder) {
    this.#path = path;
    this.#sync = sync;
  }

  /** Makes every name in the folder last. */
  async syncAll(): Promise<void> {
    this.#newest = await this.#newestLog();
    await this.#sync(this.#path);
  }

  /** Makes the name of a new log last, if there is one. */
  async syncNew(): Promise<void> {
    const { mtimeNs } = await stat(this.#path, { bigint: true });
    if (mtimeNs === this.#seenNs) return;
    const newest = await this.#newestLog();
    if (newest !== this.#newest) {
      await this.#sync(this.#path);
      this.#newest = newest;
    }
    const ageNs = BigInt(Date.now()) * 1_000_000n - mtimeNs;
    this.#seenNs = ageNs > SETTLED_NS ? mtimeNs : null;
  }

  async #newestLog(): Promise<number> {
    let newest = 0;
    for (const name of await readdir(this.#path)) {
      if (name.endsWith(".log")) newest = Math.max(newest, Number.parseInt(name, 10));
    }
    return newest;
  }
}
