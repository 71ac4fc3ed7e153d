import { mkdir, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { GatewayError } from "../errors/index.ts";
import type { Log } from "../log/index.ts";
import type { Clock } from "../time/index.ts";
import {
  beginRecovery,
  clearUnfinished,
  copyAside,
  endRecovery,
  type Finding,
  inspect,
  type LevelDriver,
  levelCode,
  levelReason,
  linkFolder,
  removeLeftRepairs,
  salvage,
  syncFolder,
  takeBackRecovery,
} from "./leveldb/index.ts";
import type { SetAside } from "./status.ts";

/** A repair that takes longer is given up: the gateway starts, and what was set aside is kept. */
const REPAIR_BUDGET_MS = 10_000;

/** Reasons that have nothing to do with the store's content. */
const NOT_DAMAGE =
  /no space left|quota exceeded|permission denied|operation not permitted|read-only file system|too many open files|cannot allocate memory|EACCES|EPERM|EROFS|ENOSPC|EDQUOT|EMFILE|ENFILE|ENOMEM/i;

/** Raised by whoever reads the store and finds that it cannot be used as a whole. */
export class UnusableStore extends Error {
  /** Whether it is damage, which a repair may mend; a newer version's store is whole as it is. */
  readonly isDamaged: boolean;

  constructor(reason: string, isDamaged = true) {
    super(reason);
    this.name = "UnusableStore";
    this.isDamaged = isDamaged;
  }
}

/** A store that was opened and read. */
interface Loaded {
  /** Records that could not be read. */
  readonly damaged: number;
  close(): Promise<void>;
}

export interface OpeningDeps {
  readonly log: Log;
  readonly clock: Clock;
  readonly driver: LevelDriver;
}

/**
 * Opens a store whatever state it is in: verify, repair, else set aside and start fresh. The
 * original is moved to `<path>.damaged-<stamp>` first and never touched again; what is repaired is a
 * copy. A recovery that is cut off is taken back and started over, twice at most. `load` opens the folder and reads it; it closes what it opened when it throws. It says how
 * many records it could not read.
 * @throws GatewayError STORE_IN_USE, or STORE_OPEN_FAILED for trouble that is not damage (rights, a
 * full or read-only disk) (rejects).
 */
export async function openStore<T extends Loaded>(
  deps: OpeningDeps,
  path: string,
  loadOnce: () => Promise<T>,
): Promise<{ loaded: T; setAside: SetAside | null }> {
  let opened: T | null = null;
  const load = async () => {
    opened = await loadOnce();
    return opened;
  };
  try {
    await makeFolder(dirname(path));
    await removeLeftRepairs(path);
    const { attempts, givenUp } = await takeBackRecovery(path);
    if (givenUp !== null) {
      const reason = "the process ended each time it was repaired";
      return await startEmpty(deps, path, load, { path: givenUp, reason });
    }
    await clearUnfinished(path);
    const finding = await inspect(path);
    if (finding !== null) return await recover(deps, path, load, { ...finding, attempts });
    const first = await tryLoad(path, load);
    if (first.reason !== null) {
      const { reason, isDamaged } = first;
      if (!isDamaged) {
        const aside = await beginRecovery(path, deps.clock.nowMs(), attempts + 1);
        return await startEmpty(deps, path, load, { path: aside, reason });
      }
      return await recover(deps, path, load, { reason, isReadable: false, attempts });
    }
    await endRecovery(path);
    return await keepEvidence(deps, path, first.loaded);
  } catch (err) {
    // Open and yet no use: what belongs to an opening could not be finished.
    await close(opened);
    if (err instanceof GatewayError) throw err;
    const reason = levelReason(err);
    throw new GatewayError("STORE_OPEN_FAILED", { path, reason }, { cause: err });
  }
}

async function close(opened: Loaded | null): Promise<void> {
  await opened?.close().catch(() => {});
}

/** Loads; a reason means damage. Anything else that is wrong is thrown. */
async function tryLoad<T>(
  path: string,
  load: () => Promise<T>,
): Promise<{ loaded: T; reason: null } | { reason: string; isDamaged: boolean }> {
  try {
    await makeFolder(path);
    return { loaded: await load(), reason: null };
  } catch (err) {
    if (levelCode(err) === "LEVEL_LOCKED") {
      throw new GatewayError("STORE_IN_USE", { path }, { cause: err });
    }
    const reason = levelReason(err);
    if (!isAboutContent(err) || NOT_DAMAGE.test(reason)) throw err;
    return { reason, isDamaged: !(err instanceof UnusableStore) || err.isDamaged };
  }
}

function isAboutContent(err: unknown): boolean {
  if (err instanceof UnusableStore) return true;
  const code = levelCode(err);
  return code !== null && (/^LEVEL_/.test(code) || /^E[A-Z]+$/.test(code) || /^STORE_/.test(code));
}

/** A folder's name lasts once the folder it stands in is on the disk. */
async function makeFolder(path: string): Promise<void> {
  const made = await mkdir(path, { recursive: true, mode: 0o700 });
  if (made !== undefined) await syncFolder(dirname(made));
}

async function recover<T extends Loaded>(
  deps: OpeningDeps,
  path: string,
  load: () => Promise<T>,
  damage: Finding & { readonly attempts: number },
): Promise<{ loaded: T; setAside: SetAside | null }> {
  const { log, clock } = deps;
  const { reason } = damage;
  const atMs = clock.nowMs();
  const aside = await beginRecovery(path, atMs, damage.attempts + 1);
  for (const isRepair of damage.isReadable ? [false, true] : [true]) {
    if (!(await copyBack(deps, aside, path, isRepair))) continue;
    const attempt = await tryLoad(path, load);
    if (attempt.reason === null) {
      await endRecovery(path);
      const fields = { code: "STORE_OPEN_FAILED", path: aside, err: reason };
      log.error(fields, "store damaged; what can be read of it is in use");
      return { loaded: attempt.loaded, setAside: { path: aside, reason, isRepaired: true, atMs } };
    }
    await rm(path, { recursive: true, force: true });
  }
  return startEmpty(deps, path, load, { path: aside, reason });
}

async function startEmpty<T extends Loaded>(
  { log, clock }: OpeningDeps,
  path: string,
  load: () => Promise<T>,
  aside: { readonly path: string; readonly reason: string },
): Promise<{ loaded: T; setAside: SetAside | null }> {
  const fields = { code: "STORE_OPEN_FAILED", path: aside.path, err: aside.reason };
  log.error(fields, "store cannot be used; set aside, started empty");
  const fresh = await tryLoad(path, load);
  if (fresh.reason !== null) throw new UnusableStore(fresh.reason);
  await endRecovery(path);
  return { loaded: fresh.loaded, setAside: { ...aside, isRepaired: false, atMs: clock.nowMs() } };
}

/** Puts a copy of `aside` to `path`, repaired or as it is; false when there is none in time. */
async function copyBack(
  { log, clock, driver }: OpeningDeps,
  aside: string,
  path: string,
  isRepair: boolean,
): Promise<boolean> {
  const copy = `${path}.repair-${process.pid}`;
  try {
    await linkFolder(aside, copy);
    if (isRepair && !(await repairInTime(driver, clock, copy))) return false;
    await rename(copy, path);
    await syncFolder(dirname(path));
    return true;
  } catch (err) {
    log.warn({ path: aside, err: levelReason(err) }, "store could not be repaired");
    await rm(copy, { recursive: true, force: true });
    return false;
  }
}

async function repairInTime(driver: LevelDriver, clock: Clock, copy: string): Promise<boolean> {
  const late = Promise.withResolvers<"late">();
  const timer = clock.after(REPAIR_BUDGET_MS, () => late.resolve("late"));
  const repairing = repairThoroughly(driver, copy);
  const outcome = await Promise.race([repairing, late.promise]).finally(() => timer.cancel());
  if (outcome !== "late") return true;
  // It cannot be stopped, only waited for.
  const remove = () => rm(copy, { recursive: true, force: true });
  void repairing.then(remove, remove).catch(() => {});
  return false;
}

/**
 * Repairs, and rewrites everything once: repair puts old logs into tables with higher numbers than
 * newer tables have, and LevelDB looks a single key up in the order of those numbers.
 */
async function repairThoroughly(driver: LevelDriver, copy: string): Promise<void> {
  await salvage(copy);
  await driver.repair(copy);
  const handle = driver.create(copy);
  await handle.open();
  try {
    await handle.compact({ gte: Buffer.of(0), lt: Buffer.alloc(64, 0xff) });
  } finally {
    await handle.close();
  }
}

/** Single records that cannot be read are left out; a copy of all is kept before they go. */
async function keepEvidence<T extends Loaded>(
  { log, clock }: OpeningDeps,
  path: string,
  loaded: T,
): Promise<{ loaded: T; setAside: SetAside | null }> {
  if (loaded.damaged === 0) return { loaded, setAside: null };
  const atMs = clock.nowMs();
  const reason = `${loaded.damaged} records cannot be read`;
  const aside = await copyAside(path, atMs);
  const fields = { code: "STORE_OPEN_FAILED", path: aside, err: reason };
  log.error(fields, "store damaged; what can be read of it is in use");
  return { loaded, setAside: { path: aside, reason, isRepaired: true, atMs } };
}
