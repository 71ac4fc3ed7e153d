import convict from "convict";
import { completeTree, isSecret, treeFaults } from "./collections.ts";
import { faultErrors, throwFirst } from "./config-errors.ts";
import {
  type Fault,
  isKeyRow,
  isObject,
  type KeyRow,
  type SchemaTree,
  type Values,
} from "./format.ts";
import { KEYS, type KeyEntry } from "./keys.ts";
import { type Config, SCHEMA } from "./schema.ts";
import { deepFreeze, valueAt } from "./tree.ts";

/** What a configuration is made of, lowest first; every layer has been checked on its own. */
export interface Layers {
  /** The appliance's own defaults. */
  readonly vendor: Values;
  /** The operator's file. */
  readonly operator: Values;
  /** What the API wrote; a member of a map that is null takes a lower layer's member away. */
  readonly current: Values;
  /** Environment variables of ours by name. */
  readonly variables: ReadonlyMap<string, string>;
  /** Texts given on the command line by key. */
  readonly options: ReadonlyMap<string, string>;
}

/** Nothing but the defaults of the schema. */
export const NO_LAYERS: Layers = {
  vendor: {},
  operator: {},
  current: {},
  variables: new Map(),
  options: new Map(),
};

/**
 * The layers merged over the defaults, validated, complete and deep-frozen. Groups merge key by key,
 * maps member by member, everything else (lists too) is replaced as a whole; an environment variable
 * or a command line option replaces a map as a whole too.
 * @throws GatewayError CONFIG_VALUE_INVALID for what is wrong only with the layers taken together,
 * such as a map that grows too large.
 */
export function mergeLayers(layers: Layers): Config {
  const config = openConvict(layers.variables);
  config.load(layers.vendor);
  config.load(layers.operator);
  for (const { key, row } of KEYS) {
    const removed = removedMembers(row, valueAt(layers.current, key));
    if (removed.length === 0) continue;
    const members: unknown = config.get(key);
    config.set(key, isObject(members) ? without(members, removed) : members);
  }
  config.load(withoutRemovals(layers.current));
  for (const [key, text] of layers.options) config.set(key, text);

  const merged = config.getProperties();
  try {
    config.validate({ allowed: "strict" });
  } catch {
    throwFirst(faultErrors(treeFaults(SCHEMA, merged), "the merged configuration"));
    // Without the cause, whose message may hold a secret.
    throw new Error("convict refuses a configuration that the schema accepts");
  }
  return deepFreeze(completeTree(SCHEMA, merged)) as Config;
}

/** Everything wrong with a file's keys and values; with `isCurrent`, null takes a map's member away. */
export function layerFaults(values: Values, isCurrent = false): Fault[] {
  return treeFaults(SCHEMA, isCurrent ? withoutRemovals(values) : values);
}

/**
 * A file's values without the groups, lists and maps that have nothing under their key, as they are
 * left when every line below is a comment: YAML reads them as null, and they mean "not given".
 */
export function withoutEmpty(values: Values, schema: SchemaTree = SCHEMA): Values {
  return Object.fromEntries(
    Object.entries(values).flatMap(([name, value]): [string, unknown][] => {
      const node = Object.hasOwn(schema, name) ? schema[name] : undefined;
      if (node === undefined) return [[name, value]];
      if (isKeyRow(node)) {
        const isEmpty = value === null && node.format.shape.kind !== "scalar";
        return isEmpty ? [] : [[name, value]];
      }
      if (value === null) return [];
      return [[name, isObject(value) ? withoutEmpty(value, node) : value]];
    }),
  );
}

function removedMembers(row: KeyRow<unknown>, value: unknown): string[] {
  if (row.format.shape.kind !== "map" || !isObject(value)) return [];
  return Object.keys(value).filter((name) => value[name] === null);
}

function without(members: Values, names: readonly string[]): Values {
  return Object.fromEntries(Object.entries(members).filter(([name]) => !names.includes(name)));
}

