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
    const { data, ...rest } = value;
    const tail = JSON.stringify(rest).slice(1);
    return Readable.from(pieces('{"data":[', data, tail === "}" ? "]}" : `],${tail}`));
  }
  return JSON.stringify(value);
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
