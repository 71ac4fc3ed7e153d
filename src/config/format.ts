/** What an answer, a log line or an error shows in place of a secret. */
export const MASK = "******";

/** One thing wrong with a value: the full key, the value, and what was expected there. */
export interface Fault {
  /** `key`: there is no such key. `value`: the key exists and its value is not valid. */
  readonly kind: "key" | "value";
  readonly key: string;
  /** The value as it may be shown: secrets masked, long texts cut, containers named, not printed. */
  readonly value: unknown;
  readonly expected: string;
  /** With `kind: "key"`: the names that exist there. */
  readonly known?: readonly string[];
}

/** What a value is made of, for code that walks configurations without knowing their keys. */
export type Shape =
  | { readonly kind: "scalar" }
  | {
      readonly kind: "list";
      readonly element: Format<unknown>;
      /** The member that tells the elements apart, where there is one. */
      readonly identity: string | null;
    }
  | { readonly kind: "map"; readonly element: Format<unknown> }
  | { readonly kind: "object"; readonly schema: SchemaTree };

/** What a configuration value may be. */
export interface Format<T> {
  /** The name convict knows it by, and the option table shows. */
  readonly name: string;
  /** What a valid value is, to stand after "expected". */
  readonly expected: string;
  readonly shape: Shape;
  /** Everything wrong with `value`, which stands at `key`; empty when it is valid. */
  faults(value: unknown, key: string): Fault[];
  /** A copy of a valid value with the defaults of its members filled in. */
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
  /** Masked in every answer, log line and error. */
  readonly sensitive?: true;
  /** Written by the API as a hash only: nobody needs the clear text again. */
  readonly hashed?: true;
}

/** A tree of keys. */
export interface SchemaTree {
  readonly [name: string]: SchemaTree | KeyRow<unknown>;
}

/** The values a schema describes. */
export type ValuesOf<S> =
  S extends KeyRow<infer T> ? T : { readonly [K in keyof S]: ValuesOf<S[K]> };

/** A tree of values whose keys have not been looked at yet, or whose schema is not known here. */
export type Values = Readonly<Record<string, unknown>>;

export function isKeyRow(node: unknown): node is KeyRow<unknown> {
  return typeof node === "object" && node !== null && "format" in node && "doc" in node;
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
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
    shape: { kind: "scalar" },
    faults: (value, key) =>
      isValid(value) ? [] : [{ kind: "value", key, value: shown(value), expected }],
    complete: (value) => value,
    fromText,
  };
}

/** The same format, with null (and an empty environment variable) for "not set". */
export function nullable<T>(inner: Format<T>): Format<T | null> {
  const expected = `${inner.expected}, or null`;
  return {
    name: `${inner.name}, or null`,
    expected,
    shape: inner.shape,
    faults: (value, key) =>
      value === null
        ? []
        : inner.faults(value, key).map((fault) => (fault.key === key ? orNull(fault) : fault)),
    complete: (value) => (value === null ? null : inner.complete(value)),
    fromText: (text) => (text === "" || text === "null" ? null : inner.fromText(text)),
  };
}

/** A whole number from `min` to `max`. */
export function int(min: number, max: number): Format<number> {
  return scalar(
    `whole number ${min}–${max}`,
    `a whole number from ${min} to ${max}`,
    (value): value is number =>
      typeof value === "number" && Number.isInteger(value) && value >= min && value <= max,
    (text) => (/^-?\d+$/.test(text) ? Number(text) : text),
  );
}

/** One of the given words or numbers. */
export function oneOf<const T extends string | number>(values: readonly T[]): Format<T> {
  return scalar(
    values.join(" | "),
    `one of ${values.join(", ")}`,
    (value): value is T => values.some((allowed) => allowed === value),
    (text) => values.find((value) => String(value) === text) ?? text,
  );
}

export const bool: Format<boolean> = scalar(
  "true | false",
  "true or false",
  (value): value is boolean => typeof value === "boolean",
  (text) => (text === "true" ? true : text === "false" ? false : text),
);

/** Text of `minBytes` to `maxBytes` UTF-8 bytes without control characters. */
export function text(maxBytes = 1024, minBytes = 0): Format<string> {
  return checkedText(
    `text ${minBytes}–${maxBytes} bytes`,
    `text of ${minBytes} to ${maxBytes} bytes without control characters`,
    (value) =>
      value.isWellFormed() &&
      !/\p{Cc}/u.test(value) &&
      Buffer.byteLength(value) >= minBytes &&
      Buffer.byteLength(value) <= maxBytes,
  );
}

/** Text that `isValid` accepts; a number or a truth value in its place is told to use quotes. */
export function checkedText(
  name: string,
  expected: string,
  isValid: (value: string) => boolean,
): Format<string> {
  const base = scalar(
    name,
    expected,
    (value): value is string => typeof value === "string" && isValid(value),
  );
  return {
    ...base,
    faults: (value, key) =>
      typeof value === "number" || typeof value === "boolean"
        ? [{ kind: "value", key, value, expected: `${expected} (put it in quotes)` }]
        : base.faults(value, key),
  };
}

const MAX_SHOWN_CHARACTERS = 200;

/** A value as an error may show it: short, on one line, and without the contents of containers. */
export function shown(value: unknown): unknown {
  if (value === undefined) return "nothing";
  if (Array.isArray(value)) return "a list";
  if (isObject(value)) return "an object";
  if (typeof value !== "string") return value;
  const cut =
    value.length > MAX_SHOWN_CHARACTERS ? `${value.slice(0, MAX_SHOWN_CHARACTERS)}…` : value;
  // In quotes where it would read as something else: "8081" for a port, "" for nothing at all.
  const isAmbiguous = /^(?:[-+]?\.?\d.*|true|false|null|)$/i.test(cut);
  return isAmbiguous || !cut.isWellFormed() || /\p{Cc}/u.test(cut) ? JSON.stringify(cut) : cut;
}

function orNull(fault: Fault): Fault {
  return { ...fault, expected: `${fault.expected}, or null` };
}
