import { readFileSync } from "node:fs";
import { readdir, readFile, stat, statfs } from "node:fs/promises";
import path from "node:path";
import { numberOf } from "./metric.ts";

/**
 * The kernel's files under one root: `/` on a device, a recorded copy in a test. A file that does
 * not exist reads as null, because most boards lack most sensors; other trouble is thrown.
 */
export interface Tree {
  /**
   * Reads a file of /proc at once. The kernel makes these from memory, without a disk or a bus: 13
   * to 25 µs here against 170 µs through the thread pool, and a stalled disk cannot delay it.
   */
  proc(file: string): string | null;
  /** Reads a file that may ask hardware (an I²C sensor, the firmware's mailbox) in the thread pool. */
  read(file: string): Promise<string | null>;
  /**
   * The number in a sensor's file; null also where the driver refuses to give one, as a sensor that
   * is asleep, not wired or busy does (EIO, ENODATA, EAGAIN, EINVAL, ETIMEDOUT).
   */
  reading(file: string): Promise<number | null>;
  /** Names in a directory, sorted; empty when it does not exist. */
  list(directory: string): Promise<readonly string[]>;
  /** Size in bytes of what stands at `file`. */
  size(file: string): Promise<number | null>;
  /** Blocks of the file system that `directory` is on, in bytes: all, free, free for everybody. */
  space(directory: string): Promise<Space | null>;
}

/** See statfs(2). */
export interface Space {
  readonly totalBytes: number;
  readonly freeBytes: number;
  /** Without what is reserved for root. */
  readonly availableBytes: number;
}

/** @param root an absolute directory that holds `proc`, `sys` and `run` */
export function createTree(root: string): Tree {
  const at = (file: string) => path.join(root, file);
  const read = (file: string) =>
    readFile(at(file), "utf8").catch((err: unknown) => absent(err, null));
  return {
    proc(file) {
      try {
        return readFileSync(at(file), "utf8");
      } catch (err) {
        return absent(err, null);
      }
    },
    read,
    reading: (file) =>
      read(file).then(
        (text) => numberOf(text ?? undefined),
        () => null,
      ),
    list: (directory) =>
      readdir(at(directory)).then(
        (names) => names.sort(),
        (err: unknown) => absent(err, []),
      ),
    size: (file) =>
      stat(at(file)).then(
        ({ size }) => size,
        (err: unknown) => absent(err, null),
      ),
    space: (directory) =>
      statfs(at(directory)).then(
        ({ bsize, blocks, bfree, bavail }) => ({
          totalBytes: blocks * bsize,
          freeBytes: bfree * bsize,
          availableBytes: bavail * bsize,
        }),
        (err: unknown) => absent(err, null),
      ),
  };
}

const ABSENT: readonly unknown[] = ["ENOENT", "ENOTDIR", "ENODEV", "ENXIO"];

function absent<T>(err: unknown, value: T): T {
  if (err instanceof Error && "code" in err && ABSENT.includes(err.code)) return value;
  throw err;
}
