/**
 * Prints the last line of a test run, `N passed, N failed`, from vitest's JSON report.
 *
 * Usage: node scripts/tally.ts REPORT
 *
 * A file that could not be loaded counts as one failed test. Exit code 1 when something failed,
 * nothing ran, or there is no report.
 */
import { readFileSync } from "node:fs";

interface Tally {
  readonly passed: number;
  readonly failed: number;
}

function tally(file: string): Tally {
  let report: Record<string, unknown>;
  try {
    report = asObject(JSON.parse(readFileSync(file, "utf8")));
  } catch {
    // vitest ended before it could write a report.
    return { passed: 0, failed: 0 };
  }
  const files = Array.isArray(report["testResults"]) ? report["testResults"].map(asObject) : [];
  const unloaded = files.filter(
    ({ status, assertionResults }) =>
      status === "failed" && Array.isArray(assertionResults) && assertionResults.length === 0,
  );
  return {
    passed: asCount(report["numPassedTests"]),
    failed: asCount(report["numFailedTests"]) + unloaded.length,
  };
}

function asObject(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? { ...value } : {};
}

function asCount(value: unknown): number {
  return typeof value === "number" ? value : 0;
}

const { passed, failed } = tally(process.argv[2] ?? "");
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = passed > 0 && failed === 0 ? 0 : 1;
