import { isKeyRow, isObject, type KeyRow, type SchemaTree, type Values } from "./format.ts";
import { type Config, SCHEMA } from "./schema.ts";
import { unmasked } from "./secrets.ts";
import { valueAt } from "./tree.ts";

/** A value as a change may give it: members that are left out take their default. */
type InputOf<T> = T extends readonly (infer E)[]
  ? readonly InputOf<E>[]
  : T extends object
    ? { readonly [K in keyof T]?: InputOf<T[K]> | undefined }
    : T;

/**
 * A change of the configuration: a nested object with the keys to change. A list replaces the list,
 * a member of a map replaces the member, and a member of a map that is null is removed. A secret
 * that reads `******` stays as it is.
 */
export type ConfigPatch = PatchOf<Config>;

type PatchOf<T> = {
  readonly [K in keyof T]?:
    | (T[K] extends readonly unknown[]
        ? InputOf<T[K]>
        : T[K] extends object
          ? string extends keyof T[K]
            ? { readonly [name: string]: InputOf<T[K][string]> | null | undefined }
            : PatchOf<T[K]>
          : T[K])
    | undefined;
};

/**
 * `patch` as values that can be checked: maps with the members they will have, masks replaced by the
 * secrets of `stored`, members that are undefined left out. What is wrong in it stays as it is.
 */
export function resolvePatch(patch: Values, stored: Config): Values {
  return resolveTree(SCHEMA, patch, stored, "");
}

function resolveTree(schema: SchemaTree, patch: Values, stored: Config, prefix: string): Values {
  return Object.fromEntries(
    Object.entries(patch).flatMap(([name, value]): [string, unknown][] => {
      if (value === undefined) return [];
      const node = Object.hasOwn(schema, name) ? schema[name] : undefined;
      const key = `${prefix}${name}`;
      if (node === undefined) return [[name, value]];
      if (isKeyRow(node)) return [[name, resolveRow(node, value, valueAt(stored, key))]];
      if (!isObject(value)) return [[name, value]];
      return [[name, resolveTree(node, value, stored, `${key}.`)]];
    }),
  );
}

function resolveRow(row: KeyRow<unknown>, value: unknown, stored: unknown): unknown {
  const given = withoutUndefined(value);
  if (row.format.shape.kind !== "map" || !isObject(given)) return unmasked(row, given, stored);
  const members = Object.entries({ ...(isObject(stored) ? stored : {}), ...given });
  const kept = Object.fromEntries(members.filter(([, member]) => member !== null));
  return unmasked(row, kept, stored);
}

/** No value of the configuration is deeper; what lies below is left for the check to refuse. */
const MAX_DEPTH = 16;

function withoutUndefined(value: unknown, depth = 0): unknown {
  if (depth > MAX_DEPTH) return value;
  if (Array.isArray(value)) return value.map((item: unknown) => withoutUndefined(item, depth + 1));
  if (!isObject(value)) return value;
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  return Object.fromEntries(
    members.map(([name, member]) => [name, withoutUndefined(member, depth + 1)]),
  );
}
