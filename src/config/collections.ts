import {
  type Fault,
  type Format,
  isKeyRow,
  isObject,
  type KeyRow,
  MASK,
  type SchemaTree,
  type Shape,
  shown,
  type Values,
  type ValuesOf,
} from "./format.ts";

/** What is wrong with the members of an object taken together. */
export interface MemberFault {
  readonly member: string;
  readonly expected: string;
}

/**
 * A list of values. With `identity`, the name of a member, no two elements may have the same one,
 * and a masked secret that comes back is matched with the stored one by it.
 */
export function listOf<T>(
  element: Format<T>,
  maxLength: number,
  identity: (keyof T & string) | null = null,
): Format<readonly T[]> {
  const expected = `a list of at most ${maxLength} elements`;
  const shape = { kind: "list", element, identity } as const;
  return {
    name: `list of ${element.name}`,
    expected,
    shape,
    faults(value, key) {
      if (!Array.isArray(value)) return [misplaced(shape, value, key, expected)];
      if (value.length > maxLength) {
        return [{ kind: "value", key, value: `a list of ${value.length}`, expected }];
      }
      const faults = value.flatMap((item, index) => element.faults(item, `${key}[${index}]`));
      return faults.length > 0 || identity === null ? faults : repeatedFaults(value, identity, key);
    },
    complete: (value) => value.map((item) => element.complete(item)),
    fromText: parseJson,
  };
}

/** An object with the keys of `schema`; missing ones take their default. */
export function objectOf<S extends SchemaTree>(
  name: string,
  schema: S,
  check: (value: ValuesOf<S>) => readonly MemberFault[] = () => [],
): Format<ValuesOf<S>> {
  const expected = `an object with ${Object.keys(schema).join(", ")}`;
  const shape = { kind: "object", schema } as const;
  const complete = (value: Values) => completeTree(schema, value) as ValuesOf<S>;
  return {
    name,
    expected,
    shape,
    faults(value, key) {
      if (!isObject(value)) return [misplaced(shape, value, key, expected)];
      const faults = [
        ...treeFaults(schema, value, `${key}.`),
        ...missingFaults(schema, value, key),
      ];
      if (faults.length > 0) return faults;
      return check(complete(value)).map((fault) => memberFault(schema, value, key, fault));
    },
    complete: (value) => complete(value as Values),
    fromText: parseJson,
  };
}

/** An object whose members all have one format, keyed by names that match `names`. */
export function mapOf<T>(
  element: Format<T>,
  names: RegExp,
  maxSize: number,
): Format<Readonly<Record<string, T>>> {
  const expected = `an object of at most ${maxSize} members named like ${names.source}`;
  const shape = { kind: "map", element } as const;
  // A name every object answers to would be found where nothing was configured.
  const isName = (name: string) => names.test(name) && !(name in Object.prototype);
  return {
    name: `map of ${element.name}`,
    expected,
    shape,
    faults(value, key) {
      if (!isObject(value)) return [misplaced(shape, value, key, expected)];
      const members = Object.entries(value);
      if (members.length > maxSize) {
        return [{ kind: "value", key, value: `${members.length} members`, expected }];
      }
      return members.flatMap(([name, item]): Fault[] =>
        isName(name)
          ? element.faults(item, `${key}.${name}`)
          : [
              {
                kind: "key",
                key: `${key}.${name}`,
                value: shown(isObject(item) ? item : MASK),
                expected: `a name like ${names.source}`,
                known: [],
              },
            ],
      );
    },
    complete(value) {
      const members: Record<string, T> = Object.create(null);
      for (const [name, item] of Object.entries(value)) members[name] = element.complete(item);
      return members;
    },
    fromText: parseJson,
  };
}

/** Everything wrong with `values` (part of a configuration) against `schema`, unknown keys included. */
export function treeFaults(schema: SchemaTree, values: Values, prefix = ""): Fault[] {
  return Object.entries(values).flatMap(([name, value]): Fault[] => {
    const node = Object.hasOwn(schema, name) ? schema[name] : undefined;
    const key = `${prefix}${name}`;
    if (node === undefined) return [unknownKey(schema, key, name, value)];
    if (isKeyRow(node)) return rowFaults(node, value, key);
    if (!isObject(value)) {
      return [misplaced({ kind: "object", schema: node }, value, key, "an object")];
    }
    return treeFaults(node, value, `${key}.`);
  });
}

