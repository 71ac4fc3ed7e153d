import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { tempDir } from "../helpers/temp-dir.ts";
import { DiskControl } from "./disk-control.ts";

const SOURCE = join(import.meta.dirname, "disk-shim.c");
const CACHE = join(import.meta.dirname, "../../node_modules/.cache/disk-shim");

/**
 * The disk below one folder, as programs see it that are started with `env`. What they do there is
 * counted, can be recorded, and can fail.
 */
export class DiskShim {
  /** What can be seen and set while they run. */
  readonly control: DiskControl;
  /** For the programs. */
  readonly env: Readonly<Record<string, string>>;
  readonly controlFile: string;

  /**
   * @param root the folder, absolute
   * @param recording the file, not below it, that gets the recording; null = none is made
   */
  constructor(root: string, recording: string | null = null) {
    this.controlFile = join(tempDir(), "control");
    this.control = DiskControl.create(this.controlFile);
    onTestFinished(() => this.control.close());
    this.env = {
      LD_PRELOAD: shimLibrary(),
      DISK_SHIM_ROOT: root,
      DISK_SHIM_CONTROL: this.controlFile,
      ...(recording === null ? {} : { DISK_SHIM_RECORDING: recording }),
      // io_uring would pass the shim by.
      UV_USE_IO_URING: "0",
    };
  }
}

/**
 * Disks below `root` on which fsync does nothing: for what is read back by living processes, where
 * waiting for the real disk would only cost time.
 */
export function fastDisks(root: string, count: number): DiskShim[] {
  return Array.from({ length: count }, () => {
    const disk = new DiskShim(root);
    disk.control.isSyncing = false;
    return disk;
  });
}

/** Builds the library unless it has been built before. */
function shimLibrary(): string {
  const name = createHash("sha256").update(readFileSync(SOURCE)).update(process.arch).digest("hex");
  const library = join(CACHE, `${name.slice(0, 16)}.so`);
  if (existsSync(library)) return library;
  mkdirSync(CACHE, { recursive: true });
  const unfinished = `${library}.${process.pid}`;
  const flags = ["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror"];
  execFileSync("cc", [...flags, "-o", unfinished, SOURCE, "-ldl", "-lpthread"], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  renameSync(unfinished, library);
  return library;
}
