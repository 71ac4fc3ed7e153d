/** LevelDB's log format (doc/log_format.md): blocks of records with checksum, length and type. */
const BLOCK_BYTES = 32_768;
const HEADER_BYTES = 7;

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
   * A record that does not fit its checksum is followed by one that does: something was damaged.
   * Without anything behind it, it is only the end of a write that did not happen.
   */
  readonly isDamaged: boolean;
}

/** Reads a log file as LevelDB does. Linear in its size. */
export function readLog(file: Buffer): LogContent {
  const entries: Buffer[] = [];
  let pieces: Buffer[] = [];
  let isAfterBad = false;
  let isDamaged = false;
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
    const payload = file.subarray(at + HEADER_BYTES, end);
    if (type === FULL) entries.push(payload);
    else if (type === FIRST) pieces = [payload];
    else if (type === MIDDLE || type === LAST) pieces.push(payload);
    if (type === LAST) entries.push(Buffer.concat(pieces));
    at = end;
  }
  return { entries, isDamaged };
}

const MASK_DELTA = 0xa282ead8;

/** LevelDB stores checksums rotated and shifted, so that a checksum of checksums stays one. */
function unmask(masked: number): number {
  const rotated = (masked - MASK_DELTA) >>> 0;
  return ((rotated >>> 17) | (rotated << 15)) >>> 0;
}

/** CRC-32C (Castagnoli), as iSCSI and LevelDB use it. */
export function crc32c(bytes: Buffer): number {
  let crc = 0xffff_ffff;
  for (let i = 0; i < bytes.length; i++) {
    crc = (CRC32C_TABLE[(crc ^ (bytes[i] ?? 0)) & 0xff] ?? 0) ^ (crc >>> 8);
  }
  return (crc ^ 0xffff_ffff) >>> 0;
}

const CRC32C_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f6_3b78 : 0);
  return crc >>> 0;
});
