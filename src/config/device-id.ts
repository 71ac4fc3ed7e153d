import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { isMissing } from "./config-files.ts";
import { type DurableFiles, diskFiles } from "./durable-files.ts";

const DEVICE_ID = /^[0-9a-f]{8}$/;

/**
 * The name this device gives itself: 8 hex digits, made at the first call and kept in
 * `<data>/device-id`. A damaged file is replaced by a new name.
 * @throws GatewayError CONFIG_WRITE_FAILED when it cannot be kept.
 */
export async function deviceId(dataDir: string, files: DurableFiles = diskFiles): Promise<string> {
  const path = join(dataDir, "device-id");
  const kept = (await readText(path)).trim();
  if (DEVICE_ID.test(kept)) return kept;
  const made = randomBytes(4).toString("hex");
  // An existing one keeps the mode it was given; only our own directories below are 0700.
  if (!existsSync(dataDir)) await files.makeDirectory(dataDir);
  await files.write(path, `${made}\n`);
  return made;
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, "latin1");
  } catch (err) {
    if (isMissing(err)) return "";
    throw err;
  }
}
