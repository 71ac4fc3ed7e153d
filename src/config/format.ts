/** One thing wrong with a value: the full key, the value, and what was expected there. */
export interface Fault {
  readonly key: string;
  readonly value: unknown;
  readonly expected: string;
}

/** What a configuration value may be. */
export interface Format<T> {
  /** The name convict knows it by, and the option table shows. */
  readonly name: string;
  /** What a valid value is, to stand after "expected". */
  readonly expected: string;
  /** Everything wrong with `value`, which stands at `key`; empty when it is valid. */
  faults(value: unknown, key: string): Fault[];
  /** A valid value with the defaults of its members filled in. */
  complete(value: T): T;
  /** Reads the text of an environment variable; text that makes no sense is left as it is. */
  fromText(text: string): unknown;
}

/** One configuration key: the single home of its documentation, type, default and handling. */
export interface KeyRow<T> {
  readonly doc: string;
  readonly format: Format<T>;
  readonly default: T;
  /** Whether a change is applied at once or by the restart that follows it. */
  readonly reload: "live" | "restart";
  /** Masked in every answer and log line. */
  readonly sensitive?: true;
}

/** A tree of keys. */
export interface SchemaTree {
  readonly [name: string]: SchemaTree | KeyRow<unknown>;
}

/** The values a schema describes. */
export type ValuesOf<S> =
  S extends KeyRow<infer T> ? T : { readonly [K in keyof S]: ValuesOf<S[K]> };

export function isKeyRow(node: unknown): node is KeyRow<unknown> {
  return typeof node === "object" && node !== null && "format" in node && "doc" in node;
}

/** Builds a format for values that `isValid` accepts. */
export function scalar<T>(
  name: string,
  expected: string,
  isValid: (value: unknown) => value is T,
  fromText: (text: string) => unknown = (text) => text,
): Format<T> {
  return {
    name,
    expected,
    faults: (value, key) => (isValid(value) ? [] : [{ key, value, expected }]),
    complete: (value) => value,
    fromText,
  };
}

/** The same format, with null (and an empty environment variable) for "not set". */
export function nullable<T>(inner: Format<T>): Format<T | null> {
  return {
    name: `${inner.name}|null`,
    expected: `${inner.expected}, or null`,
    faults: (value, key) => (value === null ? [] : inner.faults(value, key)),
    complete: (value) => (value === null ? null : inner.complete(value)),
    fromText: (text) => (text === "" || text === "null" ? null : inner.fromText(text)),
  };
}

/** A whole number from `min` to `max`. */
export function int(min: number, max: number): Format<number> {
  return scalar(
    `int ${min}–${max}`,
    `a whole number from ${min} to ${max}`,
    (value): value is number =>
      Number.isInteger(value) && Number(value) >= min && Number(value) <= max,
    (text) => (/^-?\d+$/.test(text) ? Number(text) : text),
  );
}

/** A number from `min` to `max`. */
export function number(min: number, max: number): Format<number> {
  return scalar(
    `number ${min}–${max}`,
    `a number from ${min} to ${max}`,
    (value): value is number => typeof value === "number" && value >= min && value <= max,
    (text) => (/^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text),
  );
}

/** One of the given words or numbers. */
export function oneOf<const T extends string | number>(values: readonly T[]): Format<T> {
  return scalar(
    values.join(" | "),
    `one of ${values.join(", ")}`,
    (value): value is T => values.includes(value as T),
    (text) => values.find((value) => String(value) === text) ?? text,
  );
}

export const bool: Format<boolean> = scalar(
  "boolean",
  "true or false",
  (value): value is boolean => typeof value === "boolean",
  (text) => (text === "true" ? true : text === "false" ? false : text),
);

/** Text of at most `maxBytes` UTF-8 bytes without control characters. */
export function text(maxBytes = 1024, minBytes = 0): Format<string> {
  return scalar(
    "text",
    `text of ${minBytes} to ${maxBytes} bytes without control characters`,
    (value): value is string =>
      typeof value === "string" &&
      value.isWellFormed() &&
      !/\p{Cc}/u.test(value) &&
      Buffer.byteLength(value) >= minBytes &&
      Buffer.byteLength(value) <= maxBytes,
  );
}

/** A string for which `check` finds nothing wrong; `check` returns a reason or throws one. */
export function checkedText(name: string, expected: string, isValid: (value: string) => boolean) {
  return scalar(
    name,
    expected,
    (value): value is string => typeof value === "string" && isValid(value),
  );
}

/** A list of values. */
export function listOf<T>(element: Format<T>, maxLength: number): Format<readonly T[]> {
  return {
    name: `list of ${element.name}`,
    expected: `a list of at most ${maxLength} elements`,
    faults(value, key) {
      if (!Array.isArray(value) || value.length > maxLength) {
        return [{ key, value, expected: this.expected }];
      }
      return value.flatMap((item, index) => element.faults(item, `${key}[${index}]`));
    },
    complete: (value) => value.map((item) => element.complete(item)),
    fromText: parseJson,
  };
}

/** An object with the keys of `schema`; missing ones take their default. */
export function objectOf<S extends SchemaTree>(name: string, schema: S): Format<ValuesOf<S>> {
  return {
    name,
    expected: `an object with ${Object.keys(schema).join(", ")}`,
    faults(value, key) {
      if (!isObject(value)) return [{ key, value, expected: this.expected }];
      return treeFaults(schema, value, `${key}.`);
    },
    complete: (value) => completeTree(schema, value) as ValuesOf<S>,
    fromText: parseJson,
  };
}

/** An object whose members all have one format, keyed by names that match `names`. */
export function mapOf<T>(
  element: Format<T>,
  names: RegExp,
  maxSize: number,
): Format<Readonly<Record<string, T>>> {
  return {
    name: `map of ${element.name}`,
    expected: `an object of at most ${maxSize} members named like ${names.source}`,
    faults(value, key) {
      if (!isObject(value) || Object.keys(value).length > maxSize) {
        return [{ key, value, expected: this.expected }];
      }
      return Object.entries(value).flatMap(([name, item]) =>
        names.test(name)
          ? element.faults(item, `${key}.${name}`)
          : [{ key: `${key}.${name}`, value: name, expected: `a name like ${names.source}` }],
      );
    },
    complete: (value) =>
      Object.fromEntries(
        Object.entries(value).map(([name, item]) => [name, element.complete(item)]),
      ),
    fromText: parseJson,
  };
}

/** Everything wrong with `values` (part of a configuration) against `schema`, unknown keys included. */
export function treeFaults(
  schema: SchemaTree,
  values: Readonly<Record<string, unknown>>,
  prefix = "",
): Fault[] {
  return Object.entries(values).flatMap(([name, value]): Fault[] => {
    const node = Object.hasOwn(schema, name) ? schema[name] : undefined;
    const key = `${prefix}${name}`;
    if (node === undefined) {
      return [{ key, value, expected: `one of the keys ${Object.keys(schema).join(", ")}` }];
    }
    if (isKeyRow(node)) return node.format.faults(value, key);
    if (!isObject(value)) return [{ key, value, expected: "an object" }];
    return treeFaults(node, value, `${key}.`);
  });
}

/** `values` with every missing key of `schema` at its default. */
export function completeTree(
  schema: SchemaTree,
  values: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(schema).map(([name, node]): [string, unknown] => {
      const value = Object.hasOwn(values, name) ? values[name] : undefined;
      if (!isKeyRow(node)) return [name, completeTree(node, isObject(value) ? value : {})];
      return [name, value === undefined ? node.default : node.format.complete(value)];
    }),
  );
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
