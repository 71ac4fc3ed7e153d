import { randomBytes } from "node:crypto";
import { open, readdir, rm, stat, statfs } from "node:fs/promises";
import { join } from "node:path";

/** The reserve is no more than this share of the volume, unless that is too little for LevelDB. */
const RESERVE_SHARE = 0.05;

/** A compaction writes its tables (five of 4 MB and what they overlap) before it removes the old ones. */
const COMPACTION_BYTES = 25_165_824;

/** The ballast: at most so much, and at most this share of the volume, unless that is too little. */
const BALLAST_BYTES = 10_485_760;
const BALLAST_SHARE = 0.03;
/** Opening writes what two logs hold, 4 MB each and the group that went over it, into tables. */
const OPENING_BYTES = 9_437_184;
export const BALLAST = "BALLAST";
const CHUNK_BYTES = 262_144;

/** A byte that is committed may be written a second time into a table before the next sample. */
const WRITE_FACTOR = 2;

/**
 * What is known of the volume and of the store's files, from the newest samples; and the ballast, a
 * file among them that is given up when the volume is full to the last byte: LevelDB needs
 * room to be opened again, and removals need room to be written.
 */
export class Space {
  readonly #path: string;
  readonly #reserveBytes: number;
  freeBytes = Number.POSITIVE_INFINITY;
  volumeBytes = Number.POSITIVE_INFINITY;
  #filesBytes = 0;
  #writtenSinceVolume = 0;
  #writtenSinceFiles = 0;
  #hasBallast = false;

  constructor(path: string, reserveBytes: number) {
    this.#path = path;
    this.#reserveBytes = reserveBytes;
  }

  /** What is kept free for removals, compaction and the rest of the device. */
  get reserveBytes(): number {
    const share = Math.floor(this.volumeBytes * RESERVE_SHARE);
    return Math.min(this.#reserveBytes, Math.max(share, COMPACTION_BYTES));
  }

  /** Free bytes that messages may use, with what was written since the newest sample. */
  get usableBytes(): number {
    const ballast = this.#hasBallast ? 0 : this.#ballastBytes;
    return this.freeBytes - WRITE_FACTOR * this.#writtenSinceVolume - ballast - this.reserveBytes;
  }

  /** Bytes of the store's files, with what was written since they were added up. */
  get bytesOnDisk(): number {
    return this.#filesBytes + this.#writtenSinceFiles;
  }

  /** A commit wrote so much. */
  written(bytes: number): void {
    this.#writtenSinceVolume += bytes;
    this.#writtenSinceFiles += bytes;
  }

  /** Asks the volume. Without an answer the last one stays. */
  async sampleVolume(): Promise<void> {
    const volume = await statfs(this.#path).catch(() => null);
    if (volume === null) return;
    this.#writtenSinceVolume = 0;
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
      if (name !== BALLAST) bytes += file?.size ?? 0;
    }
    this.#writtenSinceFiles = 0;
    this.#filesBytes = bytes;
  }

  /** Makes the ballast if there is room for it; the samples must be fresh. */
  async takeBallast(): Promise<void> {
    const bytes = this.#ballastBytes;
    if (this.#hasBallast || bytes === 0) return;
    const there = await stat(ballastOf(this.#path)).catch(() => null);
    if (there?.size !== bytes) {
      if (this.usableBytes < bytes) return;
      const isWritten = await writeBallast(ballastOf(this.#path), bytes);
      if (!isWritten) return;
      await this.sampleVolume();
    }
    this.#hasBallast = true;
  }

  /** Gives the ballast up. */
  async dropBallast(): Promise<void> {
    this.#hasBallast = false;
    await dropBallast(this.#path);
    await this.sampleVolume();
  }

  get #ballastBytes(): number {
    const share = Math.floor(this.volumeBytes * BALLAST_SHARE);
    return Math.min(BALLAST_BYTES, Math.max(share, OPENING_BYTES), this.#reserveBytes);
  }
}

/** Gives up the ballast of the store at `path`; false when there is none. */
export async function dropBallast(path: string): Promise<boolean> {
  try {
    await rm(ballastOf(path));
    return true;
  } catch {
    return false;
  }
}

/** LevelDB leaves files alone whose names it does not know. */
function ballastOf(path: string): string {
  return join(path, BALLAST);
}

/** Random bytes, because a file system that compresses would keep nothing for zeros. */
async function writeBallast(file: string, bytes: number): Promise<boolean> {
  try {
    const handle = await open(file, "w", 0o600);
    try {
      for (let left = bytes; left > 0; left -= CHUNK_BYTES) {
        await handle.write(randomBytes(Math.min(left, CHUNK_BYTES)));
      }
    } finally {
      await handle.close();
    }
    return true;
  } catch {
    await rm(file, { force: true }).catch(() => {});
    return false;
  }
}
