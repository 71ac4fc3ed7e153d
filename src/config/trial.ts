import { readConfigFile } from "./config-files.ts";
import type { DurableFiles } from "./durable-files.ts";
import { isObject } from "./format.ts";

/**
 * The record of a changed configuration that has not proved itself yet. It is written before the
 * file it is about, and says so by the file's hash, so it is right whichever of the two a power cut
 * leaves behind: a file whose hash is `previous` was never changed, one in `onTrial` was.
 */
export interface Trial {
  /** SHA-256 of the `current.yaml` that worked last, null when there was none. */
  readonly previous: string | null;
  /** SHA-256 of the changed file, then of the changed file it replaced before that was confirmed. */
  readonly onTrial: readonly string[];
  /** Starts with the changed file that have failed. */
  readonly failures: number;
  /** A start is under way; a process that dies leaves this behind, and so counts as failed. */
  readonly isStarting: boolean;
  /** Why starts failed, as far as the process could say. */
  readonly reasons: readonly string[];
  /** Seconds after a start in which somebody must confirm the change; null = staying up confirms it. */
  readonly confirmS: number | null;
  /** Why the change is given up at the next start, however often it started; null = it is not. */
  readonly verdict: string | null;
}

const MAX_REASONS = 4;
const MAX_REASON_CHARACTERS = 500;

/** The record at `path`; null when there is none, or none that can be made sense of. */
export function readTrial(path: string): Trial | null {
  const value = readJson(path);
  if (!isObject(value)) return null;
  const { previous, onTrial, failures, isStarting, reasons, confirmS, verdict } = value;
  if (previous !== null && typeof previous !== "string") return null;
  if (!isTextList(onTrial) || !isTextList(reasons)) return null;
  if (typeof failures !== "number" || typeof isStarting !== "boolean") return null;
  return {
    previous,
    onTrial,
    failures,
    isStarting,
    reasons,
    // Records of older versions have neither.
    confirmS: typeof confirmS === "number" ? confirmS : null,
    verdict: typeof verdict === "string" ? verdict : null,
  };
}

export async function writeTrial(files: DurableFiles, path: string, trial: Trial): Promise<void> {
  const reasons = trial.reasons
    .slice(-MAX_REASONS)
    .map((reason) => reason.slice(0, MAX_REASON_CHARACTERS));
  await files.write(path, `${JSON.stringify({ ...trial, reasons }, null, 2)}\n`);
}

/** The value in a JSON file of ours; null when there is none or it is damaged. */
export function readJson(path: string): unknown {
  try {
    const bytes = readConfigFile(path);
    return bytes === null ? null : JSON.parse(bytes.toString());
  } catch {
    return null;
  }
}

function isTextList(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === "string");
}
