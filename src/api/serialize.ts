import { Readable } from "node:stream";
import { createTurns } from "./turns.ts";

/** Lists up to this length are serialised at once. */
const SMALL = 200;
/** Characters sent together. */
const CHUNK_CHARS = 65_536;

/**
 * JSON of an answer: text, or a stream of text for a list or `{data: list}` that is long, made row by
 * row as fast as the caller takes it, with turns for the event loop in between.
 */
export function serialize(value: unknown): string | Readable {
  if (isLong(value)) return Readable.from(pieces("[", value, "]"));
  if (typeof value === "object" && value !== null && "data" in value && isLong(value.data)) {
    const members = Object.entries(value);
    const at = members.findIndex(([name]) => name === "data");
    const head = JSON.stringify(Object.fromEntries(members.slice(0, at))).slice(0, -1);
    const tail = JSON.stringify(Object.fromEntries(members.slice(at + 1))).slice(1);
    const before = head === "{" ? head : `${head},`;
    const after = tail === "}" ? tail : `,${tail}`;
    return Readable.from(pieces(`${before}"data":[`, value.data, `]${after}`));
  }
  return JSON.stringify(value);
}

/**
 * A row that is made when it is written: of a long list never more than one is in memory. It must not
 * fail.
 */
export function later(make: () => unknown): { toJSON(): unknown } {
  return { toJSON: make };
}

function isLong(value: unknown): value is readonly unknown[] {
  return Array.isArray(value) && value.length > SMALL;
}

async function* pieces(head: string, rows: readonly unknown[], tail: string) {
  const turns = createTurns();
  let piece = head;
  for (const [i, row] of rows.entries()) {
    piece += i === 0 ? JSON.stringify(row) : `,${JSON.stringify(row)}`;
    if (piece.length >= CHUNK_CHARS) {
      yield Buffer.from(piece);
      piece = "";
    }
    if (turns.isDue()) await turns.take();
  }
  yield Buffer.from(piece + tail);
}
