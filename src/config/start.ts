import { stat } from "node:fs/promises";
import { join } from "node:path";
import { EXIT_CODE, type ExitCode, isGatewayError, reasonOf } from "../errors/index.ts";
import { type Clock, systemClock } from "../time/index.ts";
import { type ConfigPaths, configPaths, readConfigFile } from "./config-files.ts";
import { type DurableFiles, diskFiles, namesIn, removeUnfinished } from "./durable-files.ts";
import { contentHash, forgetVersion, listVersions } from "./history.ts";
import { type Incident, type Incidents, readIncidents, writeIncidents } from "./incidents.ts";
import { type ConfigInput, loadWith } from "./load.ts";
import { readTrial, type Trial, writeTrial } from "./trial.ts";

/** Failed starts of a changed configuration after which the one before it comes back. */
const MAX_FAILURES = 2;

/** Files put aside that are kept, of each kind. */
const MAX_ASIDE = 5;

/** What `beginStart` found and did. */
export interface StartReport {
  /** The how manieth start of a changed configuration this is, from 1; 0 when none is on trial. */
  readonly trialStart: number;
  /** The configuration before the change was restored in this very start. */
  readonly rolledBack: Incident | null;
  /** A damaged `current.yaml` was replaced in this very start. */
  readonly setAside: Incident | null;
  /** What could not be written, full disk or the like; the start goes on without it. */
  readonly problem: string | null;
}

interface StartDeps {
  readonly clock: Clock;
  readonly files: DurableFiles;
}

/**
 * To be called first in every start of the service. Notes the start of a changed configuration, or
 * restores the one before it after two starts that failed: with `failStart`, or because the process
 * came neither to `ConfigStore.confirm` nor to `ConfigStore.stop`, or at once after
 * `ConfigStore.giveUp`. Replaces a damaged `current.yaml` by the newest
 * version in the history that is valid together with the other layers, else by none. What it takes
 * out of use is kept as `rejected-….yaml` or `damaged-….yaml`. Never throws for what it finds.
 */
export async function beginStart(
  input: ConfigInput,
  deps: StartDeps = { clock: systemClock, files: diskFiles },
): Promise<StartReport> {
  const start = new Start(input, deps);
  try {
    return await start.begin();
  } catch (err) {
    // The trial goes uncounted then, but a gateway that runs is worth more than the count.
    return { ...start.report, problem: reasonOf(err) };
  }
}

/**
 * To be called when a start fails, or a process that is not confirmed yet, with what was thrown.
 * Returns the exit code: 75 while a changed configuration is on trial (the failure is recorded with
 * its reason, and the start after the second brings the old configuration back), else 78 for an
 * unusable configuration and 70 for everything else.
 */
export async function failStart(
  dataDir: string,
  err: unknown,
  files: DurableFiles = diskFiles,
): Promise<ExitCode> {
  const paths = configPaths(dataDir);
  const trial = readTrial(paths.trial);
  if (trial?.onTrial.includes(contentHash(readOrNull(paths.current)) ?? "")) {
    const reasons = [...trial.reasons, reasonOf(err)];
    const failures = trial.failures + 1;
    try {
      await writeTrial(files, paths.trial, { ...trial, failures, isStarting: false, reasons });
    } catch {
      // Unless the store was stopped before, the next start finds this one under way and counts it.
    }
    return EXIT_CODE.restart;
  }
  return isConfigUnusable(err) ? EXIT_CODE.configUnusable : EXIT_CODE.internalError;
}

class Start {
  readonly #input: ConfigInput;
  readonly #deps: StartDeps;
  readonly #paths: ConfigPaths;
  report: StartReport = { trialStart: 0, rolledBack: null, setAside: null, problem: null };

  constructor(input: ConfigInput, deps: StartDeps) {
    this.#input = input;
    this.#deps = deps;
    this.#paths = configPaths(input.dataDir);
  }

