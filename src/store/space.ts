import { readdir, stat, statfs } from "node:fs/promises";
import { join } from "node:path";

/** The reserve is never more than this share of the volume. */
const RESERVE_SHARE = 0.05;

/** Below this LevelDB is not opened again after the disk was full: it could not write its tables. */
const MIN_FREE_TO_OPEN_BYTES = 4_194_304;

/** What is known of the volume and of the store's files; all from the newest samples. */
export class Space {
  readonly #path: string;
  readonly #reserveBytes: number;
  freeBytes = Number.POSITIVE_INFINITY;
  volumeBytes = Number.POSITIVE_INFINITY;
  bytesOnDisk = 0;

  constructor(path: string, reserveBytes: number) {
    this.#path = path;
    this.#reserveBytes = reserveBytes;
  }

  /** What is kept free for removals, compaction and the rest of the device. */
  get reserveBytes(): number {
    return Math.min(this.#reserveBytes, Math.floor(this.volumeBytes * RESERVE_SHARE));
  }

  get isBelowReserve(): boolean {
    return this.freeBytes < this.reserveBytes;
  }

  get isTooFullToOpen(): boolean {
    return this.freeBytes < Math.min(MIN_FREE_TO_OPEN_BYTES, this.volumeBytes * RESERVE_SHARE);
  }

  /** Asks the volume. Without an answer the last one stays. */
  async sampleVolume(): Promise<void> {
    const volume = await statfs(this.#path).catch(() => null);
    if (volume === null) return;
    this.freeBytes = volume.bavail * volume.bsize;
    this.volumeBytes = volume.blocks * volume.bsize;
  }

  /** Adds up the store's files. */
  async sampleFiles(): Promise<void> {
    const names = await readdir(this.#path).catch(() => []);
    let bytes = 0;
    for (const name of names) {
      // LevelDB removes files at any time.
      const file = await stat(join(this.#path, name)).catch(() => null);
      bytes += file?.size ?? 0;
    }
    this.bytesOnDisk = bytes;
  }
}
