import { copyFile, link, mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

/** So many damaged stores are kept; the oldest go. */
const KEPT = 3;

/** Moves a folder out of the way, to `<path>.damaged-<stamp>`. Returns where it is now. */
export async function moveAside(path: string, nowMs: number): Promise<string> {
  const aside = await freePath(path, nowMs);
  await rename(path, aside);
  await syncFolder(dirname(path));
  await prune(path);
  return aside;
}

/** Keeps a copy of a folder as `<path>.damaged-<stamp>`. Returns where it is. */
export async function copyAside(path: string, nowMs: number): Promise<string> {
  const aside = await freePath(path, nowMs);
  await linkFolder(path, aside);
  await prune(path);
  return aside;
}

/**
 * Makes a folder with the same files: hard links where the file system has them, because LevelDB
 * never changes a file once it is complete, so that a copy costs no space.
 */
export async function linkFolder(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true, mode: 0o700 });
  for (const name of await readdir(from)) {
    const source = join(from, name);
    const target = join(to, name);
    if (name === "LOCK" || !(await stat(source)).isFile()) continue;
    await link(source, target).catch(() => copyFile(source, target));
  }
}

/** What is left of a repair that was given up in an earlier run. */
export async function removeLeftRepairs(path: string): Promise<void> {
  for (const name of await siblings(path, ".repair-")) {
    await rm(join(dirname(path), name), { recursive: true, force: true });
  }
}

async function prune(path: string): Promise<void> {
  const names = await siblings(path, ".damaged-");
  for (const name of names.slice(0, Math.max(0, names.length - KEPT))) {
    await rm(join(dirname(path), name), { recursive: true, force: true });
  }
}

async function siblings(path: string, suffix: string): Promise<string[]> {
  const names = await readdir(dirname(path)).catch(() => []);
  return names.filter((name) => name.startsWith(basename(path) + suffix)).sort();
}

async function freePath(path: string, nowMs: number): Promise<string> {
  const stamp = new Date(nowMs).toISOString().replace(/[-:.]/g, "");
  const taken = new Set(await siblings(path, ".damaged-"));
  for (let i = 0; ; i++) {
    const aside = `${path}.damaged-${stamp}${i === 0 ? "" : `-${i}`}`;
    if (!taken.has(basename(aside))) return aside;
  }
}

/** Makes a rename in the folder survive a power cut. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