  async begin(): Promise<StartReport> {
    const { files } = this.#deps;
    await files.makeDirectory(this.#paths.directory);
    for (const directory of [this.#paths.directory, this.#paths.history, this.#paths.pem]) {
      await removeUnfinished(files, directory);
    }
    const trial = readTrial(this.#paths.trial);
    const bytes = readOrNull(this.#paths.current);
    const hash = contentHash(bytes);
    if (trial !== null && hash !== null && trial.onTrial.includes(hash)) {
      const failures = trial.failures + (trial.isStarting ? 1 : 0);
      if (trial.verdict !== null || failures >= MAX_FAILURES)
        await this.#rollBack({ ...trial, failures }, hash);
      else await this.#try({ ...trial, failures });
      return this.report;
    }
    const fault = this.#faultOfCurrent();
    if (fault !== null) await this.#replaceDamaged(fault, trial?.previous ?? null);
    // The change never reached the file, or somebody has replaced the file since.
    if (trial !== null) await files.remove(this.#paths.trial);
    return this.report;
  }

  async #try(trial: Trial): Promise<void> {
    this.report = { ...this.report, trialStart: trial.failures + 1 };
    await writeTrial(this.#deps.files, this.#paths.trial, { ...trial, isStarting: true });
  }

  async #rollBack(trial: Trial, rejected: string): Promise<void> {
    const incident = this.#incident(whyGivenUp(trial), "rejected", rejected);
    this.report = { ...this.report, rolledBack: incident };
    const incidents = { ...readIncidents(this.#paths.incidents), rolledBack: incident };
    await this.#replaceCurrent(incidents, incident.rejectedFile, {
      wanted: trial.previous,
      unwanted: rejected,
    });
    await this.#deps.files.remove(this.#paths.trial);
    await this.#pruneAside("rejected-");
  }

  async #replaceDamaged(fault: string, wanted: string | null): Promise<void> {
    const bytes = readOrNull(this.#paths.current);
    const damaged = contentHash(bytes ?? Buffer.alloc(0));
    const incident = this.#incident(fault, "damaged", damaged);
    this.report = { ...this.report, setAside: incident };
    const incidents = { ...readIncidents(this.#paths.incidents), setAside: incident };
    const newest = (await this.#usableVersions(damaged))[0]?.hash ?? null;
    await this.#replaceCurrent(incidents, incident.rejectedFile, {
      wanted: wanted ?? newest,
      unwanted: damaged,
    });
    await this.#pruneAside("damaged-");
  }

  /**
   * Puts the version with the hash `wanted` (null = no file) in the place of `current.yaml`, which
   * is kept as `aside`. `current.yaml` is replaced in one step, and until the trial's record is gone
   * the next start does all of this again, so a power cut in between does no harm.
   */
  async #replaceCurrent(
    incidents: Incidents,
    aside: string,
    { wanted, unwanted }: { wanted: string | null; unwanted: string },
  ): Promise<void> {
    const { files } = this.#deps;
    const { current, history } = this.#paths;
    await this.#attempt(writeIncidents(files, this.#paths.incidents, incidents));
    await this.#attempt(files.keep(current, aside));
    await this.#attempt(forgetVersion(files, history, unwanted));
    const versions = await this.#usableVersions(unwanted);
    const version = versions.find(({ hash }) => hash === wanted) ?? versions[0];
    if (wanted === null || version === undefined) {
      await files.remove(current);
      return;
    }
    try {
      await files.write(current, version.bytes);
    } catch {
      // A full disk has room for a name.
      await files.rename(version.path, current);
    }
  }

  /** Versions that are valid together with the other layers, newest first. */
  async #usableVersions(unwanted: string) {
    const versions = await listVersions(this.#paths.history);
    return versions.filter(
      ({ hash, bytes }) => hash !== unwanted && faultOf(this.#input, bytes) === null,
    );
  }

  /** What makes `current.yaml` unusable; null when it is usable, or when another layer is to blame. */
  #faultOfCurrent(): string | null {
    let bytes: Buffer | null;
    try {
      bytes = readConfigFile(this.#paths.current);
    } catch (err) {
      return reasonOf(err);
    }
    return bytes === null ? null : faultOf(this.#input, bytes);
  }

  #incident(reason: string, kind: "rejected" | "damaged", hash: string): Incident {
    const rejectedFile = join(this.#paths.directory, `${kind}-${hash.slice(0, 12)}.yaml`);
    return { atMs: this.#deps.clock.nowMs(), reason, rejectedFile };
  }

  async #pruneAside(prefix: string): Promise<void> {
    const { directory } = this.#paths;
    const names = (await namesIn(directory)).filter((name) => name.startsWith(prefix));
    const dated = await Promise.all(
      names.map(async (name) => ({ name, atMs: (await stat(join(directory, name))).ctimeMs })),
    );
    const surplus = dated.sort((left, right) => right.atMs - left.atMs).slice(MAX_ASIDE);
    for (const { name } of surplus) await this.#deps.files.remove(join(directory, name));
  }

  /** For what is worth doing, but not worth giving up the return for. */
  async #attempt(work: Promise<void>): Promise<void> {
    try {
      await work;
    } catch (err) {
      this.report = { ...this.report, problem: reasonOf(err) };
    }
  }
}

function faultOf(input: ConfigInput, bytes: Buffer): string | null {
  try {
    loadWith(input, bytes);
    return null;
  } catch (err) {
    try {
      loadWith(input, null);
    } catch {
      return null;
    }
    return reasonOf(err);
  }
}

function whyGivenUp({ verdict, reasons, failures }: Trial): string {
  if (verdict !== null) return verdict;
  const known = [...new Set(reasons)].join("; ");
  const why = known === "" ? "the process ended before it was confirmed" : known;
  return `${failures} starts with the changed configuration failed: ${why}`;
}

function readOrNull(path: string): Buffer | null {
  try {
    return readConfigFile(path);
  } catch {
    return null;
  }
}

function isConfigUnusable(err: unknown): boolean {
  return (
    isGatewayError(err, "CONFIG_FILE_UNREADABLE") ||
    isGatewayError(err, "CONFIG_KEY_UNKNOWN") ||
    isGatewayError(err, "CONFIG_SYNTAX") ||
    isGatewayError(err, "CONFIG_VALUE_INVALID") ||
    isGatewayError(err, "CONFIG_CHECK_FAILED") ||
    isGatewayError(err, "COMMAND_LINE_INVALID")
  );
}
