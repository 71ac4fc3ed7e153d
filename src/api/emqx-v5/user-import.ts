import type { ImportedUser } from "../../services/index.ts";
import { ApiError, createTurns } from "./kit/index.ts";

export type ImportKind = "hash" | "plain";

const MAX_ROWS = 250_000;

/**
 * The users in a file of EMQX's: JSON, a list of objects, when its name ends in `.json`, else CSV
 * whose first line names the columns `user_id,password_hash,salt,is_superuser` or
 * `user_id,password,is_superuser`. The event loop gets turns meanwhile.
 * @throws ApiError 400 naming the row
 */
export async function readImportFile(
  file: { readonly name: string; readonly bytes: Buffer },
  kind: ImportKind,
): Promise<ImportedUser[]> {
  const isJson = file.name.toLowerCase().endsWith(".json");
  const text = textOf(file.bytes);
  return readImport(isJson ? jsonRows(text) : csvRows(text), kind);
}

/** The same of rows that are objects already. @throws ApiError 400 naming the row */
export async function readImport(
  rows: Iterable<unknown>,
  kind: ImportKind,
): Promise<ImportedUser[]> {
  const turns = createTurns();
  const users: ImportedUser[] = [];
  for (const row of rows) {
    if (users.length >= MAX_ROWS) throw bad(`there are more than ${MAX_ROWS} rows`);
    users.push(userOf(row, kind, users.length + 1));
    if (turns.isDue()) await turns.take();
  }
  return users;
}

function userOf(row: unknown, kind: ImportKind, number: number): ImportedUser {
  if (typeof row !== "object" || row === null) throw bad(`row ${number} is no user`);
  const fields = new Map<string, unknown>(Object.entries(row));
  const text = (name: string, fallback?: string): string => {
    const value = fields.get(name) ?? fallback;
    if (typeof value !== "string") throw bad(`row ${number}: ${name} is missing or no text`);
    return value;
  };
  const superuser = fields.get("is_superuser") ?? false;
  if (![true, false, "true", "false", ""].some((known) => known === superuser)) {
    throw bad(`row ${number}: is_superuser is neither true nor false`);
  }
  return {
    userId: text("user_id"),
    isSuperuser: superuser === true || superuser === "true",
    secret:
      kind === "plain"
        ? { password: text("password") }
        : { hash: text("password_hash"), salt: text("salt", "") },
  };
}

/** The objects of a JSON list, one after the other: the whole at once would hold up everybody. */
function* jsonRows(text: string): Iterable<unknown> {
  let at = skipBlanks(text, 0);
  if (text[at] !== "[") throw bad("the file is no list of users");
  at = skipBlanks(text, at + 1);
  if (text[at] === "]") {
    mustEnd(text, at + 1);
    return;
  }
  for (;;) {
    const end = endOfObject(text, at);
    yield parsed(text.slice(at, end));
    at = skipBlanks(text, end);
    if (text[at] === "]") break;
    if (text[at] !== ",") throw bad("the file is not valid JSON");
    at = skipBlanks(text, at + 1);
  }
  mustEnd(text, at + 1);
}

/** A user is a flat object: only texts can hold a brace that does not count. */
const OBJECT = /^\{(?:[^{}"]|"(?:[^"\\]|\\.)*")*\}/;
const MAX_OBJECT = 20_000;

function endOfObject(text: string, at: number): number {
  // The pattern works on a piece, so that a missing brace does not read the rest of the file.
  const piece = text.slice(at, at + MAX_OBJECT);
  const found = OBJECT.exec(piece);
  if (found === null) throw bad("the file is not valid JSON, or a user in it is too long");
  return at + found[0].length;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw bad("the file is not valid JSON");
  }
}

function mustEnd(text: string, at: number): void {
  if (skipBlanks(text, at) < text.length) throw bad("the file goes on after its list");
}

function skipBlanks(text: string, from: number): number {
  let at = from;
  while (at < text.length && " \t\r\n".includes(text[at] ?? "")) at++;
  return at;
}

/** Lines of RFC 4180; a field in quotes may hold commas and doubled quotes, but no line break. */
function* csvRows(text: string): Iterable<unknown> {
  let names: readonly string[] | null = null;
  for (let from = 0; from < text.length; ) {
    const newline = text.indexOf("\n", from);
    const end = newline < 0 ? text.length : newline;
    const line = text.slice(from, end).replace(/\r$/, "");
    from = end + 1;
    if (line.trim() === "") continue;
    const fields = fieldsOf(line);
    if (names === null) {
      names = fields.map((name) => name.trim());
      if (!names.includes("user_id")) throw bad("the first line does not name a column user_id");
      continue;
    }
    if (fields.length > names.length) throw bad("a line has more fields than the first");
    yield Object.fromEntries(names.map((name, index) => [name, fields[index]]));
  }
  if (names === null) throw bad("the file is empty");
}

function fieldsOf(line: string): string[] {
  if (!line.includes('"')) return line.split(",");
  const fields: string[] = [];
  let at = 0;
  for (;;) {
    if (line[at] === '"') {
      const [field, end] = quotedField(line, at);
      fields.push(field);
      at = end;
      if (at < line.length && line[at] !== ",") throw bad("there is text after a quoted field");
    } else {
      const comma = line.indexOf(",", at);
      const end = comma < 0 ? line.length : comma;
      fields.push(line.slice(at, end));
      at = end;
    }
    if (at >= line.length) return fields;
    at++;
  }
}

function quotedField(line: string, start: number): readonly [text: string, end: number] {
  let at = start + 1;
  for (;;) {
    const quote = line.indexOf('"', at);
    if (quote < 0) throw bad("a quote is not closed");
    if (line[quote + 1] !== '"') {
      return [line.slice(start + 1, quote).replaceAll('""', '"'), quote + 1];
    }
    at = quote + 2;
  }
}

function textOf(bytes: Buffer): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw bad("the file is not text in UTF-8");
  }
}

function bad(message: string): ApiError {
  return new ApiError(400, "BAD_REQUEST", message);
}
