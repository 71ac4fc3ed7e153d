import { mkdir, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { GatewayError, reasonOf } from "../errors/index.ts";
import type { Log } from "../log/index.ts";
import type { Clock } from "../time/index.ts";
import { inspect } from "./inspection.ts";
import { type LevelDriver, levelCode, levelReason } from "./level.ts";
import { copyAside, linkFolder, moveAside, removeLeftRepairs, syncFolder } from "./set-aside.ts";
import type { SetAside } from "./status.ts";

/** A repair that takes longer is given up: the gateway starts, and what was set aside is kept. */
const REPAIR_BUDGET_MS = 10_000;

/** Reasons that have nothing to do with the store's content. */
const NOT_DAMAGE =
  /no space left|quota exceeded|permission denied|operation not permitted|read-only file system|too many open files|cannot allocate memory|EACCES|EPERM|EROFS|ENOSPC|EDQUOT|EMFILE|ENFILE|ENOMEM/i;

/** Raised by whoever reads the store and finds that it cannot be used as a whole. */
export class UnusableStore extends Error {
  constructor(reason: string) {
    super(reason);
    this.name = "UnusableStore";
  }
}

export interface OpeningDeps {
  readonly log: Log;
  readonly clock: Clock;
  readonly driver: LevelDriver;
}

/**
 * Opens a store whatever state it is in: verify, repair, else set aside and start fresh. The
 * original is moved to `<path>.damaged-<stamp>` first and never touched again; what is repaired is a
 * copy. `load` opens the folder and reads it; it closes what it opened when it throws. It says how
 * many records it could not read.
 * @throws GatewayError STORE_IN_USE, or STORE_OPEN_FAILED for trouble that is not damage (rights, a
 * full or read-only disk) (rejects).
 */
export async function openStore<T extends { readonly damaged: number }>(
  deps: OpeningDeps,
  path: string,
  load: () => Promise<T>,
): Promise<{ loaded: T; setAside: SetAside | null }> {
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await removeLeftRepairs(path);
    const finding = await inspect(path);
    if (finding !== null)
      return await recover(deps, path, load, finding.reason, finding.isReadable);
    const first = await tryLoad(path, load);
    if (first.reason === null) return await keepEvidence(deps, path, first.loaded);
    return await recover(deps, path, load, first.reason, false);
  } catch (err) {
    if (err instanceof GatewayError) throw err;
    throw new GatewayError("STORE_OPEN_FAILED", { path, reason: reasonOf(err) }, { cause: err });
  }
}

/** Loads; a reason means damage. Anything else that is wrong is thrown. */
async function tryLoad<T>(
  path: string,
  load: () => Promise<T>,
): Promise<{ loaded: T; reason: null } | { reason: string }> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
    return { loaded: await load(), reason: null };
  } catch (err) {
    if (levelCode(err) === "LEVEL_LOCKED") {
      throw new GatewayError("STORE_IN_USE", { path }, { cause: err });
    }
    const reason = levelReason(err);
    if (!isAboutContent(err) || NOT_DAMAGE.test(reason)) throw err;
    return { reason };
  }
}

function isAboutContent(err: unknown): boolean {
  if (err instanceof UnusableStore) return true;
  const code = levelCode(err);
  return code !== null && (/^LEVEL_/.test(code) || /^E[A-Z]+$/.test(code) || /^STORE_/.test(code));
}

async function recover<T extends { readonly damaged: number }>(
  { log, clock, driver }: OpeningDeps,
  path: string,
  load: () => Promise<T>,
  reason: string,
  isReadable: boolean,
): Promise<{ loaded: T; setAside: SetAside | null }> {
  const aside = await moveAside(path, clock.nowMs());
  const atMs = clock.nowMs();
  if (await rebuild({ log, clock, driver }, aside, path, isReadable)) {
    const second = await tryLoad(path, load);
    if (second.reason === null) {
      log.error({ code: "STORE_OPEN_FAILED", path: aside, err: reason }, "store damaged; repaired");
      return { loaded: second.loaded, setAside: { path: aside, reason, isRepaired: true, atMs } };
    }
  }
  await rm(path, { recursive: true, force: true });
  log.error(
    { code: "STORE_OPEN_FAILED", path: aside, err: reason },
    "store damaged; set aside, started empty",
  );
  const fresh = await tryLoad(path, load);
  if (fresh.reason !== null) throw new UnusableStore(fresh.reason);
  return { loaded: fresh.loaded, setAside: { path: aside, reason, isRepaired: false, atMs } };
}

/** Puts a repaired copy of `aside` to `path`; false when there is none in time. */
async function rebuild(
  { log, clock, driver }: OpeningDeps,
  aside: string,
  path: string,
  isReadable: boolean,
): Promise<boolean> {
  const copy = `${path}.repair-${process.pid}`;
  try {
    await linkFolder(aside, copy);
    if (!isReadable && !(await repairInTime(driver, clock, copy))) return false;
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
  const repairing = driver.repair(copy);
  const outcome = await Promise.race([repairing, late.promise]).finally(() => timer.cancel());
  if (outcome !== "late") return true;
  // It cannot be stopped, only waited for.
  const remove = () => rm(copy, { recursive: true, force: true });
  void repairing.then(remove, remove).catch(() => {});
  return false;
}

/** Single records that cannot be read are left out; a copy of all is kept before they go. */
async function keepEvidence<T extends { readonly damaged: number }>(
  { log, clock }: OpeningDeps,
  path: string,
  loaded: T,
): Promise<{ loaded: T; setAside: SetAside | null }> {
  if (loaded.damaged === 0) return { loaded, setAside: null };
  const atMs = clock.nowMs();
  const reason = `${loaded.damaged} records cannot be read`;
  const aside = await copyAside(path, atMs);
  log.error({ code: "STORE_OPEN_FAILED", path: aside, err: reason }, "store damaged; repaired");
  return { loaded, setAside: { path: aside, reason, isRepaired: true, atMs } };
}
