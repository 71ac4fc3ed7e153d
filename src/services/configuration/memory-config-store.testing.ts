import { createHash } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { completeTree, treeFaults } from "../../config/collections.ts";
import { faultError } from "../../config/config-errors.ts";
import { type Config, SCHEMA } from "../../config/index.ts";
import { resolvePatch } from "../../config/patch.ts";
import type { ConfigPatch, ConfigStatus, ConfigStore } from "./config-store.ts";

type Tree = Readonly<Record<string, unknown>>;

/** A whole configuration: the defaults with `patch` merged in. */
export function configWith(patch: ConfigPatch = {}): Config {
  return completeTree(SCHEMA, patch) as Config;
}

/** A ConfigStore that keeps everything but PEM files in memory, and passwords in clear. */
export class MemoryConfigStore implements ConfigStore {
  statusNow: ConfigStatus = {
    restartPending: false,
    onTrial: false,
    confirmS: null,
    rolledBack: null,
  };
  readonly pemPaths: string[] = [];
  writes = 0;
  /** Called after each change with what is stored. */
  onChanged: (config: Config) => void = () => {};
  #stored: Config;
  readonly #directory: string;

  constructor(config: Config, directory = "/nonexistent") {
    this.#stored = config;
    this.#directory = directory;
  }

  stored(): Config {
    return this.#stored;
  }

  get running(): Config {
    return this.#stored;
  }

  async change(
    patch: ConfigPatch,
    check: (next: Config, previous: Config) => Promise<void>,
  ): Promise<readonly string[]> {
    const { bridges, ...others } = resolvePatch(patch, this.#stored);
    const given = bridges === undefined ? others : { ...others, bridges };
    const fault = treeFaults(SCHEMA, given)[0];
    if (fault !== undefined) throw faultError(fault, "the change");
    const merged = merge(this.#stored, others);
    const whole = bridges === undefined ? merged : { ...merged, bridges };
    const next = completeTree(SCHEMA, whole) as Config;
    const changed = changedKeys(this.#stored, next, "");
    if (changed.length === 0) return [];
    await check(next, this.#stored);
    this.#stored = next;
    this.writes += 1;
    this.onChanged(next);
    return changed;
  }

  adopt(
    patch: ConfigPatch,
    check: (next: Config, previous: Config) => Promise<void>,
  ): Promise<readonly string[]> {
    return this.change(patch, check);
  }

  async confirm(): Promise<void> {
    this.statusNow = { ...this.statusNow, onTrial: false, confirmS: null };
  }

  async putPem(kind: string, pem: string): Promise<string> {
    const hash = createHash("sha256").update(pem).digest("hex").slice(0, 16);
    const path = join(this.#directory, `${kind}-${hash}.pem`);
    await writeFile(path, pem, { mode: 0o600 });
    this.pemPaths.push(path);
    return path;
  }

  status(): ConfigStatus {
    return this.statusNow;
  }
}

function merge(base: Tree, patch: Tree): Tree {
  const merged = new Map(Object.entries(base));
  for (const [name, value] of Object.entries(patch)) {
    const was = merged.get(name);
    merged.set(name, isTree(value) && isTree(was) ? merge(was, value) : value);
  }
  return Object.fromEntries(merged);
}

function changedKeys(before: unknown, after: unknown, prefix: string): string[] {
  if (isTree(before) && isTree(after)) {
    const names = new Set([...Object.keys(before), ...Object.keys(after)]);
    return [...names].flatMap((name) =>
      changedKeys(before[name], after[name], prefix === "" ? name : `${prefix}.${name}`),
    );
  }
  return isDeepStrictEqual(before, after) ? [] : [prefix];
}

function isTree(value: unknown): value is Tree {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
