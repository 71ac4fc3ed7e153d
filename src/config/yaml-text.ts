import {
  isCollection,
  isMap,
  isScalar,
  Lexer,
  LineCounter,
  parseDocument,
  stringify,
  visit,
} from "yaml";
import { GatewayError, reasonOf } from "../errors/index.ts";
import { isObject, shown, type Values } from "./format.ts";

/** The largest configuration file, in bytes. */
export const MAX_FILE_BYTES = 1_048_576;

const MAX_FLOW_DEPTH = 64;
const MAX_INDICATORS_PER_LINE = 64;
const MAX_INDENTATION = 256;
const MAX_ALIASES = 100;

/** Lexemes that are no text: start of a document, of a scalar, and an error in flow style. */
const LEXER_MARKS: ReadonlySet<string> = new Set(["\u0002", "\u001f", "\u0018"]);

/** Where something stands in a text, both counted from 1. */
interface Position {
  readonly line: number;
  readonly col: number;
}

/**
 * Reads a configuration text: one YAML 1.2 document (core schema) holding a map, or nothing. A byte
 * order mark and CRLF are fine.
 * @throws GatewayError CONFIG_SYNTAX naming `path`, line and column, never the text itself, which may
 * hold secrets.
 */
export function parseYaml(bytes: Buffer, path: string): Values {
  const fail = (reason: string, at?: Position): GatewayError =>
    new GatewayError("CONFIG_SYNTAX", {
      path,
      reason: at === undefined ? reason : `line ${at.line}, column ${at.col}: ${reason}`,
    });
  if (bytes.length > MAX_FILE_BYTES) {
    throw fail(`it has ${bytes.length} bytes, expected at most ${MAX_FILE_BYTES}`);
  }
  const lines = new LineCounter();
  const text = decode(bytes, fail);
  const deep = deepNesting(text);
  if (deep !== null) throw fail("it is nested too deeply", positionOf(text, deep));

  const document = parseDocument(text, {
    version: "1.2",
    // Without it a %YAML 1.1 directive brings back `yes`, merge keys and sexagesimal numbers.
    schema: "core",
    resolveKnownTags: false,
    stringKeys: true,
    // The library compares each key of a map with all the others; `repeatedKey` uses a set.
    uniqueKeys: false,
    // "Pretty" errors quote the line, and with it a password.
    prettyErrors: false,
    lineCounter: lines,
    logLevel: "warn",
  });
  const problem = document.errors[0] ?? document.warnings[0];
  if (problem !== undefined) throw fail(withoutQuote(problem), lines.linePos(problem.pos[0]));
  const refused = refusedNode(document);
  if (refused !== null) throw fail(refused.reason, lines.linePos(refused.offset));

  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: MAX_ALIASES });
  } catch (err) {
    // An anchor whose aliases multiply, or an alias without anchor; the library gives no position.
    const reason = withoutQuote({ code: "", message: reasonOf(err) });
    throw fail(reason, lines.linePos(firstAlias(document)));
  }
  if (value === null || value === undefined) return {};
  if (!isObject(value)) throw fail("expected keys with values", { line: 1, col: 1 });
  return value;
}

/** A tree of plain values as YAML that `parseYaml` reads back unchanged, after `header` as a comment. */
export function formatYaml(values: Values, header: string): string {
  const comment = header.replace(/^/gm, "# ");
  if (Object.keys(values).length === 0) return `${comment}\n`;
  const body = stringify(values, {
    version: "1.2",
    schema: "core",
    // A value used twice would become an anchor and an alias.
    aliasDuplicateObjects: false,
    // No folding: a fold is one more thing that has to come back unchanged.
    lineWidth: 0,
  });
  return `${comment}\n${body}`;
}

function decode(bytes: Buffer, fail: (reason: string, at?: Position) => GatewayError): string {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw fail("it is not UTF-8 text");
  }
  // YAML 1.2.2 §5.1: a stream holds printable characters. NULs are what a power cut leaves behind.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  const unprintable = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f\u0080-\u0084\u0086-\u009f]/;
  const at = text.search(unprintable);
  if (at >= 0) throw fail("it holds a control character", positionOf(text, at));
  return text;
}

