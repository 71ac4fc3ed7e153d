import { isKeyRow, type KeyRow, type SchemaTree } from "./format.ts";
import { SCHEMA } from "./schema.ts";

/** One key of the configuration with everything that is derived from its path. */
export interface KeyEntry {
  /** Path with dots: `listeners.tcp.port`. */
  readonly key: string;
  readonly path: readonly string[];
  readonly row: KeyRow<unknown>;
  /** Environment variable: `TIDEGATE_LISTENERS_TCP_PORT`. */
  readonly variable: string;
}

/** What the names of all our environment variables start with. */
export const VARIABLE_PREFIX = "TIDEGATE_";

/** Every key of a schema, in its order. */
export function keyEntries(schema: SchemaTree, path: readonly string[] = []): KeyEntry[] {
  return Object.entries(schema).flatMap(([name, node]): KeyEntry[] => {
    const here = [...path, name];
    if (!isKeyRow(node)) return keyEntries(node, here);
    const variable = `${VARIABLE_PREFIX}${here.join("_").toUpperCase()}`;
    return [{ key: here.join("."), path: here, row: node, variable }];
  });
}

/** Every key of the configuration. */
export const KEYS: readonly KeyEntry[] = keyEntries(SCHEMA);

/** The same keys by path. */
export const KEY_BY_PATH: ReadonlyMap<string, KeyEntry> = new Map(
  KEYS.map((entry) => [entry.key, entry]),
);

/** The same keys by environment variable. */
export const KEY_BY_VARIABLE: ReadonlyMap<string, KeyEntry> = new Map(
  KEYS.map((entry) => [entry.variable, entry]),
);

const MAX_COMPARED_CHARACTERS = 80;

/** The candidate with the fewest letters changed; null when none is near enough to be meant. */
export function nearest(name: string, candidates: Iterable<string>): string | null {
  if (name.length > MAX_COMPARED_CHARACTERS) return null;
  const wanted = name.toLowerCase();
  let best: string | null = null;
  let bestDistance = Math.max(2, Math.floor(name.length / 3)) + 1;
  for (const candidate of candidates) {
    const distance = editDistance(wanted, candidate.toLowerCase());
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** Levenshtein distance, one row of the table at a time. */
function editDistance(left: string, right: string): number {
  let row = Array.from({ length: right.length + 1 }, (_, column) => column);
  for (const [index, letter] of [...left].entries()) {
    const next = [index + 1];
    for (const [column, other] of [...right].entries()) {
      const replaced = (row[column] ?? 0) + (letter === other ? 0 : 1);
      next.push(Math.min(replaced, (row[column + 1] ?? 0) + 1, (next[column] ?? 0) + 1));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}
