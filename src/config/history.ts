import { createHash } from "node:crypto";
import { join } from "node:path";
import { readConfigFile } from "./config-files.ts";
import { type DurableFiles, namesIn } from "./durable-files.ts";

/** How many versions of `current.yaml` are kept, the present one included. */
export const HISTORY_SIZE = 20;

const NAME = /^(\d{8})\.yaml$/;

/** One kept version of `current.yaml`. */
export interface Version {
  readonly number: number;
  readonly path: string;
  readonly bytes: Buffer;
  readonly hash: string;
}

/** What ties a record to the content of a file. */
export function contentHash(bytes: Buffer): string;
export function contentHash(bytes: Buffer | null): string | null;
export function contentHash(bytes: Buffer | null): string | null {
  return bytes === null ? null : createHash("sha256").update(bytes).digest("hex");
}

/** The kept versions, newest first. One that cannot be read is left out. */
export async function listVersions(directory: string): Promise<Version[]> {
  const numbers = (await namesIn(directory)).flatMap((name) => {
    const digits = NAME.exec(name)?.[1];
    return digits === undefined ? [] : [Number(digits)];
  });
  return numbers
    .sort((left, right) => right - left)
    .flatMap((number): Version[] => {
      const path = join(directory, fileName(number));
      const bytes = readOrNull(path);
      return bytes === null ? [] : [{ number, path, bytes, hash: contentHash(bytes) }];
    });
}

/** Keeps `bytes` as the newest version, unless they are that already. */
export async function keepVersion(
  files: DurableFiles,
  directory: string,
  bytes: Buffer,
): Promise<void> {
  const [newest] = await listVersions(directory);
  if (newest?.bytes.equals(bytes)) return;
  await files.makeDirectory(directory);
  // Numbered, not dated: a board without a clock chip starts in 1970 again and again.
  await files.write(join(directory, fileName((newest?.number ?? 0) + 1)), bytes);
}

/** Removes what is older than the newest versions, save the one with the hash `wanted`. */
export async function pruneVersions(
  files: DurableFiles,
  directory: string,
  wanted: string | null,
): Promise<void> {
  for (const version of (await listVersions(directory)).slice(HISTORY_SIZE)) {
    if (version.hash !== wanted) await files.remove(version.path);
  }
}

/** Removes every version with the hash `unwanted`, so that nothing falls back to it. */
export async function forgetVersion(
  files: DurableFiles,
  directory: string,
  unwanted: string,
): Promise<void> {
  for (const version of await listVersions(directory)) {
    if (version.hash === unwanted) await files.remove(version.path);
  }
}

function fileName(number: number): string {
  return `${String(number).padStart(8, "0")}.yaml`;
}

function readOrNull(path: string): Buffer | null {
  try {
    return readConfigFile(path);
  } catch {
    return null;
  }
}