function withoutRemovals(values: Values, schema: SchemaTree = SCHEMA): Values {
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => {
      const node = Object.hasOwn(schema, name) ? schema[name] : undefined;
      if (node === undefined || !isObject(value)) return [name, value];
      return isKeyRow(node)
        ? [name, without(value, removedMembers(node, value))]
        : [name, withoutRemovals(value, node)];
    }),
  );
}

interface ConvictConfig {
  load(values: Values): unknown;
  get(key: string): unknown;
  set(key: string, value: unknown): unknown;
  getProperties(): Record<string, unknown>;
  validate(options: { allowed: "strict" }): unknown;
}

/**
 * A convict instance for the schema, holding defaults and environment. What convict 6.2.5 does, which
 * this relies on (`layers.test.ts` shows each):
 *
 * - `addFormat` fills tables of the whole process. A format's check is looked up while the instance
 *   is built, its coercion at each use, so instances of one schema may share the names.
 * - Coercion is called for every string: with the instance for defaults, the environment and `set`,
 *   without it for loaded values. So only texts are read as numbers here, never strings of a file.
 * - `load` merges objects key by key down to a key of the schema. Below one it goes on only when the
 *   key's format is named exactly "object", and then takes each member as it is; below any other
 *   format a nested object ends in a TypeError. Hence the one name for all maps and objects.
 * - `load` takes lists and members by reference, and `get` and `getProperties` return deep copies
 *   with ordinary prototypes (lodash), so a layer is never written to, and `completeTree` afterwards
 *   makes the maps anew.
 * - Every `load` takes the environment over again, `set` does not: the environment beats all files,
 *   and what is set after the last `load` beats the environment.
 * - It drops `__proto__` and some `constructor` keys silently. The check of each layer has refused
 *   them by name before.
 * - `validate` joins values into its message unless the whole key is sensitive. Its message is never
 *   passed on; `treeFaults` finds the same again with the secrets masked.
 * - Dots separate keys everywhere, so no name of a group, key or map member may hold one.
 */
function openConvict(variables: ReadonlyMap<string, string>): ConvictConfig {
  for (const { row } of KEYS) addFormat(row);
  const definition = definitionOf(SCHEMA, new Map(KEYS.map((entry) => [entry.row, entry])));
  return convict<Record<string, unknown>>(definition, {
    env: Object.fromEntries(variables),
    // An empty list, because convict would read the command line itself.
    args: [],
  });
}

const CONTAINER = "object";

function formatName(row: KeyRow<unknown>): string {
  const { kind } = row.format.shape;
  return kind === "map" || kind === "object" ? CONTAINER : row.format.name;
}

function addFormat(row: KeyRow<unknown>): void {
  convict.addFormat({
    name: formatName(row),
    // convict hands over the definition of the key too: it tells the containers apart.
    validate(value: unknown, definition: convict.SchemaObj<unknown>) {
      const format: unknown = definition["row"];
      const [fault] = isKeyRow(format) ? format.format.faults(value, "it") : [];
      if (fault !== undefined) throw new Error(`expected ${fault.expected}`);
    },
    coerce: (text: string, instance?: unknown) =>
      instance === undefined ? text : row.format.fromText(text),
  });
}

interface Definition {
  [name: string]: Definition | convict.SchemaObj<unknown>;
}

function definitionOf(
  schema: SchemaTree,
  entryOf: ReadonlyMap<KeyRow<unknown>, KeyEntry>,
): Definition {
  return Object.fromEntries(
    Object.entries(schema).map(([name, node]): [string, Definition | convict.SchemaObj] => {
      if (!isKeyRow(node)) return [name, definitionOf(node, entryOf)];
      const variable = entryOf.get(node)?.variable;
      return [
        name,
        {
          doc: node.doc,
          format: formatName(node),
          default: node.default,
          env: variable,
          sensitive: isSecret(node),
          row: node,
        },
      ];
    }),
  );
}
