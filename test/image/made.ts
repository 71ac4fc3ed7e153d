import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** What test/image/prepare has built. */
export interface Made {
  readonly folder: string;
  /** Version of the image, and of the bundle that is newer. */
  readonly version: string;
  readonly newerVersion: string;
  readonly image: string;
  readonly goodBundle: string;
  readonly brokenBundle: string;
}

const FOLDER = fileURLToPath(new URL("../../build/image-test", import.meta.url));

export const made: Made = find();

function find(): Made {
  const file = join(FOLDER, "made.json");
  if (!existsSync(file)) throw new Error(`${file} is not there: run test/image/prepare first`);
  return JSON.parse(readFileSync(file, "utf8"));
}
