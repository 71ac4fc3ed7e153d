import { resolve } from "node:path";
import { reasonOf } from "../errors/index.ts";
import { type Clock, systemClock } from "../time/index.ts";
import { configPaths, readConfigFile } from "./config-files.ts";
import type { ConfigStore } from "./config-store.ts";
import { type DurableFiles, diskFiles } from "./durable-files.ts";
import { isObject } from "./format.ts";
import { contentHash, listVersions } from "./history.ts";
import { readIncidents, writeIncidents } from "./incidents.ts";
import { type ConfigInput, DEFAULT_CONFIG_FILE, type LoadedConfig } from "./load.ts";
import type { ConfigPatch } from "./patch.ts";
import { readJson } from "./trial.ts";

/** Failed starts of an operator's file from outside after which the one before it is used again. */
const MAX_FAILURES = 2;

const MAX_REASONS = 4;
const MAX_REASON_CHARACTERS = 500;

/**
 * The record of an operator's file that came from outside, from when it was accepted until it has
 * proved itself. It names the file by its content, so it says nothing about any other.
 */
export interface ProvisionedRecord {
  /** SHA-256 of the file. */
  readonly operator: string;
  /** SHA-256 of `current.yaml` before the file's keys won over it; undefined until then. */
  readonly adoptedFrom?: string | null;
  /** The file's keys have won. */
  readonly isAdopted: boolean;
  /** Starts with the file that failed, one under way included. */
  readonly failures: number;
  readonly reasons: readonly string[];
  /** The file did not come up, and is not used any more. */
  readonly isTakenBack: boolean;
}

interface Deps {
  readonly clock: Clock;
  readonly files: DurableFiles;
}

/**
 * To be called first in every start. Counts the start of a new operator's file; after two that
 * failed it returns where the one before is kept, restores what the API had changed, and says so
 * from then on. Never throws: without the count the gateway still starts.
 */
export async function startProvisioned<I extends ConfigInput>(
  input: I,
  deps: Deps = { clock: systemClock, files: diskFiles },
): Promise<{ readonly input: I; readonly takenBack: string | null }> {
  const record = recordInForce(input);
  if (record === null) return { input, takenBack: null };
  const { provisioned } = configPaths(input.dataDir);
  try {
    if (record.failures < MAX_FAILURES) {
      const counted = { ...record, failures: record.failures + 1 };
      await writeRecord(deps.files, provisioned, counted);
      return { input, takenBack: null };
    }
    if (!record.isTakenBack) await takeBack(input, record, deps);
  } catch {
    if (record.failures < MAX_FAILURES) return { input, takenBack: null };
  }
  return { input: { ...input, configFile: fileBefore(input) }, takenBack: reasonFor(record) };
}

/**
 * To be called before anything uses the configuration. Lets the keys of a new operator's file win,
 * once, over what the API changed before; the history keeps that. Returns the keys that differ now.
 * @throws GatewayError CONFIG_CHECK_FAILED, CONFIG_WRITE_FAILED; the next start tries again then.
 */
export async function adoptProvisioned(
  loaded: LoadedConfig,
  store: ConfigStore,
  files: DurableFiles = diskFiles,
): Promise<readonly string[]> {
  const { provisioned } = configPaths(loaded.dataDir);
  const record = readRecord(provisioned);
  // Not for a file that was never installed, or is not any more.
  if (record === null || record.isAdopted || record.operator !== loaded.operatorHash) return [];
  const adoptedFrom =
    record.adoptedFrom === undefined ? contentHash(loaded.currentBytes) : record.adoptedFrom;
  await writeRecord(files, provisioned, { ...record, adoptedFrom });
  // The values were checked when they were loaded.
  const changed = await store.adopt(loaded.layers.operator as ConfigPatch);
  await writeRecord(files, provisioned, { ...record, adoptedFrom, isAdopted: true });
  return changed;
}

/** To be called when a start fails. Whether another start is to follow, because a new file is to blame. */
export async function failProvisioned(
  input: ConfigInput,
  err: unknown,
  files: DurableFiles = diskFiles,
): Promise<boolean> {
  const record = recordInForce(input);
  if (record === null || record.isTakenBack) return false;
  const reason = reasonOf(err).slice(0, MAX_REASON_CHARACTERS);
  const reasons = [...record.reasons, reason].slice(-MAX_REASONS);
  try {
    await writeRecord(files, configPaths(input.dataDir).provisioned, { ...record, reasons });
  } catch {
    // The start is counted already.
  }
  return true;
}

