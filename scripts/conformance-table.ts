/**
 * Writes test/conformance/COVERAGE.md: for every normative statement of MQTT 3.1.1 and 5.0 the tests
 * that carry its identifier, or why there is none.
 *
 * node scripts/conformance-table.ts [--check]
 *
 * --check writes nothing. Either way it fails when a statement has neither a test nor a reason, when
 * one has both, or when a test names a statement that does not exist; --check also when the file is
 * not up to date.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { parseRuleName } from "../test/conformance/rule-name.ts";
import type { Bound, Statement } from "../test/conformance/statement.ts";
import { STATEMENTS_3_1_1 } from "../test/conformance/statements-3.1.1.ts";
import { STATEMENTS_5_0 } from "../test/conformance/statements-5.0.ts";
import type { Version } from "../test/conformance/wire.ts";

const FOLDER = new URL("../test/conformance/", import.meta.url);
const COVERAGE = new URL("COVERAGE.md", FOLDER);

const LISTS: readonly [Version, readonly Statement[]][] = [
  ["3.1.1", STATEMENTS_3_1_1],
  ["5.0", STATEMENTS_5_0],
];

const BINDS: Readonly<Record<Bound, string>> = {
  server: "server",
  both: "both",
  "client-observable": "client, the server reacts",
  client: "client",
};

/** A rule's name, which is the first argument of the call and one string on one line. */
const RULE = /\brule\(\s*"((?:[^"\\]|\\.)*)"/g;

interface Shown {
  readonly file: string;
  readonly sentence: string;
}

const problems: string[] = [];
const shown = readRules();
const text = page(shown);
const current = readIfThere();
if (process.argv.includes("--check")) {
  if (current !== text)
    problems.push("COVERAGE.md is not up to date: run scripts/conformance-table.ts");
} else if (current !== text) {
  writeFileSync(COVERAGE, text);
}
for (const problem of problems) console.error(problem);
process.exitCode = problems.length > 0 ? 1 : 0;

/** What is tested, by version and identifier. */
function readRules(): ReadonlyMap<string, readonly Shown[]> {
  const found = new Map<string, Shown[]>();
  const files = readdirSync(FOLDER).filter((name) => name.endsWith(".test.ts"));
  for (const file of files.toSorted(bySection)) {
    const source = readFileSync(new URL(file, FOLDER), "utf8");
    for (const [, name = ""] of source.matchAll(RULE)) {
      const { sentence, statements } = parseRuleName(name);
      for (const [version, ids] of statements) {
        for (const id of ids) {
          const key = `${version} ${id}`;
          found.set(key, [...(found.get(key) ?? []), { file, sentence }]);
        }
      }
    }
  }
  const known = new Set(
    LISTS.flatMap(([version, list]) => list.map(({ id }) => `${version} ${id}`)),
  );
  for (const key of found.keys()) {
    if (!known.has(key)) problems.push(`${key}: a test names it, the statements do not`);
  }
  return found;
}

function bySection(a: string, b: string): number {
  return a.localeCompare(b, "en", { numeric: true });
}

function page(found: ReadonlyMap<string, readonly Shown[]>): string {
  const sections = LISTS.map(([version, list]) => section(version, list, found));
  return [
    "# MQTT conformance, statement by statement",
    "",
    "Made by `scripts/conformance-table.ts` from `statements-*.ts` and the names of the tests; do not edit.",
    "",
    "| version | statements | bind a server | tested | not observable | bind clients alone | of these, the server's reaction tested |",
    "| --- | --- | --- | --- | --- | --- | --- |",
    ...sections.map(({ totals }) => totals),
    "",
    ...sections.flatMap(({ lines }) => lines),
  ].join("\n");
}

function section(
  version: Version,
  list: readonly Statement[],
  found: ReadonlyMap<string, readonly Shown[]>,
): { totals: string; lines: readonly string[] } {
  const testsOf = ({ id }: Statement): readonly Shown[] => found.get(`${version} ${id}`) ?? [];
  for (const statement of list) check(version, statement, testsOf(statement));
  const binding = list.filter(({ binds }) => binds === "server" || binds === "both");
  const clients = list.filter((statement) => !binding.includes(statement));
  const counts = [
    list.length,
    binding.length,
    binding.filter((statement) => testsOf(statement).length > 0).length,
    binding.filter(({ unseen }) => unseen !== null).length,
    clients.length,
    clients.filter((statement) => testsOf(statement).length > 0).length,
  ];
  const rows = list.map((statement) => {
    const { id, says, binds } = statement;
    return `| ${id} | ${says} | ${BINDS[binds]} | ${coverage(statement, testsOf(statement))} |`;
  });
  const head = ["| statement | in short | binds | tested by |", "| --- | --- | --- | --- |"];
  return {
    totals: `| ${[version, ...counts].join(" | ")} |`,
    lines: [`## MQTT ${version}`, "", ...head, ...rows, ""],
  };
}

function check(version: Version, { id, binds, unseen }: Statement, tests: readonly Shown[]): void {
  const key = `${version} ${id}`;
  if (tests.length > 0 && unseen !== null)
    problems.push(`${key}: it has tests and a reason for none`);
  if (tests.length === 0 && unseen === null && binds !== "client") problems.push(`${key}: no test`);
}

function coverage({ unseen }: Statement, tests: readonly Shown[]): string {
  if (tests.length > 0) {
    return tests.map(({ file, sentence }) => `\`${file}\`: ${sentence}`).join("<br>");
  }
  return unseen === null ? "binds the client" : `not observable: ${unseen}`;
}

function readIfThere(): string | null {
  try {
    return readFileSync(COVERAGE, "utf8");
  } catch (err) {
    if (err instanceof Error && "code" in err && err.code === "ENOENT") return null;
    throw err;
  }
}
