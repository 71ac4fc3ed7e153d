/** Whether the long form was asked for: FAULTS=long. */
const IS_LONG = process.env["FAULTS"] === "long";

/** The seed of a run; FAULTS_SEED repeats one. */
export const SEED = Number(process.env["FAULTS_SEED"] ?? 20_261_121);

/** `short` in every test run, `long` before a release. */
export function scaled(short: number, long: number): number {
  return IS_LONG ? long : short;
}

/** Prints one line with figures of a test, where a run's log is read by people. */
export function figures(line: string): void {
  process.stdout.write(`   ${line}\n`);
}
