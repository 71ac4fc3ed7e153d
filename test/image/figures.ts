import { appendFileSync } from "node:fs";

/** Where the figures go as lines of name, tab, value; .ci/run prints them as a table. */
const FILE = process.env["IMAGE_FIGURES"];

/** Prints a figure of the image, and keeps it for the table at the end of the job. */
export function figure(name: string, value: string): void {
  process.stdout.write(`   ${name}: ${value}\n`);
  if (FILE !== undefined) appendFileSync(FILE, `${name}\t${value}\n`);
}

export function seconds(value: number): string {
  return `${value.toFixed(1)} s`;
}

export function megabytes(bytes: number): string {
  return `${(bytes / 1_000_000).toFixed(1)} MB`;
}

export function kilobytes(bytes: number): string {
  return `${Math.round(bytes / 1000)} kB`;
}
