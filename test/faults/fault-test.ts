import { it } from "vitest";
import { Random } from "./random.ts";

/** `FAULTS=long`: as often and as long as the plan says, instead of what fits into every test run. */
export const IS_LONG = process.env["FAULTS"] === "long";

/** The count or the time for this run. */
export function scaled(short: number, long: number): number {
  return IS_LONG ? long : short;
}

/** What a fault test is given. */
export interface FaultRun {
  readonly random: Random;
  /** Prints what was done and measured; every failure shows it too. */
  report(figures: Readonly<Record<string, number | string>>): void;
}

/**
 * A test whose course is decided by a seed. The short form always takes the same one, the long form
 * a fresh one; `FAULTS_SEED` repeats a run. The seed stands in front of every failure.
 */
export function faultTest(
  name: string,
  limitsMs: { readonly short: number; readonly long: number },
  body: (run: FaultRun) => Promise<void>,
): void {
  it(name, { timeout: scaled(limitsMs.short, limitsMs.long) }, async () => {
    const given = process.env["FAULTS_SEED"];
    const fresh = IS_LONG ? Math.floor(Math.random() * 2 ** 32) : 1;
    const seed = given === undefined ? fresh : Number(given);
    const figures: string[] = [];
    const report: FaultRun["report"] = (found) => {
      const text = Object.entries(found).map(([what, figure]) => `${what} ${figure}`);
      figures.push(text.join(", "));
      process.stdout.write(`${name} (seed ${seed}): ${text.join(", ")}\n`);
    };
    try {
      await body({ random: new Random(seed), report });
    } catch (err) {
      const reason = err instanceof Error ? err.message : String(err);
      const message = [`FAULTS_SEED=${seed}: ${reason}`, ...figures].join("\n");
      throw new Error(message, { cause: err });
    }
  });
}
