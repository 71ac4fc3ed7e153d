import { randomBytes } from "node:crypto";
import { chmod, link, mkdir, open, readdir, rename, stat, unlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { GatewayError, reasonOf } from "../errors/index.ts";
import { isMissing } from "./config-files.ts";

/**
 * The file operations a configuration change consists of. Each one, when it resolves, has reached
 * the disk, and when the machine stops in its middle, has either happened or not.
 * All throw GatewayError CONFIG_WRITE_FAILED naming the path.
 */
export interface DurableFiles {
  /** Makes or replaces a file of mode 0600. */
  write(path: string, content: string | Buffer): Promise<void>;
  /** Gives the file a second name; on a file system without links, the second name only. */
  keep(path: string, as: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  /** Removes a file; harmless when there is none. */
  remove(path: string): Promise<void>;
  /** Makes a directory of mode 0700, and those above it. */
  makeDirectory(path: string): Promise<void>;
}

/** What unfinished files are called, until they get their name. */
const UNFINISHED = /\.[0-9a-f]{12}\.tmp$/;

/** The files of the machine. A file gets its content, reaches the disk, and only then its name. */
export const diskFiles: DurableFiles = {
  write: (path, content) =>
    translated(path, async () => {
      const unfinished = `${path}.${randomBytes(6).toString("hex")}.tmp`;
      try {
        const file = await open(unfinished, "wx", 0o600);
        try {
          await file.writeFile(content);
          await file.sync();
        } finally {
          await file.close();
        }
        await rename(unfinished, path);
      } catch (err) {
        await unlinkIfThere(unfinished);
        throw err;
      }
      await syncDirectory(dirname(path));
    }),
  keep: (path, as) =>
    translated(as, async () => {
      await unlinkIfThere(as);
      try {
        await link(path, as);
      } catch {
        await rename(path, as);
      }
      await syncDirectory(dirname(as));
    }),
  rename: (from, to) =>
    translated(to, async () => {
      await rename(from, to);
      await syncDirectory(dirname(to));
      if (dirname(from) !== dirname(to)) await syncDirectory(dirname(from));
    }),
  remove: (path) =>
    translated(path, async () => {
      if (await unlinkIfThere(path)) await syncDirectory(dirname(path));
    }),
  makeDirectory: (path) =>
    translated(path, async () => {
      const made = await mkdir(path, { recursive: true, mode: 0o700 });
      if (made !== undefined) await syncDirectory(dirname(made));
      if (((await stat(path)).mode & 0o777) !== 0o700) await chmod(path, 0o700);
    }),
};

/** Removes what writes that were cut short have left in a directory. */
export async function removeUnfinished(files: DurableFiles, directory: string): Promise<void> {
  for (const name of await namesIn(directory)) {
    if (UNFINISHED.test(name)) await files.remove(join(directory, name));
  }
}

/** The names in a directory, none where there is no such directory. */
export async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (err) {
    if (isMissing(err)) return [];
    throw err;
  }
}

async function translated(path: string, operation: () => Promise<void>): Promise<void> {
  try {
    await operation();
  } catch (err) {
    throw new GatewayError("CONFIG_WRITE_FAILED", { path, reason: reasonOf(err) }, { cause: err });
  }
}

async function unlinkIfThere(path: string): Promise<boolean> {
  try {
    await unlink(path);
    return true;
  } catch (err) {
    if (isMissing(err)) return false;
    throw err;
  }
}

/** A new name is on the disk only when its directory is (fsync(2)). */
async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
