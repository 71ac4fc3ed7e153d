import type { HoconInclude } from "../hocon/index.ts";
import { readBridges } from "./bridges.ts";
import { readListeners } from "./listeners.ts";
import type { Target } from "./read.ts";
import { readSettings } from "./settings.ts";
import { type ConfFile, readSource } from "./source.ts";

/** What NanoMQ's configuration is here. */
export interface Imported {
  /** Canonical keys as a tree, for an operator's file; only what the files say. */
  readonly values: Readonly<Record<string, unknown>>;
  /** What a person should know: values that are not understood, and what is different here. */
  readonly notes: readonly string[];
  /** Keys that have no equal here, by their names in the files. */
  readonly left: readonly string[];
}

/**
 * Reads configuration files of NanoMQ, of any of its generations: `key=value` with one bridge (up to
 * 0.8) or several (0.9, `--old_conf`), HOCON with a list of bridges (0.14) or by name (0.19 and later).
 *
 * @param include reads what `include "file"` names
 * @throws HoconError naming file and line
 */
export function importNanomq(files: readonly ConfFile[], include: HoconInclude): Imported {
  const source = readSource(files, include);
  const values: Target = {};
  readListeners(source, values);
  readBridges(source, values);
  readSettings(source, values);
  return { values, notes: source.notes, left: source.left() };
}
