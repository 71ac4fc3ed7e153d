import { copyFileSync, linkSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { Probe, type StoreReport } from "./probe.ts";

/** Fills a store and says what is in it; the folder itself stays as it was filled. */
export async function makeFixture(path: string, seed: number): Promise<StoreReport> {
  const probe = new Probe();
  try {
    await probe.fill(path, seed);
    const copy = `${path}-read`;
    copyStore(path, copy);
    return await probe.store(copy);
  } finally {
    await probe.close();
  }
}

/** A copy of a store, by links where LevelDB never changes a file. */
export function copyStore(from: string, to: string): void {
  mkdirSync(to, { recursive: true });
  for (const name of readdirSync(from)) {
    if (/\.(ldb|sst)$/.test(name)) linkSync(join(from, name), join(to, name));
    else copyFileSync(join(from, name), join(to, name));
  }
}