/** A start stayed up (`proved`), or ended in order before that: it is no failed one. */
export async function settleProvisioned(
  input: ConfigInput,
  how: "proved" | "stopped",
  files: DurableFiles = diskFiles,
): Promise<void> {
  const record = recordInForce(input);
  if (record === null || record.isTakenBack) return;
  const { provisioned, operatorBefore } = configPaths(input.dataDir);
  if (how === "stopped" || !record.isAdopted) {
    await writeRecord(files, provisioned, { ...record, failures: 0 });
    return;
  }
  await files.remove(provisioned);
  await files.remove(operatorBefore);
}

/** The record about the operator's file that is there now; null when there is none. */
function recordInForce(input: ConfigInput): ProvisionedRecord | null {
  const record = readRecord(configPaths(input.dataDir).provisioned);
  if (record === null) return null;
  return record.operator === contentHash(readOrNull(operatorPath(input))) ? record : null;
}

/** Where the operator's file is that the gateway really uses. */
export function inputInForce(input: ConfigInput): ConfigInput {
  const isTakenBack = recordInForce(input)?.isTakenBack === true;
  return isTakenBack ? { ...input, configFile: fileBefore(input) } : input;
}

/** Notes that this text is about to become the operator's file; the one in force is kept. */
export async function expectProvisioned(
  input: ConfigInput,
  text: string,
  files: DurableFiles,
): Promise<void> {
  const { directory, operatorBefore, provisioned, takenBack } = configPaths(input.dataDir);
  await files.makeDirectory(directory);
  await files.remove(takenBack);
  // One that has not proved itself is nothing to return to: what it replaced stays that.
  if (recordInForce(input) === null) {
    const bytes = readOrNull(operatorPath(input));
    await (bytes === null ? files.remove(operatorBefore) : files.write(operatorBefore, bytes));
  }
  await writeRecord(files, provisioned, {
    operator: contentHash(Buffer.from(text)),
    isAdopted: false,
    failures: 0,
    reasons: [],
    isTakenBack: false,
  });
}

/** Once this is on the disk, the file before is used; until then the next start does all of it again. */
async function takeBack(input: ConfigInput, record: ProvisionedRecord, deps: Deps): Promise<void> {
  const { current, history, incidents, provisioned, takenBack } = configPaths(input.dataDir);
  const wanted = record.adoptedFrom ?? null;
  if (wanted !== null && contentHash(readOrNull(current)) !== wanted) {
    const version = (await listVersions(history)).find(({ hash }) => hash === wanted);
    if (version !== undefined) await deps.files.write(current, version.bytes);
  }
  await writeIncidents(deps.files, incidents, {
    ...readIncidents(incidents),
    rolledBack: {
      atMs: deps.clock.nowMs(),
      reason: reasonFor(record),
      rejectedFile: operatorPath(input),
    },
  });
  const told = `taken back, the configuration before is in force: ${reasonFor(record)}\n`;
  await deps.files.write(takenBack, told);
  await writeRecord(deps.files, provisioned, { ...record, isTakenBack: true });
}

function reasonFor({ failures, reasons }: ProvisionedRecord): string {
  const known = [...new Set(reasons)].join("; ");
  const why = known === "" ? "the process ended before it was confirmed" : known;
  return `${failures} starts with the file from the boot partition failed: ${why}`;
}

function operatorPath({ configFile }: ConfigInput): string {
  return resolve(configFile ?? DEFAULT_CONFIG_FILE);
}

function fileBefore({ dataDir }: ConfigInput): string {
  const { operatorBefore } = configPaths(dataDir);
  return readOrNull(operatorBefore) === null ? "/dev/null" : operatorBefore;
}

function readRecord(path: string): ProvisionedRecord | null {
  const value = readJson(path);
  if (!isObject(value)) return null;
  const { operator, adoptedFrom, isAdopted, failures, reasons, isTakenBack } = value;
  if (typeof operator !== "string" || typeof failures !== "number") return null;
  return {
    operator,
    ...(typeof adoptedFrom === "string" || adoptedFrom === null ? { adoptedFrom } : {}),
    isAdopted: isAdopted === true,
    failures,
    reasons: Array.isArray(reasons) ? reasons.filter((text) => typeof text === "string") : [],
    isTakenBack: isTakenBack === true,
  };
}

function writeRecord(files: DurableFiles, path: string, record: ProvisionedRecord): Promise<void> {
  return files.write(path, `${JSON.stringify(record, null, 2)}\n`);
}

function readOrNull(path: string): Buffer | null {
  try {
    return readConfigFile(path);
  } catch {
    return null;
  }
}
