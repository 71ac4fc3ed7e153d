import { GatewayError } from "../errors/index.ts";
import type { Log } from "../log/index.ts";
import { type ConfigPaths, configPaths, readConfigFile } from "./config-files.ts";
import { type DurableFiles, diskFiles } from "./durable-files.ts";
import { contentHash, keepVersion, listVersions, pruneVersions } from "./history.ts";
import { type Incident, type Incidents, readIncidents } from "./incidents.ts";
import { type Layers, mergeLayers } from "./layers.ts";
import { type LoadedConfig, parseCurrent } from "./load.ts";
import type { ConfigPatch } from "./patch.ts";
import { type PemKind, prunePem, writePem } from "./pem-files.ts";
import { differingEntries, type Plan, planChange } from "./plan-change.ts";
import type { Config } from "./schema.ts";
import type { SecretHashing } from "./secrets.ts";
import { withKeysOf } from "./tree.ts";
import { readTrial, type Trial, writeTrial } from "./trial.ts";

/** What a `ConfigStore` needs from the other parts. */
export interface ConfigStoreDeps extends SecretHashing {
  readonly log: Log;
  readonly files?: DurableFiles;
}

/** How the configuration stands. */
export interface ConfigStatus {
  /** A stored change waits for the next start. */
  readonly restartPending: boolean;
  /** This process runs a changed configuration that `confirm` has not been called for. */
  readonly onTrial: boolean;
  /** Seconds in which somebody must confirm what is on trial; null = staying up does. */
  readonly confirmS: number | null;
  /** Set from the return to an earlier configuration until the next change. */
  readonly rolledBack: Incident | null;
  /** Set from the replacement of a damaged file until the next change. */
  readonly setAside: Incident | null;
}

/** Cross-checks that need more than the configuration (ports, files); throws what is wrong. */
export type ConfigCheck = (next: Config, previous: Config) => Promise<void>;

export interface ChangeOptions {
  /**
   * The change comes back by itself unless `confirm` is called within this many seconds of the
   * start that applies it; it is on trial then whatever it changes. Default: staying up is enough.
   */
  readonly confirmS?: number | undefined;
}

/** Hears of a change; must not throw. */
export type ConfigListener = (running: Config, changed: readonly string[]) => void;

/** The configuration of the process, and the only writer of `<data>/config`. */
export interface ConfigStore {
  /** What runs now, deep-frozen; replaced by a new object when keys that apply at once change. */
  readonly running: Config;
  /** What the next start would use, deep-frozen. */
  stored(): Config;
  /**
   * Validates `patch`, runs `check`, writes, and returns the keys that differ now (of maps the
   * members, `bridges.cloud`); an empty list means that nothing differed and nothing was written.
   * Keys marked `live` are in `running` afterwards, the others wait for the restart, after which the
   * change is on trial. Changes run one after the other.
   * @throws GatewayError CONFIG_KEY_UNKNOWN, CONFIG_VALUE_INVALID, CONFIG_CHECK_FAILED (also for a key
   * that the environment or the command line sets), whatever `check` throws, CONFIG_WRITE_FAILED.
   * Nothing is changed then.
   */
  change(
    patch: ConfigPatch,
    check: ConfigCheck,
    options?: ChangeOptions,
  ): Promise<readonly string[]>;
  /**
   * Stores what the gateway decides itself, such as the administrator's first password, or what
   * `check` has put into effect already: as `change`, but running at once and not on trial.
   */
  adopt(patch: ConfigPatch, check?: ConfigCheck): Promise<readonly string[]>;
  /**
   * Keeps PEM text in a file of mode 0600 and returns its path, to be put into a change. The file
   * goes when neither the configuration nor its history names it any more.
   * @throws GatewayError CONFIG_CHECK_FAILED for what is not PEM or over 256 KiB, CONFIG_WRITE_FAILED.
   */
  putPem(kind: PemKind, pem: string): Promise<string>;
  /**
   * Calls `listener` after each change with what runs then and the keys that differ in it, before
   * the change resolves. Returns what ends that.
   */
  onChange(listener: ConfigListener): () => void;
  /** The changed configuration has proved itself: it stayed up, or somebody said so. */
  confirm(): Promise<void>;
  /** The next start brings the configuration before the one on trial back, for this reason. */
  giveUp(reason: string): Promise<void>;
  status(): ConfigStatus;
  /** Finishes the changes under way; an orderly stop before `confirm` is no failed start. Safe to call twice. */
  stop(): Promise<void>;
}

const noCheck: ConfigCheck = async () => {};

/** Changes that may wait for the one under way. */
const MAX_WAITING = 64;

/** PEM files that were put and not named by a change yet, which stay until they are. */
const MAX_FRESH_PEM = 64;

