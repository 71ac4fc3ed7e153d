import { readdir, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { readManifest } from "./manifest.ts";

/** Room for a new manifest and LevelDB's own notes. */
const OPENING_BYTES = 524_288;

/** What opening a folder again takes and gives, in bytes. */
export interface OpeningNeeds {
  /** LevelDB writes what is in its logs into tables before it removes anything. */
  readonly neededBytes: number;
  /** Tables of a compaction that failed, which nothing refers to. */
  readonly reclaimableBytes: number;
}

export async function openingNeeds(path: string): Promise<OpeningNeeds> {
  let neededBytes = OPENING_BYTES;
  let reclaimableBytes = 0;
  const unused = new Set(await unusedTables(path));
  for (const name of await readdir(path)) {
    const file = await stat(join(path, name)).catch(() => null);
    if (name.endsWith(".log")) neededBytes += file?.size ?? 0;
    if (unused.has(name)) reclaimableBytes += file?.size ?? 0;
  }
  return { neededBytes, reclaimableBytes };
}

/**
 * Removes the tables nothing refers to. LevelDB does that too, but only after it has found room for
 * new ones. The folder must not be open: a table that is being written is not referred to yet.
 */
export async function reclaim(path: string): Promise<void> {
  for (const name of await unusedTables(path)) await rm(join(path, name), { force: true });
}

async function unusedTables(path: string): Promise<string[]> {
  const current = await readFile(join(path, "CURRENT"), "latin1");
  const manifest = readManifest(await readFile(join(path, current.trimEnd())));
  if (manifest === null) return [];
  const names = await readdir(path);
  return names.filter(
    (name) => /\.(ldb|sst)$/.test(name) && !manifest.tables.has(Number.parseInt(name, 10)),
  );
}
