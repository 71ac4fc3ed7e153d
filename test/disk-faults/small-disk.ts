import { execFileSync } from "node:child_process";
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  rmSync,
  statfsSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { tempDir } from "../helpers/temp-dir.ts";
import { DiskShim } from "./disk-shim.ts";

/** A disk that a test can fill and free. */
export interface SmallDisk {
  /** A tmpfs of its own, or where it may not be mounted, the shim that says ENOSPC. */
  readonly kind: "tmpfs" | "shim";
  readonly path: string;
  /** For programs that use it. */
  readonly env: NodeJS.ProcessEnv;
  /**
   * Takes what is left of the bytes but `leftBytes`, or all files that can be made.
   */
  fill(resource: "bytes" | "inodes", leftBytes: number): void;
  /** Gives it back. */
  free(): void;
}

/** Files the disk can have; the gateway needs some twenty. */
const INODES = 300;

/** Makes a disk of some size; it is gone when the test ends. */
export function smallDisk(sizeBytes: number): SmallDisk {
  const path = join(tempDir(), "disk");
  mkdirSync(path);
  const options = `size=${sizeBytes},nr_inodes=${INODES},mode=0700`;
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", options, "tmpfs", path], { stdio: "ignore" });
  } catch {
    return shimDisk(path);
  }
  // The programs of the test are ended by then: what is registered last runs first.
  onTestFinished(() => void execFileSync("umount", ["--lazy", path]));
  return tmpfsDisk(path);
}

function tmpfsDisk(path: string): SmallDisk {
  const ballast = join(path, "ballast");
  return {
    kind: "tmpfs",
    path,
    env: {},
    fill(resource, leftBytes) {
      mkdirSync(ballast);
      if (resource === "bytes") fillBytes(join(ballast, "bytes"), leftBytes);
      else fillInodes(ballast);
    },
    free: () => rmSync(ballast, { recursive: true }),
  };
}

function fillBytes(file: string, leftBytes: number): void {
  const descriptor = openSync(file, "w");
  let size = 0;
  for (const sizeBytes of [1_048_576, 4096]) {
    const chunk = Buffer.alloc(sizeBytes);
    while (hasRoom(() => (size += writeSync(descriptor, chunk)))) {}
  }
  ftruncateSync(descriptor, Math.max(0, size - leftBytes));
  closeSync(descriptor);
}

function fillInodes(folder: string): void {
  for (let n = 0; hasRoom(() => writeFileSync(join(folder, String(n)), "")); n++) {}
  const { ffree } = statfsSync(folder);
  if (ffree > 0) throw new Error(`${ffree} inodes are left`);
}

function hasRoom(write: () => void): boolean {
  try {
    write();
    return true;
  } catch (err) {
    if (err instanceof Error && "code" in err && err.code === "ENOSPC") return false;
    throw err;
  }
}

function shimDisk(path: string): SmallDisk {
  const disk = new DiskShim(path);
  return {
    kind: "shim",
    path,
    env: disk.env,
    fill(resource, leftBytes) {
      if (resource === "bytes") disk.control.freeBytes = leftBytes;
      else disk.control.isOutOfInodes = true;
    },
    free() {
      disk.control.freeBytes = Number.POSITIVE_INFINITY;
      disk.control.isOutOfInodes = false;
    },
  };
}
