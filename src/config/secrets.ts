import { type BridgeConfig, bridgeMembers } from "./bridge-schema.ts";
import { holdsSecrets } from "./collections.ts";
import {
  isKeyRow,
  isObject,
  type KeyRow,
  MASK,
  type SchemaTree,
  type Shape,
  type Values,
} from "./format.ts";

/**
 * Values as an answer may show them: a copy in which every secret that is set reads `******`. Of the
 * whole configuration, sent back with `ConfigStore.change`, those secrets stay as they are.
 */
export function masked<T extends Values>(values: T, schema: SchemaTree): T {
  return overTree(schema, values, values, () => MASK) as T;
}

/** A bridge as an answer may show it. */
export function maskedBridge(cfg: BridgeConfig): BridgeConfig {
  return masked(cfg, bridgeMembers);
}

/**
 * `value` of one key, with every `******` in it replaced by the secret that `stored`, the key's
 * present value, holds in the same place: members of maps are matched by name, elements of lists by
 * their identity (a user by its name). Where nothing is stored the mask stays, and is then refused.
 */
export function unmasked(row: KeyRow<unknown>, value: unknown, stored: unknown): unknown {
  return overRow(row, value, stored, (secret, was) =>
    secret === MASK && was !== null && was !== undefined ? was : secret,
  );
}

/** How clear text becomes what is stored; `auth` provides it. */
export interface SecretHashing {
  /** The hash of a password, in the form `isHashed` knows. */
  hashSecret(clear: string): Promise<string>;
  isHashed(text: string): boolean;
  /** Whether `clear` is the password that `stored`, a hash or clear text, stands for. */
  verifySecret(clear: string, stored: string): Promise<boolean>;
}

/**
 * `value` of one key with every password that nobody needs in clear replaced by its hash. A password
 * whose stored hash it fits keeps that hash, so that writing the same configuration changes nothing.
 */
export async function hashed(
  row: KeyRow<unknown>,
  value: unknown,
  stored: unknown,
  hashing: SecretHashing,
): Promise<unknown> {
  const hashOf = new Map<string, Map<unknown, string>>();
  const found: { readonly clear: string; readonly was: unknown }[] = [];
  overRow(row, value, stored, (secret, was, at) => {
    if (at.hashed && typeof secret === "string" && !hashing.isHashed(secret)) {
      found.push({ clear: secret, was });
    }
    return secret;
  });
  // One after the other: a hash costs tens of milliseconds of a core by intent.
  for (const { clear, was } of found) {
    const known = hashOf.get(clear) ?? new Map<unknown, string>();
    hashOf.set(clear, known);
    if (known.has(was)) continue;
    const isSame =
      typeof was === "string" && hashing.isHashed(was) && (await hashing.verifySecret(clear, was));
    known.set(was, isSame ? was : await hashing.hashSecret(clear));
  }
  return overRow(row, value, stored, (secret, was, at) =>
    at.hashed && typeof secret === "string" ? (hashOf.get(secret)?.get(was) ?? secret) : secret,
  );
}

/** What becomes of one secret that is set; `was` is what is stored in its place. */
type Replace = (secret: unknown, was: unknown, row: KeyRow<unknown>) => unknown;

function overRow(row: KeyRow<unknown>, value: unknown, stored: unknown, replace: Replace): unknown {
  if (row.sensitive === true) {
    return value === null || value === undefined ? value : replace(value, stored, row);
  }
  return overShape(row.format.shape, value, stored, replace);
}

function overTree(
  schema: SchemaTree,
  values: Values,
  stored: Values,
  replace: Replace,
): Record<string, unknown> {
  return mapMembers(values, (name, value) => {
    const node = Object.hasOwn(schema, name) ? schema[name] : undefined;
    const was = member(stored, name);
    if (node === undefined) return value;
    if (isKeyRow(node)) return overRow(node, value, was, replace);
    return isObject(value) ? overTree(node, value, isObject(was) ? was : {}, replace) : value;
  });
}

function overShape(shape: Shape, value: unknown, stored: unknown, replace: Replace): unknown {
  if (!holdsSecrets(shape)) return value;
  switch (shape.kind) {
    case "scalar":
      return value;
    case "object":
      return isObject(value)
        ? overTree(shape.schema, value, isObject(stored) ? stored : {}, replace)
        : value;
    case "map":
      if (!isObject(value)) return value;
      return mapMembers(value, (name, item) =>
        overShape(shape.element.shape, item, member(stored, name), replace),
      );
    case "list": {
      if (!Array.isArray(value)) return value;
      const byIdentity = elementsBy(shape.identity, stored);
      return value.map((item: unknown) => {
        const id = shape.identity === null ? undefined : member(item, shape.identity);
        return overShape(shape.element.shape, item, byIdentity.get(id), replace);
      });
    }
  }
}

function elementsBy(identity: string | null, values: unknown): Map<unknown, unknown> {
  if (identity === null || !Array.isArray(values)) return new Map();
  return new Map(values.map((item: unknown) => [member(item, identity), item]));
}

function member(values: unknown, name: string): unknown {
  return isObject(values) && Object.hasOwn(values, name) ? values[name] : undefined;
}

/** Keeps a null prototype, and defines members rather than assigning them (`__proto__`). */
function mapMembers(
  values: Values,
  change: (name: string, value: unknown) => unknown,
): Record<string, unknown> {
  const entries = Object.entries(values).map(([name, value]) => [name, change(name, value)]);
  const copy: Record<string, unknown> = Object.fromEntries(entries);
  return Object.getPrototypeOf(values) === null ? Object.setPrototypeOf(copy, null) : copy;
}