/** Everything wrong with the value of one key, which is masked where the key is a secret. */
export function rowFaults(row: KeyRow<unknown>, value: unknown, key: string): Fault[] {
  if (row.sensitive !== true) return row.format.faults(value, key);
  if (value === MASK) {
    const expected = `the secret itself: ${MASK} only shows that one is stored, and none is here`;
    return [{ kind: "value", key, value: MASK, expected }];
  }
  return row.format.faults(value, key).map((fault) => ({ ...fault, value: MASK }));
}

/** A copy of `values` with every missing key of `schema` at its default. */
export function completeTree(schema: SchemaTree, values: Values): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(schema).map(([name, node]): [string, unknown] => {
      const value = Object.hasOwn(values, name) ? values[name] : undefined;
      if (!isKeyRow(node)) return [name, completeTree(node, isObject(value) ? value : {})];
      return [name, node.format.complete(value === undefined ? node.default : value)];
    }),
  );
}

/** What `schema` describes when nothing is configured. */
export function defaultsOf<S extends SchemaTree>(schema: S): ValuesOf<S> {
  return completeTree(schema, {}) as ValuesOf<S>;
}

/** Whether the value of a key is a secret or has one inside. */
export function isSecret(row: KeyRow<unknown>): boolean {
  return row.sensitive === true || holdsSecrets(row.format.shape);
}

/** Whether a value of this shape has a secret somewhere inside. */
export function holdsSecrets(shape: Shape): boolean {
  switch (shape.kind) {
    case "scalar":
      return false;
    case "list":
    case "map":
      return holdsSecrets(shape.element.shape);
    case "object":
      return Object.values(shape.schema).some((node) =>
        isKeyRow(node) ? isSecret(node) : holdsSecrets({ kind: "object", schema: node }),
      );
  }
}

/** A scalar where a container belongs; it may be a secret that slipped a level up. */
function misplaced(shape: Shape, value: unknown, key: string, expected: string): Fault {
  const isHidden = holdsSecrets(shape) && typeof value !== "object" && value !== undefined;
  return { kind: "value", key, value: isHidden ? MASK : shown(value), expected };
}

/** Whether the name of an unknown key sounds like a secret: a misspelt `password` still is one. */
export function soundsSecret(name: string): boolean {
  return /pas|pw|secret|token|key|cred/i.test(name);
}

function unknownKey(schema: SchemaTree, key: string, name: string, value: unknown): Fault {
  const known = Object.keys(schema);
  const mayBeSecret =
    soundsSecret(name) ||
    Object.values(schema).some((node) => isKeyRow(node) && node.sensitive === true);
  return {
    kind: "key",
    key,
    value: mayBeSecret && typeof value !== "object" ? MASK : shown(value),
    expected: `one of the keys ${known.join(", ")}`,
    known,
  };
}

/** Members that have no usable default must be given. */
function missingFaults(schema: SchemaTree, value: Values, key: string): Fault[] {
  return Object.entries(schema).flatMap(([name, node]): Fault[] => {
    if (!isKeyRow(node) || Object.hasOwn(value, name)) return [];
    return node.format
      .faults(node.default, `${key}.${name}`)
      .map((fault) => ({ ...fault, value: "nothing" }));
  });
}

function memberFault(schema: SchemaTree, value: Values, key: string, fault: MemberFault): Fault {
  const node = schema[fault.member];
  const isHidden = isKeyRow(node) && node.sensitive === true;
  return {
    kind: "value",
    key: `${key}.${fault.member}`,
    value: isHidden ? MASK : shown(value[fault.member]),
    expected: fault.expected,
  };
}

function repeatedFaults(values: readonly unknown[], identity: string, key: string): Fault[] {
  const seen = new Set<unknown>();
  return values.flatMap((item, index): Fault[] => {
    const id = isObject(item) ? item[identity] : undefined;
    if (!seen.has(id)) {
      seen.add(id);
      return [];
    }
    const expected = "a value that no element before it has";
    return [{ kind: "value", key: `${key}[${index}].${identity}`, value: shown(id), expected }];
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
