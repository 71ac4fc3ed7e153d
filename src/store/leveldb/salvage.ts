import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { readLog, writeLog } from "./log-file.ts";
import { intactPart, isTableIntact } from "./table-file.ts";

/**
 * Leaves only what fits its checksum in a folder that LevelDB is going to repair: LevelDB's repair
 * trusts what it reads, and ends the process over keys in the wrong order. Files are replaced, never
 * changed in place: the folder may share them with another.
 */
export async function salvage(path: string): Promise<void> {
  for (const name of await readdir(path)) {
    const file = join(path, name);
    if (/\.(ldb|sst)$/.test(name)) await salvageTable(file);
    else if (name.endsWith(".log")) await salvageLog(file);
  }
}

async function salvageTable(file: string): Promise<void> {
  const bytes = await readFile(file).catch(() => null);
  if (bytes !== null && isTableIntact(bytes)) return;
  await rm(file, { recursive: true, force: true });
  const part = bytes === null ? null : intactPart(bytes);
  if (part !== null) await writeFile(file, part);
}

async function salvageLog(file: string): Promise<void> {
  const bytes = await readFile(file).catch(() => null);
  await rm(file, { recursive: true, force: true });
  if (bytes !== null) await writeFile(file, writeLog(readLog(bytes).entries));
}