/** The store for a configuration that `loadConfig` returned. Nothing is written before the first change. */
export function openConfigStore(loaded: LoadedConfig, deps: ConfigStoreDeps): ConfigStore {
  return new DirectoryConfigStore(loaded, deps);
}

class DirectoryConfigStore implements ConfigStore {
  readonly #deps: ConfigStoreDeps;
  readonly #files: DurableFiles;
  readonly #paths: ConfigPaths;
  readonly #freshPem = new Set<string>();
  readonly #listeners = new Set<ConfigListener>();
  #running: Config;
  #stored: Config;
  #layers: Layers;
  /** The content of `current.yaml`, and the last one that this process runs as it is. */
  #bytes: Buffer | null;
  #runningHash: string | null;
  #restartPending = false;
  #onTrial: boolean;
  #confirmS: number | null;
  #incidents: Incidents;
  #tail: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  constructor(loaded: LoadedConfig, deps: ConfigStoreDeps) {
    this.#deps = deps;
    this.#files = deps.files ?? diskFiles;
    this.#paths = configPaths(loaded.dataDir);
    this.#running = loaded.config;
    this.#stored = loaded.config;
    this.#layers = loaded.layers;
    this.#bytes = loaded.currentBytes;
    this.#runningHash = contentHash(loaded.currentBytes);
    const trial = readTrial(this.#paths.trial);
    this.#onTrial =
      this.#runningHash !== null && trial?.onTrial.includes(this.#runningHash) === true;
    this.#confirmS = this.#onTrial ? (trial?.confirmS ?? null) : null;
    this.#incidents = readIncidents(this.#paths.incidents);
  }

  get running(): Config {
    return this.#running;
  }

  stored(): Config {
    return this.#stored;
  }

  status(): ConfigStatus {
    return {
      restartPending: this.#restartPending,
      onTrial: this.#onTrial,
      confirmS: this.#confirmS,
      ...this.#incidents,
    };
  }

  change(
    patch: ConfigPatch,
    check: ConfigCheck,
    options: ChangeOptions = {},
  ): Promise<readonly string[]> {
    return this.#inTurn(() => this.#change(patch, check, options));
  }

  adopt(patch: ConfigPatch, check: ConfigCheck = noCheck): Promise<readonly string[]> {
    return this.#inTurn(() => this.#change(patch, check, "adopted"));
  }

  onChange(listener: ConfigListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  putPem(kind: PemKind, pem: string): Promise<string> {
    return this.#inTurn(async () => {
      const path = await writePem(this.#files, this.#paths.pem, kind, pem);
      this.#freshPem.delete(path);
      this.#freshPem.add(path);
      const [oldest] = this.#freshPem;
      if (this.#freshPem.size > MAX_FRESH_PEM && oldest !== undefined) {
        this.#freshPem.delete(oldest);
      }
      return path;
    });
  }