/**
 * The offset where collections nest deeper than any configuration does, or null. The library
 * composes recursively: 200,000 brackets overflow the stack inside V8's regular expressions, which
 * ends the process ("a file of brackets is refused" shows it), so its lexer, which does not recurse,
 * looks first. In block style a level needs deeper indentation or an indicator on the same line; in
 * flow style a comma ends what its entry has nested.
 */
function deepNesting(text: string): number | null {
  let offset = 0;
  let flowDepth = 0;
  let indicators = 0;
  let isLineStart = true;
  for (const lexeme of new Lexer().lex(text)) {
    if (lexeme === "[" || lexeme === "{") flowDepth += 1;
    else if (lexeme === "]" || lexeme === "}") flowDepth -= 1;
    else if (lexeme === "," && flowDepth > 0) indicators = 0;
    else if (lexeme === "-" || lexeme === "?" || lexeme === ":") indicators += 1;
    const isIndentation = isLineStart && /^ +$/.test(lexeme);
    if (
      flowDepth > MAX_FLOW_DEPTH ||
      indicators > MAX_INDICATORS_PER_LINE ||
      (isIndentation && lexeme.length > MAX_INDENTATION)
    ) {
      return Math.min(offset, text.length);
    }
    isLineStart = lexeme === "\n" || lexeme === "\r\n";
    if (isLineStart) indicators = 0;
    if (!LEXER_MARKS.has(lexeme)) offset += lexeme.length;
  }
  return null;
}

type Parsed = ReturnType<typeof parseDocument>;

/** The first repeated key, alias that is one too many, or alias of what it stands in. */
function refusedNode(document: Parsed): { reason: string; offset: number } | null {
  let refused: { reason: string; offset: number } | null = null;
  let aliases = 0;
  visit(document, {
    Alias(_, node, ancestors) {
      aliases += 1;
      const holdsItself = ancestors.some(
        (ancestor) => isCollection(ancestor) && ancestor.anchor === node.source,
      );
      if (aliases <= MAX_ALIASES && !holdsItself) return undefined;
      const reason = holdsItself
        ? "an alias of what it stands in"
        : `more than ${MAX_ALIASES} aliases`;
      refused = { reason, offset: node.range?.[0] ?? 0 };
      return visit.BREAK;
    },
    Map(_, node) {
      const seen = new Set<unknown>();
      for (const { key } of node.items) {
        const name = isScalar(key) ? key.value : key;
        if (seen.has(name)) {
          const offset = isScalar(key) ? (key.range?.[0] ?? 0) : 0;
          refused = { reason: `the key ${shown(name)} stands here a second time`, offset };
          return visit.BREAK;
        }
        seen.add(name);
      }
      return undefined;
    },
  });
  return refused;
}

function firstAlias(document: Parsed): number {
  let offset = isMap(document.contents) ? (document.contents.range?.[0] ?? 0) : 0;
  visit(document, {
    Alias(_, node) {
      offset = node.range?.[0] ?? offset;
      return visit.BREAK;
    },
  });
  return offset;
}

/** The library's message up to where it quotes the text, which may be a password. */
function withoutQuote(problem: { readonly code: string; readonly message: string }): string {
  if (problem.code === "MISSING_CHAR") return problem.message;
  if (problem.code === "MULTIPLE_DOCS") return "a second document starts here, expected one";
  if (problem.code === "BAD_DQ_ESCAPE") return "Invalid escape sequence";
  return problem.message.split(": ", 1)[0] ?? problem.code;
}

function positionOf(text: string, offset: number): Position {
  const before = text.slice(0, offset);
  const lineStart = before.lastIndexOf("\n") + 1;
  return { line: before.split("\n").length, col: offset - lineStart + 1 };
}
