/**
 * Writes every file, or part of one, that is derived from the code.
 *
 * Usage: node scripts/generate.ts [--check]
 *
 * With --check nothing is written; stale files are named and the exit code is 1.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { GENERATED } from "./generate/generated.ts";

const ROOT = join(import.meta.dirname, "..");
const isCheck = process.argv.includes("--check");

for (const { file, render } of GENERATED) {
  const path = join(ROOT, file);
  const present = existsSync(path) ? readFileSync(path, "utf8") : "";
  const wanted = render(present);
  if (wanted === present) continue;
  if (isCheck) {
    console.error(`${file} is stale: run \`npm run generate\``);
    process.exitCode = 1;
  } else {
    writeFileSync(path, wanted);
    console.log(`${file} written`);
  }
}
