import { isDeepStrictEqual } from "node:util";
import { GatewayError } from "../errors/index.ts";
import { isSecret, treeFaults } from "./collections.ts";
import { faultErrors, throwFirst } from "./config-errors.ts";
import { MASK, shown, type Values } from "./format.ts";
import { KEYS, type KeyEntry } from "./keys.ts";
import { type Layers, mergeLayers } from "./layers.ts";
import { parseCurrent } from "./load.ts";
import { type ConfigPatch, resolvePatch } from "./patch.ts";
import { type Config, SCHEMA } from "./schema.ts";
import { hashed, type SecretHashing } from "./secrets.ts";
import { changedKeys, difference, valueAt, withValues } from "./tree.ts";
import { formatYaml } from "./yaml-text.ts";

const HEADER = `Written by Tidegate: what its API has changed. Everything else comes from the
operator's file. Edit that one; this one is replaced by the next change.`;

/** A change that is valid, worked out to the bytes of the new `current.yaml`. */
export interface Plan {
  readonly bytes: Buffer;
  readonly layers: Layers;
  /** What a start with those bytes reads. */
  readonly next: Config;
  /** What differs, of maps the members. */
  readonly changed: readonly string[];
  /** The keys that differ. */
  readonly entries: readonly KeyEntry[];
}

/**
 * Works out what `patch` makes of `stored`; null when nothing would differ.
 * @throws GatewayError CONFIG_KEY_UNKNOWN, CONFIG_VALUE_INVALID; CONFIG_CHECK_FAILED for a key that
 * the environment or the command line sets, because the change would have no effect; CONFIG_SYNTAX
 * when the file would grow over its limit.
 */
export async function planChange(
  layers: Layers,
  stored: Config,
  patch: ConfigPatch,
  { hashing, path }: { hashing: SecretHashing; path: string },
): Promise<Plan | null> {
  const given = resolvePatch(patch, stored);
  throwFirst(faultErrors(treeFaults(SCHEMA, given), "the change"));

  const changes = new Map<string, unknown>();
  for (const entry of KEYS) {
    const value = valueAt(given, entry.key);
    if (value === undefined) continue;
    const was = valueAt(stored, entry.key);
    // Compared before hashing too: the operator's file may hold clear text, which may stay there.
    if (isDeepStrictEqual(was, entry.row.format.complete(value))) continue;
    const is = entry.row.format.complete(await hashed(entry.row, value, was, hashing));
    if (isDeepStrictEqual(was, is)) continue;
    refuseOverridden(entry, value, layers);
    changes.set(entry.key, is);
  }
  if (changes.size === 0) return null;

  const current = difference(
    filesOnly({ ...layers, current: {} }),
    withValues(filesOnly(layers), changes),
  );
  const bytes = Buffer.from(formatYaml(current, HEADER));
  // Reading the new bytes back makes sure that they are what the next start will understand.
  const nextLayers = { ...layers, current: parseCurrent(bytes, path) };
  const next = mergeLayers(nextLayers);
  return {
    bytes,
    layers: nextLayers,
    next,
    changed: changedKeys(stored, next),
    entries: differingEntries(stored, next),
  };
}

/** The keys at which two configurations differ. */
export function differingEntries(left: Config, right: Config): KeyEntry[] {
  return KEYS.filter(({ key }) => !isDeepStrictEqual(valueAt(left, key), valueAt(right, key)));
}

function refuseOverridden({ key, row, variable }: KeyEntry, value: unknown, layers: Layers): void {
  const setter = layers.options.has(key)
    ? `the command line option --${key}`
    : layers.variables.has(variable)
      ? `the environment variable ${variable}`
      : null;
  if (setter === null) return;
  throw new GatewayError("CONFIG_CHECK_FAILED", {
    key,
    value: isSecret(row) ? MASK : shown(value),
    reason: `${setter} sets this key and would win over the change`,
  });
}

function filesOnly(layers: Layers): Values {
  return mergeLayers({ ...layers, variables: new Map(), options: new Map() });
}
