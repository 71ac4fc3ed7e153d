import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { readLog } from "./log-file.ts";
import { readManifest } from "./manifest.ts";

/** What is wrong with a folder, before LevelDB has seen it. */
export interface Finding {
  readonly reason: string;
  /** LevelDB opens it as it is and leaves the bad part out; otherwise it has to be repaired. */
  readonly isReadable: boolean;
}

/**
 * Looks for damage that LevelDB would pass over in silence: without CURRENT it starts a new store
 * and removes the tables of the old one; of a log it skips what does not fit its checksum; a log
 * that is gone it does not miss. Null = nothing found, or no store there.
 */
export async function inspect(path: string): Promise<Finding | null> {
  const names = await namesIn(path);
  const logs = names.filter((name) => name.endsWith(".log"));
  const hasData = names.some((name) => /\.(ldb|sst|log)$|^MANIFEST-/.test(name));
  if (!hasData) return null;
  const current = await readFile(join(path, "CURRENT"), "latin1").catch(() => null);
  if (current === null) return { reason: "CURRENT is missing", isReadable: false };
  const manifest = await readFile(join(path, current.trimEnd())).catch(() => null);
  const state = manifest === null ? null : readManifest(manifest);
  if (state === null) return null;
  for (const [number, bytes] of state.tables) {
    const reason = await tableFault(path, names, number, bytes);
    if (reason !== null) return { reason, isReadable: false };
  }
  if (state.log > 0 && !logs.some((name) => Number.parseInt(name, 10) === state.log)) {
    return { reason: `${fileName(state.log, "log")} is missing`, isReadable: true };
  }
  for (const name of logs) {
    if (Number.parseInt(name, 10) < state.log) continue;
    const isDamaged = await readFile(join(path, name)).then(
      (file) => readLog(file).isDamaged,
      () => true,
    );
    if (isDamaged) return { reason: `${name} holds damaged records`, isReadable: true };
  }
  return null;
}

async function namesIn(path: string): Promise<string[]> {
  try {
    return await readdir(path);
  } catch {
    // Not there, or not a folder: opening says so.
    return [];
  }
}

async function tableFault(
  path: string,
  names: readonly string[],
  number: number,
  bytes: number,
): Promise<string | null> {
  const name = [fileName(number, "ldb"), fileName(number, "sst")].find((n) => names.includes(n));
  if (name === undefined) return `${fileName(number, "ldb")} is missing`;
  const size = (await stat(join(path, name))).size;
  return size === bytes ? null : `${name} has ${size} bytes instead of ${bytes}`;
}

function fileName(number: number, extension: string): string {
  return `${String(number).padStart(6, "0")}.${extension}`;
}