  confirm(): Promise<void> {
    return this.#inTurn(async () => {
      const trial = readTrial(this.#paths.trial);
      if (trial !== null && this.#onTrial) {
        if (this.#restartPending) {
          // A further change waits: what runs now is what it would return to.
          const onTrial = trial.onTrial.filter((hash) => hash !== this.#runningHash);
          await writeTrial(this.#files, this.#paths.trial, {
            ...trial,
            previous: this.#runningHash,
            onTrial,
          });
        } else {
          await this.#files.remove(this.#paths.trial);
        }
      }
      this.#onTrial = false;
      this.#confirmS = null;
    });
  }

  giveUp(reason: string): Promise<void> {
    return this.#inTurn(async () => {
      const trial = readTrial(this.#paths.trial);
      if (trial === null || !this.#onTrial) return;
      await writeTrial(this.#files, this.#paths.trial, {
        ...trial,
        isStarting: false,
        verdict: reason,
      });
    });
  }

  async stop(): Promise<void> {
    await this.#inTurn(async () => {
      const trial = readTrial(this.#paths.trial);
      if (!this.#onTrial || trial?.isStarting !== true) return;
      await writeTrial(this.#files, this.#paths.trial, { ...trial, isStarting: false });
    });
  }

  async #change(
    patch: ConfigPatch,
    check: ConfigCheck,
    options: ChangeOptions | "adopted",
  ): Promise<readonly string[]> {
    this.#takeOver();
    const plan = await planChange(this.#layers, this.#stored, patch, {
      hashing: this.#deps,
      path: this.#paths.current,
    });
    if (plan === null) return [];
    await check(plan.next, this.#stored);
    const isAdopted = options === "adopted";
    const confirmS = isAdopted ? null : (options.confirmS ?? null);
    const needsTrial =
      confirmS !== null || (!isAdopted && plan.entries.some(({ row }) => row.reload === "restart"));
    await this.#write(plan.bytes, needsTrial, confirmS);

    const applied = plan.entries.filter(({ row }) => isAdopted || row.reload === "live");
    if (applied.length > 0) this.#running = withKeysOf(plan.next, applied, this.#running);
    this.#store(plan.bytes, plan.layers, plan.next);
    this.#incidents = { rolledBack: null, setAside: null };
    await this.#tidy(plan);
    for (const listener of this.#listeners) listener(this.#running, plan.changed);
    return plan.changed;
  }

  /** Another process, such as `tidegate reset-admin`, may have changed the file. */
  #takeOver(): void {
    const bytes = readConfigFile(this.#paths.current);
    if (contentHash(bytes) === contentHash(this.#bytes)) return;
    const layers = { ...this.#layers, current: parseCurrent(bytes, this.#paths.current) };
    this.#store(bytes, layers, mergeLayers(layers));
  }

  #store(bytes: Buffer | null, layers: Layers, config: Config): void {
    this.#bytes = bytes;
    this.#layers = layers;
    this.#stored = config;
    this.#restartPending = differingEntries(this.#running, config).length > 0;
    if (!this.#restartPending) this.#runningHash = contentHash(bytes);
  }

  /** Everything the record promises is on the disk before `current.yaml` changes, in one step. */
  async #write(bytes: Buffer, needsTrial: boolean, confirmS: number | null): Promise<void> {
    const { current, history, trial: path } = this.#paths;
    await this.#files.makeDirectory(this.#paths.directory);
    if (this.#bytes !== null) await keepVersion(this.#files, history, this.#bytes);
    const before = readTrial(path);
    const after = this.#nextTrial(before, contentHash(bytes), needsTrial, confirmS);
    if (after !== null) await writeTrial(this.#files, path, after);
    try {
      await this.#files.write(current, bytes);
    } catch (err) {
      await this.#undo(before);
      throw err;
    }
  }

  #nextTrial(
    before: Trial | null,
    hash: string,
    needsTrial: boolean,
    confirmS: number | null,
  ): Trial | null {
    if (before === null && !needsTrial) return null;
    const replaced = contentHash(this.#bytes);
    const isReplacedOnTrial = replaced !== null && before?.onTrial.includes(replaced) === true;
    return {
      // A record whose file is gone says nothing about this one.
      previous: before !== null && isReplacedOnTrial ? before.previous : replaced,
      onTrial: isReplacedOnTrial ? [hash, replaced] : [hash],
      failures: needsTrial ? 0 : (before?.failures ?? 0),
      isStarting: !needsTrial && before?.isStarting === true,
      reasons: needsTrial ? [] : (before?.reasons ?? []),
      // Whoever makes another change without asking for it has reached the gateway.
      confirmS: needsTrial ? confirmS : (before?.confirmS ?? null),
      verdict: null,
    };
  }

  /** Best effort: the disk has just refused, and the record is right for either content. */
  async #undo(trial: Trial | null): Promise<void> {
    const { current, trial: path } = this.#paths;
    try {
      const bytes = this.#bytes;
      if (contentHash(readConfigFile(current)) !== contentHash(bytes)) {
        await (bytes === null ? this.#files.remove(current) : this.#files.write(current, bytes));
      }
      await (trial === null ? this.#files.remove(path) : writeTrial(this.#files, path, trial));
    } catch (err) {
      this.#deps.log.error({ err }, "a refused configuration change could not be taken back");
    }
  }

  /** The change is made; what fails here costs history or space, and the next change tries again. */
  async #tidy(plan: Plan): Promise<void> {
    const { directory, history, pem, trial: path } = this.#paths;
    try {
      const trial = readTrial(path);
      if (trial?.previous === contentHash(plan.bytes)) await this.#files.remove(path);
      await this.#files.remove(this.#paths.incidents);
      await keepVersion(this.#files, history, plan.bytes);
      await pruneVersions(this.#files, history, trial?.previous ?? null);
      const texts = [
        JSON.stringify([this.#stored, this.#running]),
        ...(await listVersions(history)).map(({ bytes }) => bytes.toString()),
      ];
      for (const fresh of this.#freshPem) {
        if (texts[0]?.includes(fresh)) this.#freshPem.delete(fresh);
      }
      await prunePem(this.#files, pem, [...texts, ...this.#freshPem]);
    } catch (err) {
      this.#deps.log.warn({ err, path: directory }, "the configuration history is not up to date");
    }
  }

  #inTurn<T>(task: () => Promise<T>): Promise<T> {
    if (this.#waiting >= MAX_WAITING) {
      const reason = `${MAX_WAITING} changes are waiting already`;
      const details = { path: this.#paths.current, reason };
      return Promise.reject(new GatewayError("CONFIG_WRITE_FAILED", details));
    }
    this.#waiting += 1;
    const turn = this.#tail.then(task).finally(() => {
      this.#waiting -= 1;
    });
    this.#tail = turn.catch(() => {});
    return turn;
  }
}
