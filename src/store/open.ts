import { existsSync } from "node:fs";
import { chmod, mkdir, readdir, rename, stat } from "node:fs/promises";
import { join } from "node:path";
import { Level } from "level";
import { GatewayError, reasonOf } from "../errors/index.ts";

/** How a start ended well. */
export interface OpenOutcome {
  /** True when LevelDB's repair was needed. */
  readonly isRepaired: boolean;
  /** Where the damaged store was put when repair did not help. */
  readonly setAside: string | null;
  /** What was wrong, null when nothing was. */
  readonly damage: string | null;
}

/** Trouble of the machine, not of the data: putting the data away would not help. */
const ENVIRONMENT =
  /permission denied|no space left|read-only file system|too many open files|disk quota|cannot allocate/i;

/**
 * Opens the store in `path` (created with mode 0700), whatever state a power cut left it in:
 * `openAndLoad` is tried, then tried again after a repair, then on a fresh directory with the
 * damaged one kept beside it. A store another process has open is never touched.
 * @throws GatewayError STORE_OPEN_FAILED
 */
export async function openStore(
  path: string,
  openAndLoad: () => Promise<void>,
  stamp: () => string,
): Promise<OpenOutcome> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
    await chmod(path, 0o700);
  } catch (err) {
    throw failed(path, reasonOf(err), err);
  }
  const damage = (await missingFile(path)) ?? (await attempt(path, openAndLoad));
  if (damage === null) return { isRepaired: false, setAside: null, damage };

  const isRepaired = await repair(path);
  if (isRepaired && (await attempt(path, openAndLoad)) === null) {
    return { isRepaired, setAside: null, damage };
  }

  const setAside = freeName(`${path}.damaged-${stamp()}`);
  try {
    await rename(path, setAside);
    await mkdir(path, { mode: 0o700 });
  } catch (err) {
    // On a full disk the damaged store stays where the next start looks for it.
    await rename(setAside, path).catch(() => undefined);
    throw failed(path, reasonOf(err), err);
  }
  const again = await attempt(path, openAndLoad);
  if (again !== null) throw failed(path, again);
  return { isRepaired: false, setAside, damage };
}

/** Bytes of all files in `path`. */
export async function sizeOf(path: string): Promise<number> {
  const names = await readdir(path);
  const sizes = await Promise.all(
    // A compaction deletes files between the two calls.
    names.map((name) =>
      stat(join(path, name)).then(
        ({ size }) => size,
        () => 0,
      ),
    ),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

/**
 * Null when it opened, else what is wrong with the data.
 * @throws GatewayError STORE_OPEN_FAILED when the data is not to blame
 */
async function attempt(path: string, openAndLoad: () => Promise<void>): Promise<string | null> {
  try {
    await openAndLoad();
    return null;
  } catch (err) {
    const { code, message } = rootOf(err);
    if (code === "LEVEL_LOCKED") throw failed(path, "already in use by another process", err);
    if (ENVIRONMENT.test(message)) throw failed(path, message, err);
    return message;
  }
}

/**
 * LevelDB takes a directory without CURRENT for a new store and deletes the tables in it, so this
 * damage has to be seen before it is opened.
 */
async function missingFile(path: string): Promise<string | null> {
  const names = await readdir(path);
  const hasData = names.some((name) => /\.(ldb|sst|log)$/.test(name) || /^MANIFEST-/.test(name));
  return hasData && !names.includes("CURRENT") ? "the file CURRENT is missing" : null;
}

async function repair(path: string): Promise<boolean> {
  // `level` does not declare the static method of the class it re-exports.
  const method: unknown = Reflect.get(Level, "repair");
  if (typeof method !== "function") return false;
  try {
    await Reflect.apply(method, Level, [path]);
    return true;
  } catch (err) {
    if (rootOf(err).code === "LEVEL_LOCKED") {
      throw failed(path, "already in use by another process", err);
    }
    return false;
  }
}

/** abstract-level wraps the storage's own error as a cause. */
function rootOf(err: unknown): { code: unknown; message: string } {
  let root = err;
  while (root instanceof Error && root.cause !== undefined) root = root.cause;
  const code: unknown = root instanceof Error && "code" in root ? root.code : undefined;
  return { code, message: reasonOf(root) };
}

function failed(path: string, reason: string, cause?: unknown): GatewayError {
  return new GatewayError("STORE_OPEN_FAILED", { path, reason }, { cause });
}

function freeName(name: string): string {
  let candidate = name;
  // A board without a clock chip may have stamped an earlier one alike.
  for (let n = 2; existsSync(candidate); n++) candidate = `${name}-${n}`;
  return candidate;
}
