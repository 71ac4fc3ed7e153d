import { crc32c, mask, unmask } from "./crc32c.ts";

/** LevelDB's log format (doc/log_format.md): blocks of records with checksum, length and type. */
const BLOCK_BYTES = 32_768;
const HEADER_BYTES = 7;

/** A power cut leaves this much of a first write that did not happen, at most; more is damage. */
const TORN_BYTES = 4096;

/** Record types: a whole entry, or its first, middle and last piece. */
const FULL = 1;
const FIRST = 2;
const MIDDLE = 3;
const LAST = 4;

/** What stands in a log file. */
export interface LogContent {
  /** The complete entries, in order. */
  readonly entries: readonly Buffer[];
  /**
   * A record that does not fit its checksum is followed by one that does, or a file of some size has
   * no record at all: something was damaged. Otherwise a bad record is only the end of a write that
   * did not happen.
   */
  readonly isDamaged: boolean;
}

/** Reads a log file as LevelDB does. Linear in its size. */
export function readLog(file: Buffer): LogContent {
  const entries: Buffer[] = [];
  let pieces: Buffer[] = [];
  let isAfterBad = false;
  let isDamaged = false;
  let isEmpty = true;
  let at = 0;
  while (at + HEADER_BYTES <= file.length) {
    const left = BLOCK_BYTES - (at % BLOCK_BYTES);
    if (left < HEADER_BYTES) {
      at += left;
      continue;
    }
    const length = file.readUInt16LE(at + 4);
    const type = file[at + 6] ?? 0;
    const end = at + HEADER_BYTES + length;
    if (type === 0 && length === 0) {
      at += left;
      continue;
    }
    const isWhole = length <= left - HEADER_BYTES && end <= file.length;
    if (!isWhole || unmask(file.readUInt32LE(at)) !== crc32c(file.subarray(at + 6, end))) {
      isAfterBad = true;
      pieces = [];
      // The length may be what is wrong: LevelDB gives the rest of the block up, a reader of damage looks on.
      at = isWhole ? end : at + left;
      continue;
    }
    if (isAfterBad) isDamaged = true;
    isEmpty = false;
    const payload = file.subarray(at + HEADER_BYTES, end);
    if (type === FULL) entries.push(payload);
    else if (type === FIRST) pieces = [payload];
    else if (type === MIDDLE || type === LAST) pieces.push(payload);
    if (type === LAST) entries.push(Buffer.concat(pieces));
    at = end;
  }
  return { entries, isDamaged: isDamaged || (isEmpty && file.length >= TORN_BYTES) };
}

/** Writes entries as a log file. */
export function writeLog(entries: readonly Buffer[]): Buffer {
  const parts: Buffer[] = [];
  let at = 0;
  for (const entry of entries) {
    let from = 0;
    do {
      let left = BLOCK_BYTES - (at % BLOCK_BYTES);
      if (left < HEADER_BYTES) {
        parts.push(Buffer.alloc(left));
        at += left;
        left = BLOCK_BYTES;
      }
      const piece = entry.subarray(from, from + left - HEADER_BYTES);
      const isFirst = from === 0;
      from += piece.length;
      const isLast = from === entry.length;
      const header = Buffer.alloc(HEADER_BYTES);
      header.writeUInt16LE(piece.length, 4);
      header[6] = isFirst ? (isLast ? FULL : FIRST) : isLast ? LAST : MIDDLE;
      header.writeUInt32LE(mask(crc32c(Buffer.concat([header.subarray(6), piece]))));
      parts.push(header, piece);
      at += HEADER_BYTES + piece.length;
    } while (from < entry.length);
  }
  return Buffer.concat(parts);
}
