import { isDeepStrictEqual } from "node:util";
import { type Format, isKeyRow, isObject, type SchemaTree, type Values } from "./format.ts";
import { KEYS, type KeyEntry } from "./keys.ts";
import type { Config } from "./schema.ts";

/** The value of `key` in a tree of values, undefined where it is not given. */
export function valueAt(values: Values, key: string): unknown {
  let here: unknown = values;
  for (const name of key.split(".")) {
    if (!isObject(here) || !Object.hasOwn(here, name)) return undefined;
    here = here[name];
  }
  return here;
}

/** A copy of `values` with other values at some keys. */
export function withValues(
  values: Values,
  changes: ReadonlyMap<string, unknown>,
  prefix = "",
): Record<string, unknown> {
  const names = new Set(Object.keys(values));
  for (const key of changes.keys()) {
    if (key.startsWith(prefix)) names.add(key.slice(prefix.length).split(".", 1)[0] ?? "");
  }
  return Object.fromEntries(
    [...names].map((name) => {
      const key = `${prefix}${name}`;
      if (changes.has(key)) return [name, changes.get(key)];
      const value = Object.hasOwn(values, name) ? values[name] : undefined;
      const isGroup = [...changes.keys()].some((changed) => changed.startsWith(`${key}.`));
      return [name, isGroup ? withValues(isObject(value) ? value : {}, changes, `${key}.`) : value];
    }),
  );
}

/** `config` with the values that `source` has at some keys, deep-frozen. */
export function withKeysOf(source: Config, entries: readonly KeyEntry[], config: Config): Config {
  const values = new Map(entries.map(({ key }) => [key, valueAt(source, key)]));
  // Each value is the one another configuration has at the same key, so the type stays.
  return deepFreeze(withValues(config, values)) as Config;
}

/**
 * What a layer over `base` has to hold so that the two make `wanted`: the keys that differ, of a map
 * the members that differ (null = taken away), each without the members that are at their default.
 */
export function difference(base: Values, wanted: Values): Values {
  const changes = new Map<string, unknown>();
  for (const { key, row } of KEYS) {
    const was = valueAt(base, key);
    const is = valueAt(wanted, key);
    if (isDeepStrictEqual(was, is)) continue;
    const { shape } = row.format;
    const isMap = shape.kind === "map" && isObject(was) && isObject(is);
    changes.set(
      key,
      isMap ? memberDifference(shape.element, was, is) : withoutDefaults(row.format, is),
    );
  }
  return withValues({}, changes);
}

/** The keys whose values differ, of a map the members: `msq_len`, `bridges.cloud`. */
export function changedKeys(left: Values, right: Values): string[] {
  return KEYS.flatMap(({ key, row }) => {
    const was = valueAt(left, key);
    const is = valueAt(right, key);
    if (isDeepStrictEqual(was, is)) return [];
    if (row.format.shape.kind !== "map" || !isObject(was) || !isObject(is)) return [key];
    return differingMembers(was, is).map((name) => `${key}.${name}`);
  });
}

/** Freezes a tree of plain values to its leaves and returns it. */
export function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const member of Object.values(value)) deepFreeze(member);
  }
  return value;
}

function memberDifference(element: Format<unknown>, was: Values, is: Values): Values {
  return Object.fromEntries(
    differingMembers(was, is).map((name) => [
      name,
      Object.hasOwn(is, name) ? withoutDefaults(element, is[name]) : null,
    ]),
  );
}

function differingMembers(was: Values, is: Values): string[] {
  const names = new Set([...Object.keys(was), ...Object.keys(is)]);
  return [...names].filter((name) => !isDeepStrictEqual(was[name], is[name]));
}

/** A complete value without what `complete` would fill in again. */
function withoutDefaults(format: Format<unknown>, value: unknown): unknown {
  const { shape } = format;
  if (shape.kind === "list" && Array.isArray(value)) {
    return value.map((item: unknown) => withoutDefaults(shape.element, item));
  }
  if (shape.kind === "object" && isObject(value)) return memberValues(shape.schema, value);
  return value;
}

function memberValues(schema: SchemaTree, values: Values): Values {
  return Object.fromEntries(
    Object.entries(values).flatMap(([name, value]): [string, unknown][] => {
      const node = schema[name];
      if (!isKeyRow(node)) return [[name, value]];
      if (isDeepStrictEqual(value, node.format.complete(node.default))) return [];
      return [[name, withoutDefaults(node.format, value)]];
    }),
  );
}
