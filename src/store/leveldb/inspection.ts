import { readdir, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { readLog } from "./log-file.ts";
import { readManifest } from "./manifest.ts";
import { isTableIntact } from "./table-file.ts";

/** The checksums of a very large store's tables take too long to check them all at every start. */
const CHECK_BUDGET_MS = 8000;

/** What is wrong with a folder, before LevelDB has seen it. */
export interface Finding {
  readonly reason: string;
  /** LevelDB opens it as it is and leaves the bad part out; otherwise it has to be repaired. */
  readonly isReadable: boolean;
}

/**
 * Looks for damage that LevelDB would pass over in silence: without CURRENT it starts a new store
 * and removes the tables of the old one; of a log it skips what does not fit its checksum; a log
 * that is gone it does not miss; blocks of tables it reads without a look at their checksums (those
 * are checked for at most `budgetMs`). Null = nothing found, or no store there.
 */
export async function inspect(path: string, budgetMs = CHECK_BUDGET_MS): Promise<Finding | null> {
  const names = await namesIn(path);
  const logs = names.filter((name) => name.endsWith(".log"));
  const hasData = names.some((name) => /\.(ldb|sst|log)$|^MANIFEST-/.test(name));
  if (!hasData) return null;
  const current = names.includes("CURRENT")
    ? await readFile(join(path, "CURRENT"), "latin1")
    : null;
  if (current === null) return { reason: "CURRENT is missing", isReadable: false };
  const manifest = await readFile(join(path, current.trimEnd())).catch(() => null);
  const state = manifest === null ? null : readManifest(manifest);
  if (state === null) return null;
  for (const [number, bytes] of state.tables) {
    const reason = await tableFault(path, names, number, bytes);
    if (reason !== null) return { reason, isReadable: false };
  }
  const damaged = await damagedTable(path, names, state.tables.keys(), budgetMs);
  if (damaged !== null) return { reason: `${damaged} holds damaged blocks`, isReadable: false };
  if (state.log > 0 && !logs.some((name) => Number.parseInt(name, 10) === state.log)) {
    // LevelDB removes a log when its content is in a table and CURRENT tells so. After a power cut
    // the removal may have lasted and the new CURRENT not: the table is there, and unknown.
    const isInTable = names.some(
      (name) => isTable(name) && !state.tables.has(Number.parseInt(name, 10)),
    );
    return { reason: `${fileName(state.log, "log")} is missing`, isReadable: !isInTable };
  }
  for (const name of logs) {
    if (Number.parseInt(name, 10) < state.log) continue;
    // One that cannot be read is asked for once more, and patiently, before LevelDB gets it.
    const isDamaged = await readFile(join(path, name)).then(
      (file) => readLog(file).isDamaged,
      () => false,
    );
    if (isDamaged) return { reason: `${name} holds damaged records`, isReadable: true };
  }
  return null;
}

/**
 * Removes what a cut in the very first opening leaves, when nothing can have been in the store: no
 * table, nothing in a log, and no manifest that knows of more. LevelDB does not start on that again.
 * What is whole stays: it may be the young store of another process.
 */
export async function clearUnfinished(path: string): Promise<void> {
  const names = await namesIn(path);
  if (names.some(isTable) || (await isWhole(path, names))) return;
  for (const name of names) {
    if (name.endsWith(".log") && (await stat(join(path, name))).size > 0) return;
    if (!name.startsWith("MANIFEST-")) continue;
    const state = readManifest(await readFile(join(path, name)));
    const log = state?.log ?? 0;
    if (log > 0 && !names.includes(fileName(log, "log"))) return;
    if ((state?.tables.size ?? 0) > 0) return;
  }
  for (const name of names) {
    if (/^(CURRENT|MANIFEST-.*|.*\.(dbtmp|log))$/.test(name))
      await rm(join(path, name), { force: true });
  }
}

/** Whether CURRENT names a manifest whose log is there. */
async function isWhole(path: string, names: readonly string[]): Promise<boolean> {
  if (!names.includes("CURRENT")) return false;
  const current = (await readFile(join(path, "CURRENT"), "latin1")).trimEnd();
  const manifest = await readFile(join(path, current)).catch(() => null);
  const log = (manifest === null ? null : readManifest(manifest))?.log ?? 0;
  return log > 0 && names.includes(fileName(log, "log"));
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
  const name = tableName(names, number);
  if (name === undefined) return `${fileName(number, "ldb")} is missing`;
  const size = (await stat(join(path, name))).size;
  return size === bytes ? null : `${name} has ${size} bytes instead of ${bytes}`;
}

/** The first table whose blocks do not fit their checksums; the newest are looked at first. */
async function damagedTable(
  path: string,
  names: readonly string[],
  numbers: Iterable<number>,
  budgetMs: number,
): Promise<string | null> {
  const endMs = performance.now() + budgetMs;
  for (const number of [...numbers].sort((a, b) => b - a)) {
    const name = tableName(names, number);
    if (name === undefined || performance.now() > endMs) return null;
    if (!isTableIntact(await readFile(join(path, name)))) return name;
  }
  return null;
}

function tableName(names: readonly string[], number: number): string | undefined {
  return [fileName(number, "ldb"), fileName(number, "sst")].find((name) => names.includes(name));
}

function isTable(name: string): boolean {
  return /^\d+\.(ldb|sst)$/.test(name);
}

function fileName(number: number, extension: string): string {
  return `${String(number).padStart(6, "0")}.${extension}`;
}
