/** A term of an ACL text, as Erlang writes it; `at` is where it starts in the text. */
export type Term =
  | { readonly kind: "atom"; readonly value: string; readonly at: number }
  | { readonly kind: "string"; readonly value: string; readonly at: number }
  | { readonly kind: "integer"; readonly value: number; readonly at: number }
  | { readonly kind: "tuple"; readonly items: readonly Term[]; readonly at: number }
  | { readonly kind: "list"; readonly items: readonly Term[]; readonly at: number };

/** Something in the text that is not as it should be. */
export class TextFault extends Error {
  readonly at: number;

  constructor(at: number, reason: string) {
    super(reason);
    this.at = at;
  }
}

interface Token {
  readonly kind: "atom" | "string" | "integer" | "sign";
  readonly value: string;
  readonly at: number;
}

const MAX_DEPTH = 16;

/** Blanks and comments, then one token: a quoted text is read by hand because of its escapes. */
const BLANK = /(?:\s|%[^\n]*)*/y;
const WORD = /[a-z][A-Za-z0-9_@]*/y;
const INTEGER = /-?\d{1,9}/y;
const SIGNS = new Set(["{", "}", "[", "]", ",", ".", "<<", ">>", "/"]);
const ESCAPES: Readonly<Record<string, string>> = {
  n: "\n",
  t: "\t",
  r: "\r",
  s: " ",
  '"': '"',
  "'": "'",
  "\\": "\\",
};

/**
 * The terms of a text, each ended by a dot.
 * @throws TextFault
 */
export function readTerms(text: string): readonly Term[] {
  const reader = new Reader(text);
  const terms: Term[] = [];
  while (!reader.isAtEnd) {
    terms.push(reader.term(0));
    reader.expect(".", "a dot ends each rule");
  }
  return terms;
}

class Reader {
  readonly #text: string;
  #pos = 0;
  #next: Token | null = null;

  constructor(text: string) {
    this.#text = text;
    this.#advance();
  }

  get isAtEnd(): boolean {
    return this.#next === null;
  }

  term(depth: number): Term {
    const token = this.#take("a term");
    if (depth > MAX_DEPTH) throw new TextFault(token.at, "terms are nested too deep");
    const { kind, value, at } = token;
    switch (kind) {
      case "atom":
      case "string":
        return { kind, value, at };
      case "integer":
        return { kind, value: Number(value), at };
      case "sign":
        if (value === "{") return { kind: "tuple", items: this.#items("}", depth), at };
        if (value === "[") return { kind: "list", items: this.#items("]", depth), at };
        if (value === "<<") return this.#binary(at);
        throw new TextFault(at, `a term is expected in place of ${value}`);
    }
  }

  expect(sign: string, reason: string): void {
    const at = this.#next?.at ?? this.#text.length;
    if (this.#next?.kind !== "sign" || this.#next.value !== sign) throw new TextFault(at, reason);
    this.#advance();
  }

  #items(end: string, depth: number): Term[] {
    const items: Term[] = [];
    if (this.#isSign(end)) {
      this.#advance();
      return items;
    }
    for (;;) {
      items.push(this.term(depth + 1));
      if (this.#isSign(end)) break;
      this.expect(",", `"," or "${end}" is expected`);
    }
    this.#advance();
    return items;
  }

  /** `<<"text">>` and `<<"text"/utf8>>`. */
  #binary(at: number): Term {
    const token = this.#isSign(">>") ? null : this.#take("text");
    if (token !== null && token.kind !== "string")
      throw new TextFault(token.at, "text is expected");
    if (this.#isSign("/")) {
      this.#advance();
      this.#take("utf8");
    }
    this.expect(">>", '">>" is expected');
    return { kind: "string", value: token?.value ?? "", at };
  }

  #isSign(sign: string): boolean {
    return this.#next?.kind === "sign" && this.#next.value === sign;
  }

  #take(wanted: string): Token {
    const token = this.#next;
    if (token === null) throw new TextFault(this.#text.length, `the text ends before ${wanted}`);
    this.#advance();
    return token;
  }

  #advance(): void {
    this.#match(BLANK);
    const at = this.#pos;
    const first = this.#text[at];
    if (first === undefined) {
      this.#next = null;
    } else if (first === '"' || first === "'") {
      const kind = first === '"' ? "string" : "atom";
      this.#next = { kind, value: this.#quoted(first), at };
    } else {
      const word = this.#match(WORD);
      const integer = word === null ? this.#match(INTEGER) : null;
      if (word !== null) this.#next = { kind: "atom", value: word, at };
      else if (integer !== null) this.#next = { kind: "integer", value: integer, at };
      else this.#next = { kind: "sign", value: this.#sign(), at };
    }
  }

  #sign(): string {
    for (const length of [2, 1]) {
      const sign = this.#text.slice(this.#pos, this.#pos + length);
      if (!SIGNS.has(sign)) continue;
      this.#pos += length;
      return sign;
    }
    throw new TextFault(this.#pos, `${JSON.stringify(this.#text[this.#pos])} is not expected`);
  }

  #quoted(quote: string): string {
    const start = this.#pos++;
    const parts: string[] = [];
    let from = this.#pos;
    for (;;) {
      const char = this.#text[this.#pos];
      if (char === undefined || char === "\n") {
        throw new TextFault(start, `the closing ${quote} is missing`);
      }
      if (char !== quote && char !== "\\") {
        this.#pos++;
        continue;
      }
      parts.push(this.#text.slice(from, this.#pos++));
      if (char === quote) return parts.join("");
      const escaped = ESCAPES[this.#text[this.#pos] ?? ""];
      // A backslash before anything else stands for nothing in Erlang; in "\d" it was meant to stay.
      if (escaped === undefined) {
        throw new TextFault(this.#pos - 1, "a backslash in text is written twice");
      }
      parts.push(escaped);
      from = ++this.#pos;
    }
  }

  #match(pattern: RegExp): string | null {
    pattern.lastIndex = this.#pos;
    const found = pattern.exec(this.#text)?.[0] ?? null;
    if (found !== null) this.#pos += found.length;
    return found;
  }
}
