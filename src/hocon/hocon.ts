/** A tree of values as HOCON writes it; objects have no prototype. */
export type HoconObject = { [name: string]: unknown };

const MAX_DEPTH = 32;
const NUMBER = /^-?\d+(\.\d+)?([eE][-+]?\d+)?$/;

/** What is wrong with a HOCON text, and where. */
export class HoconError extends Error {
  override readonly name = "HoconError";
}

/** Reads what `include "file"` names. @throws HoconError */
export type HoconInclude = (file: string) => HoconObject;

/**
 * Reads HOCON: JSON with comments, `=` and `{` after a key, dotted keys, values without quotes,
 * line ends in place of commas, later values over earlier ones with objects merged. Neither
 * substitutions (`${…}`) nor `+=`, and `include` only with `include`.
 * @throws HoconError naming the line
 */
export function parseHocon(text: string, include: HoconInclude | null = null): HoconObject {
  return new Parser(text, include).document();
}

class Parser {
  readonly #text: string;
  readonly #include: HoconInclude | null;
  #at = 0;

  constructor(text: string, include: HoconInclude | null) {
    this.#text = text;
    this.#include = include;
  }

  document(): HoconObject {
    this.#skip(true);
    const isBraced = this.#text[this.#at] === "{";
    const values = isBraced ? this.#object(0) : this.#members(0, "");
    this.#skip(true);
    if (this.#at < this.#text.length) throw this.#fault("something behind the end");
    return values;
  }

  #object(depth: number): HoconObject {
    this.#at++;
    const values = this.#members(depth + 1, "}");
    if (this.#text[this.#at] !== "}") throw this.#fault("a missing }");
    this.#at++;
    return values;
  }

  #members(depth: number, end: string): HoconObject {
    if (depth > MAX_DEPTH) throw this.#fault(`more than ${MAX_DEPTH} levels`);
    const values: HoconObject = Object.create(null);
    for (;;) {
      this.#skipSeparators();
      const next = this.#text[this.#at];
      if (next === undefined || next === end) return values;
      if (this.#include !== null && this.#take(/include(?=\s*")/y) !== "") {
        this.#skip(false);
        const included = this.#include(this.#quoted());
        for (const [name, value] of Object.entries(included)) put(values, [name], value);
        this.#requireEnd();
        continue;
      }
      const path = this.#path();
      this.#skip(false);
      const sign = this.#text[this.#at];
      if (sign === "=" || sign === ":") this.#at++;
      else if (sign !== "{") throw this.#fault("a key without value");
      this.#skip(true);
      put(values, path, this.#value(depth));
      this.#requireEnd();
    }
  }

  #array(depth: number): unknown[] {
    if (depth > MAX_DEPTH) throw this.#fault(`more than ${MAX_DEPTH} levels`);
    this.#at++;
    const items: unknown[] = [];
    for (;;) {
      this.#skipSeparators();
      const next = this.#text[this.#at];
      if (next === undefined) throw this.#fault("a missing ]");
      if (next === "]") {
        this.#at++;
        return items;
      }
      items.push(this.#value(depth));
      this.#requireEnd();
    }
  }

  #value(depth: number): unknown {
    const next = this.#text[this.#at];
    if (next === "{") return this.#object(depth);
    if (next === "[") return this.#array(depth + 1);
    if (next === '"') return this.#quoted();
    const raw = this.#take(/[^\n,}\]#]*/y).replace(/\/\/.*$/, "");
    const word = raw.trim();
    if (word === "") throw this.#fault("a missing value");
    if (word.includes("${")) throw this.#fault("a substitution, which is not taken");
    if (/["{[]/.test(word)) throw this.#fault("values put together, which are not taken");
    if (word === "true" || word === "false") return word === "true";
    if (word === "null") return null;
    return NUMBER.test(word) ? Number(word) : word;
  }

  #path(): string[] {
    if (this.#text[this.#at] === '"') return [this.#quoted()];
    const raw = this.#take(/[^\s=:{}[\],"#+$]+/y);
    if (raw === "" || raw === "include") throw this.#fault("what is no key");
    const path = raw.split(".");
    if (path.includes("")) throw this.#fault("an empty key");
    return path;
  }

  #quoted(): string {
    if (this.#text.startsWith('"""', this.#at)) {
      const end = this.#text.indexOf('"""', this.#at + 3);
      if (end < 0) throw this.#fault("text without end");
      const content = this.#text.slice(this.#at + 3, end);
      this.#at = end + 3;
      return content;
    }
    const raw = this.#take(/"(?:[^"\\\n]|\\.)*"/y);
    try {
      const content: unknown = JSON.parse(raw);
      if (typeof content === "string") return content;
    } catch {
      // Reported below, with its line.
    }
    throw this.#fault("text that is not quoted right");
  }

  #take(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0] ?? "";
    this.#at += found.length;
    return found;
  }

  /** White space and comments, line ends too where they mean nothing. */
  #skip(lines: boolean): void {
    this.#take(lines ? /(?:\s|#[^\n]*|\/\/[^\n]*)*/y : /[^\S\n]*/y);
  }

  #skipSeparators(): void {
    this.#take(/(?:[\s,]|#[^\n]*|\/\/[^\n]*)*/y);
  }

  #requireEnd(): void {
    this.#skip(false);
    const next = this.#text[this.#at];
    if (next === undefined || "\n,}]#".includes(next)) return;
    if (this.#text.startsWith("//", this.#at)) return;
    throw this.#fault("values put together, which are not taken");
  }

  #fault(what: string): HoconError {
    const line = this.#text.slice(0, this.#at).split("\n").length;
    return new HoconError(`line ${line}: ${what}`);
  }
}

function put(values: HoconObject, path: readonly string[], value: unknown): void {
  const [name = "", ...rest] = path;
  const before = values[name];
  if (rest.length > 0) {
    const inner: HoconObject = isTree(before) ? before : Object.create(null);
    put(inner, rest, value);
    values[name] = inner;
  } else if (isTree(before) && isTree(value)) {
    for (const [key, member] of Object.entries(value)) put(before, [key], member);
  } else {
    values[name] = value;
  }
}

function isTree(value: unknown): value is HoconObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
