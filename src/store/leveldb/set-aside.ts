import { copyFile, link, mkdir, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { BALLAST, dropBallast } from "../space.ts";
import { syncFolder } from "./sync-folder.ts";

/** So many damaged stores are kept; the oldest go. */
const KEPT = 3;

/** Recoveries of one damaged store that may end the process before the store is given up. */
const MAX_ATTEMPTS = 2;

/** A recovery that an earlier run did not finish. */
interface Unfinished {
  /** How often it was begun. */
  readonly attempts: number;
  /** Name of the folder it had moved out of the way. */
  readonly aside: string;
}

/**
 * Moves a folder out of the way, to `<path>.damaged-<stamp>`, and returns where it is now. Until
 * `endRecovery` a note beside it says so, and the next start takes the whole recovery back.
 */
export async function beginRecovery(
  path: string,
  nowMs: number,
  attempts: number,
): Promise<string> {
  const aside = await freePath(path, nowMs);
  const unfinished: Unfinished = { attempts, aside: basename(aside) };
  await writeDurably(noteOf(path), JSON.stringify(unfinished));
  await dropBallast(path);
  await rename(path, aside);
  await syncFolder(dirname(path));
  return aside;
}

/** What replaces the damaged store has been opened: from now on it is the store. */
export async function endRecovery(path: string): Promise<void> {
  await rm(noteOf(path), { force: true });
  await syncFolder(dirname(path));
  await prune(path);
}

/**
 * Takes back a recovery that was cut off, so that it starts over with the damaged store. Returns how
 * often it was begun, and where the store is when that was too often to try it again.
 */
export async function takeBackRecovery(
  path: string,
): Promise<{ attempts: number; givenUp: string | null }> {
  const unfinished = await readNote(path);
  if (unfinished === null) return { attempts: 0, givenUp: null };
  const { attempts } = unfinished;
  const aside = join(dirname(path), unfinished.aside);
  if (!(await isThere(aside))) return { attempts, givenUp: null };
  await rm(path, { recursive: true, force: true });
  if (attempts >= MAX_ATTEMPTS) return { attempts, givenUp: aside };
  await rename(aside, path);
  await syncFolder(dirname(path));
  return { attempts, givenUp: null };
}

function noteOf(path: string): string {
  return `${path}.recovery`;
}

/** The note of a recovery; one that was cut off in writing was written before anything was moved. */
async function readNote(path: string): Promise<Unfinished | null> {
  try {
    const note: unknown = JSON.parse(await readFile(noteOf(path), "utf8"));
    if (typeof note !== "object" || note === null) return null;
    if (!("attempts" in note) || !("aside" in note)) return null;
    const { attempts, aside } = note;
    if (typeof attempts !== "number" || typeof aside !== "string") return null;
    // A name of ours, and nothing that leads elsewhere.
    const isOurs = basename(aside) === aside && aside.startsWith(`${basename(path)}.damaged-`);
    return isOurs ? { attempts, aside } : null;
  } catch {
    return null;
  }
}

async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

async function writeDurably(path: string, text: string): Promise<void> {
  const file = await open(path, "w", 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await syncFolder(dirname(path));
}

/** Keeps a copy of a folder as `<path>.damaged-<stamp>`. Returns where it is. */
export async function copyAside(path: string, nowMs: number): Promise<string> {
  const aside = await freePath(path, nowMs);
  await linkFolder(path, aside);
  await prune(path);
  return aside;
}

/** Complete once they have a name; everything else is written on by a store that is open. */
const TABLE_FILE = /\.(?:ldb|sst)$/;

/**
 * Makes a folder with the same files: hard links of tables where the file system has them, so that a
 * copy costs next to no space. The log and the manifest are copied: what an open store writes to them
 * later, the removal of damaged rows first, would be in both folders.
 */
export async function linkFolder(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true, mode: 0o700 });
  for (const name of await readdir(from)) {
    const source = join(from, name);
    const target = join(to, name);
    if (name === "LOCK" || name === BALLAST || !(await stat(source)).isFile()) continue;
    if (!TABLE_FILE.test(name)) await copyFile(source, target);
    else await link(source, target).catch(() => copyFile(source, target));
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
