import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, it } from "vitest";

const PROJECT = fileURLToPath(new URL("..", import.meta.url));
const FIXTURE = path.join(PROJECT, "test/fixtures/lint/planted.ts");

let directory = "";

beforeEach(() => {
  directory = mkdtempSync(path.join(os.tmpdir(), "tidegate-lint-"));
});

afterEach(() => {
  rmSync(directory, { recursive: true });
});

/** The rule named at the end of each line with a defect, by line. */
function plantedRules(): ReadonlyMap<number, string> {
  const lines = readFileSync(FIXTURE, "utf8").split("\n");
  const rules = new Map<number, string>();
  for (const [index, line] of lines.entries()) {
    const rule = / \/\/ planted: (\S+)$/.exec(line)?.[1];
    if (rule !== undefined) rules.set(index + 1, rule);
  }
  return rules;
}

function readJson(file: string) {
  return JSON.parse(readFileSync(path.join(PROJECT, file), "utf8"));
}

function write(file: string, content: unknown): void {
  writeFileSync(path.join(directory, file), JSON.stringify(content));
}

/** What a linter prints; it ends with a code other than 0 because it finds something. */
function report(program: string, args: readonly string[], cwd: string) {
  const env = { ...process.env, PATH: `${PROJECT}/node_modules/.bin:${process.env["PATH"]}` };
  let printed = "";
  try {
    printed = execFileSync(program, args, { cwd, env, encoding: "utf8", stdio: "pipe" });
  } catch (err) {
    printed = err instanceof Error && "stdout" in err ? String(err.stdout) : "";
  }
  return JSON.parse(printed);
}

it("oxlint reports every planted promise defect, by the rule meant, and nothing else", () => {
  // The project's configuration, less the exception that keeps it off the planted file.
  write("oxlintrc.json", { ...readJson(".oxlintrc.json"), ignorePatterns: [] });
  const args = ["--type-aware", "--format=json", `--config=${directory}/oxlintrc.json`, FIXTURE];
  const { diagnostics } = report("oxlint", args, PROJECT);
  const found = new Map<number, string>();
  for (const { code, labels } of diagnostics) {
    found.set(labels[0].span.line, String(code).replace(/^typescript\((.*)\)$/, "$1"));
  }
  expect(plantedRules().size).toBe(16);
  expect(Object.fromEntries(found)).toEqual(Object.fromEntries(plantedRules()));
});

it("Biome with its own promise rules still misses some: once it finds all, oxlint can go", () => {
  const config = readJson("biome.json");
  const { rules } = config.linter;
  const on = Object.fromEntries(PROMISE_RULES.map((rule) => [rule, "error"]));
  write("biome.json", {
    ...config,
    $schema: undefined,
    vcs: { enabled: false },
    files: { includes: ["**"] },
    linter: {
      domains: { types: "all", project: "all" },
      rules: {
        ...rules,
        nursery: on,
        style: { ...rules.style, useThrowOnlyError: "error" },
        suspicious: { ...rules.suspicious, noForIn: "error" },
      },
    },
  });
  writeFileSync(path.join(directory, "planted.ts"), readFileSync(FIXTURE));
  writeFileSync(path.join(directory, "package.json"), "{}");
  symlinkSync(path.join(PROJECT, "node_modules"), path.join(directory, "node_modules"));
  const { diagnostics } = report("biome", ["lint", "--reporter=json", "planted.ts"], directory);
  const lines: readonly number[] = diagnostics.map(
    (each: { location: { start: { line: number } } }) => each.location.start.line,
  );
  const found = [...plantedRules().keys()].filter((line) => lines.includes(line));
  expect(found.length).toBeGreaterThan(0);
  expect(found.length).toBeLessThan(16);
});

const PROMISE_RULES = [
  "noFloatingPromises",
  "noMisusedPromises",
  "useAwaitThenable",
  "useExhaustiveSwitchCases",
] as const;
