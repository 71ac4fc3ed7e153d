import { execFileSync } from "node:child_process";
import { copyFileSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll } from "vitest";

const ROOT = join(import.meta.dirname, "../..");

/**
 * Builds the JavaScript a device runs, once for the tests of a file; they ask for its main program.
 * Running the TypeScript source takes 40 MB more.
 */
export function builtGateway(): () => string {
  let dir = "";
  beforeAll(() => {
    dir = mkdtempSync(join(tmpdir(), "tidegate-"));
    const tsc = join(ROOT, "node_modules/.bin/tsc");
    const args = ["-p", join(ROOT, "tsconfig.build.json"), "--outDir", join(dir, "dist")];
    execFileSync(tsc, args, { stdio: "pipe" });
    copyFileSync(join(ROOT, "package.json"), join(dir, "package.json"));
    symlinkSync(join(ROOT, "node_modules"), join(dir, "node_modules"));
  }, 60_000);
  afterAll(() => rmSync(dir, { recursive: true, force: true }));
  return () => join(dir, "dist/main.js");
}
