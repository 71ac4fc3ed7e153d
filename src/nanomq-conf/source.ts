import { HoconError, type HoconInclude, type HoconObject, parseHocon } from "../hocon/index.ts";

/** A configuration file of NanoMQ as it was read. */
export interface ConfFile {
  readonly name: string;
  readonly text: string;
}

/**
 * What NanoMQ's files say, whatever their generation: a tree that knows which of its values were
 * asked for, so that the others can be named.
 */
export class Source {
  readonly #tree: HoconObject;
  readonly #taken = new Set<string>();
  /** HOCON, of 0.14 and later, where a block that is absent is off. */
  readonly isHocon: boolean;
  readonly notes: string[] = [];

  constructor(tree: HoconObject, isHocon: boolean) {
    this.#tree = tree;
    this.isHocon = isHocon;
  }

  /** The value at the first of these keys that has one, with all below it; undefined without. */
  take(...keys: readonly string[]): unknown {
    let found: unknown;
    for (const key of keys) {
      const value = this.#at(key);
      if (value === undefined) continue;
      this.#taken.add(key);
      found ??= value;
    }
    return found;
  }

  has(key: string): boolean {
    return this.#at(key) !== undefined;
  }

  /** Names directly below a key, in their order; numbers in theirs. */
  names(key: string): string[] {
    const value = this.#at(key);
    if (!isTree(value)) return [];
    const byNumber = (a: string, b: string) => Number(a) - Number(b) || 0;
    return Object.keys(value).sort(byNumber);
  }

  /** Whether there are further keys below this one. */
  isGroup(key: string): boolean {
    return isTree(this.#at(key));
  }

  note(key: string, what: string): void {
    this.notes.push(`${key}: ${what}`);
  }

  /** Keys nobody has asked for. */
  left(): string[] {
    const found: string[] = [];
    const walk = (value: unknown, key: string) => {
      if (this.#taken.has(key)) return;
      if (!isTree(value)) found.push(key);
      else for (const [name, inner] of Object.entries(value)) walk(inner, `${key}.${name}`);
    };
    for (const [name, value] of Object.entries(this.#tree)) walk(value, name);
    return found;
  }

  #at(key: string): unknown {
    let value: unknown = this.#tree;
    for (const name of key.split(".")) {
      if (!isTree(value) || !Object.hasOwn(value, name)) return undefined;
      value = value[name];
    }
    return value;
  }
}

/** An object of the tree, not a list. */
export function isTree(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * Reads NanoMQ's files, one after the other; later values win. Each may be of another generation:
 * `key=value` lines (up to 0.13, and `--old_conf`) or HOCON.
 * @throws HoconError naming file and line
 */
export function readSource(files: readonly ConfFile[], include: HoconInclude): Source {
  const tree: HoconObject = Object.create(null);
  let isHocon = false;
  for (const file of files) {
    if (looksLikeLines(file.text)) {
      readLines(file.text, tree);
      continue;
    }
    isHocon = true;
    try {
      merge(tree, parseHocon(file.text, include));
    } catch (err) {
      if (err instanceof HoconError) throw new HoconError(`${file.name}: ${err.message}`);
      throw err;
    }
  }
  return new Source(tree, isHocon);
}

const LINE = /^[ \t]*([\w-]+(?:\.[\w-]+)*)[ \t]*=(.*)$/;

/** Every line is empty, a comment or `dotted.key=value`, and none opens a block or a list. */
function looksLikeLines(text: string): boolean {
  const lines = text.split(/\r?\n/).filter((line) => !/^\s*(#|$)/.test(line));
  return lines.every((line) => {
    const value = LINE.exec(line)?.[2];
    // A rule of the access list is JSON in one line.
    return value !== undefined && (!/^\s*[{["]/.test(value) || /^\s*\{.*\}\s*$/.test(value));
  });
}

function readLines(text: string, tree: HoconObject): void {
  for (const line of text.split(/\r?\n/)) {
    const [, key, value] = (/^\s*#/.test(line) ? null : LINE.exec(line)) ?? [];
    if (key === undefined || value === undefined) continue;
    put(tree, key.split("."), value.trim().replace(/^"(.*)"$/, "$1"));
  }
}

function put(tree: HoconObject, path: readonly string[], value: unknown): void {
  const [name = "", ...rest] = path;
  if (rest.length === 0) {
    tree[name] = value;
    return;
  }
  const before = tree[name];
  const inner: HoconObject = isTree(before) ? before : Object.create(null);
  put(inner, rest, value);
  tree[name] = inner;
}

function merge(tree: HoconObject, other: HoconObject): void {
  for (const [name, value] of Object.entries(other)) {
    const before = tree[name];
    if (isTree(before) && isTree(value)) merge(before, value);
    else tree[name] = value;
  }
}
