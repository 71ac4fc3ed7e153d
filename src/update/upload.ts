import { type FileHandle, open, rename, rm, statfs, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { GatewayError, isGatewayError, reasonOf } from "../errors/index.ts";

/** A root slot has half of it. */
const MAX_BUNDLE_BYTES = 1_073_741_824;

/** What the volume keeps free for everything else: as the store, 5 % but no more than 64 MB. */
const RESERVE_BYTES = 67_108_864;
const RESERVE_SHARE = 0.05;

/** How often the free space is looked at again while a bundle comes in. */
const LOOK_EVERY_BYTES = 8_388_608;

/** Over a slow radio, on a card that is busy. */
const LIMIT_MS = 1_800_000;

const PART = "bundle.part";
const BUNDLE = "bundle.raucb";
const REQUEST = "request.json";

/** A bundle on its way in. */
export interface Upload {
  readonly stream: Readable;
  /** Announced length; null when it is not known. */
  readonly sizeBytes: number | null;
}

/** Whether an earlier bundle still waits to be taken over. */
export async function isWaiting(spool: string): Promise<boolean> {
  try {
    await using _ = await open(join(spool, REQUEST));
    return true;
  } catch {
    return false;
  }
}

/** Removes what an upload left that was cut short. */
async function removeParts(spool: string): Promise<void> {
  for (const name of [PART, `${REQUEST}.new`]) await rm(join(spool, name), { force: true });
}

/** Removes what an earlier process left, but no bundle that waits. */
export async function tidySpool(spool: string): Promise<void> {
  await removeParts(spool);
  if (!(await isWaiting(spool))) await rm(join(spool, BUNDLE), { force: true });
}

/**
 * Writes a bundle as it comes, as fast as the card takes it, and hands it over by a request that is
 * renamed into place last. A bundle that does not come in whole leaves nothing.
 * @returns its length
 * @throws GatewayError UPDATE_TOO_LARGE, UPDATE_NO_SPACE, UPDATE_CUT_SHORT
 */
export async function receiveBundle(
  spool: string,
  upload: Upload,
  request: { readonly allow_downgrade: boolean; readonly reboot: boolean },
): Promise<number> {
  const part = join(spool, PART);
  const { sizeBytes } = upload;
  try {
    const bytes = await writeBundle(part, spool, upload);
    await rename(part, join(spool, BUNDLE));
    const path = join(spool, REQUEST);
    await writeFile(`${path}.new`, JSON.stringify(request), { flush: true });
    await rename(`${path}.new`, path);
    return bytes;
  } catch (err) {
    await removeParts(spool);
    if (isGatewayError(err)) throw err;
    if (isNoSpace(err)) throw new GatewayError("UPDATE_NO_SPACE", { needed: sizeBytes ?? 0 });
    throw new GatewayError("UPDATE_CUT_SHORT", { reason: reasonOf(err) }, { cause: err });
  }
}

/**
 * Writes what comes to a file in `directory`, within the bounds, until it is on the card; what does not
 * come in whole stays for the caller to remove.
 * @returns its length
 * @throws GatewayError UPDATE_TOO_LARGE, UPDATE_NO_SPACE; whatever the stream or the file fails with
 */
export async function writeBundle(
  path: string,
  directory: string,
  upload: Upload,
): Promise<number> {
  const { stream, sizeBytes } = upload;
  // It may break off before it is read, when nobody would hear of it: reading tells it then.
  stream.on("error", () => {});
  if (sizeBytes !== null && sizeBytes > MAX_BUNDLE_BYTES) throw tooLarge();
  await requireSpace(directory, sizeBytes ?? 0);
  await using file: FileHandle = await open(path, "w", 0o640);
  const signal = AbortSignal.timeout(LIMIT_MS);
  const giveUp = () => stream.destroy(new Error(`it took more than ${LIMIT_MS / 60_000} minutes`));
  signal.addEventListener("abort", giveUp);
  let bytes = 0;
  let lookAt = LOOK_EVERY_BYTES;
  try {
    // Left alone when it is refused: the answer goes over the same socket.
    for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
      const piece: Buffer = chunk;
      bytes += piece.length;
      if (bytes > MAX_BUNDLE_BYTES) throw tooLarge();
      if (bytes >= lookAt) {
        lookAt += LOOK_EVERY_BYTES;
        await requireSpace(directory, Math.max(0, (sizeBytes ?? bytes) - bytes));
      }
      await file.writeFile(piece);
    }
  } finally {
    signal.removeEventListener("abort", giveUp);
  }
  await file.sync();
  return bytes;
}

async function requireSpace(directory: string, neededBytes: number): Promise<void> {
  const { bavail, blocks, bsize } = await statfs(directory);
  const reserve = Math.min(RESERVE_BYTES, blocks * bsize * RESERVE_SHARE);
  if (bavail * bsize - neededBytes < reserve) {
    throw new GatewayError("UPDATE_NO_SPACE", { needed: neededBytes });
  }
}

function tooLarge(): GatewayError {
  return new GatewayError("UPDATE_TOO_LARGE", { max: MAX_BUNDLE_BYTES });
}

function isNoSpace(err: unknown): boolean {
  return err instanceof Error && "code" in err && (err.code === "ENOSPC" || err.code === "EDQUOT");
}
