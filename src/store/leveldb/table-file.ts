import { ByteReader, ByteWriter, MalformedRecord } from "../bytes.ts";
import { crc32c, mask, unmask } from "./crc32c.ts";
import { unsnap } from "./snappy.ts";

/** LevelDB's table format (doc/table_format.md): blocks, indices of them, and a footer. */
const FOOTER_BYTES = 48;
const MAGIC = 0xdb47_7524_8b80_fb57n;
const MAGIC_AT = 40;

/** Behind each block: one byte for how it is compressed, and a checksum of four. */
const TRAILER_BYTES = 5;
const NOT_COMPRESSED = 0;
const SNAPPY = 1;

interface Block {
  readonly offset: number;
  readonly size: number;
}

/** An entry of an index: the block, and a key not below its last one. */
interface IndexEntry {
  readonly key: Buffer;
  readonly block: Block;
}

/** Checks every block of a table against its checksum, which LevelDB itself does not when it reads. */
export function isTableIntact(file: Buffer): boolean {
  const directories = directoriesOf(file);
  if (directories === null) return false;
  return directories.every((directory) => {
    const entries = indexOf(file, directory);
    return entries?.every(({ block }) => isIntact(file, block)) ?? false;
  });
}

/**
 * The same table with its intact blocks only, and without a filter; null when its index is
 * damaged. LevelDB must not be given a damaged block: keys in the wrong order end the process (an
 * assertion in its table builder).
 */
export function intactPart(file: Buffer): Buffer | null {
  const [, index] = directoriesOf(file) ?? [];
  const entries = index === undefined ? null : indexOf(file, index);
  if (entries === null) return null;
  const intact = entries.filter(({ block }) => isIntact(file, block));
  const end = Math.max(0, ...intact.map(({ block }) => block.offset + block.size + TRAILER_BYTES));
  const filters = withTrailer(blockOf([]));
  const blocks = withTrailer(blockOf(intact));
  const footer = new ByteWriter();
  writeHandle(footer, { offset: end, size: filters.length - TRAILER_BYTES });
  writeHandle(footer, { offset: end + filters.length, size: blocks.length - TRAILER_BYTES });
  while (footer.length < MAGIC_AT) footer.u8(0);
  const magic = Buffer.alloc(8);
  magic.writeBigUInt64LE(MAGIC);
  footer.rawBytes(magic);
  return Buffer.concat([file.subarray(0, end), filters, blocks, footer.slice(0, FOOTER_BYTES)]);
}

/** The index of filters and the index of blocks. */
function directoriesOf(file: Buffer): [Block, Block] | null {
  const footer = file.subarray(-FOOTER_BYTES);
  if (footer.length < FOOTER_BYTES || footer.readBigUInt64LE(MAGIC_AT) !== MAGIC) return null;
  return orNull(() => {
    const from = new ByteReader(footer, 0, MAGIC_AT);
    return [readHandle(from), readHandle(from)];
  });
}

function isIntact(file: Buffer, { offset, size }: Block): boolean {
  const end = offset + size + 1;
  if (end + 4 > file.length) return false;
  return unmask(file.readUInt32LE(end)) === crc32c(file.subarray(offset, end));
}

/** The entries of an index block, null when it is damaged. */
function indexOf(file: Buffer, block: Block): IndexEntry[] | null {
  if (!isIntact(file, block)) return null;
  const { offset, size } = block;
  const packed = file.subarray(offset, offset + size);
  const compression = file[offset + size];
  if (compression !== NOT_COMPRESSED && compression !== SNAPPY) return null;
  return orNull(() => entriesIn(compression === SNAPPY ? unsnap(packed) : packed));
}

function entriesIn(content: Buffer): IndexEntry[] {
  if (content.length < 4) throw new MalformedRecord("a block is too short");
  const restarts = content.readUInt32LE(content.length - 4);
  const end = content.length - 4 - 4 * restarts;
  if (end < 0) throw new MalformedRecord("a block is too short");
  const from = new ByteReader(content, 0, end);
  const entries: IndexEntry[] = [];
  let key = Buffer.alloc(0);
  while (!from.isAtEnd) {
    const shared = from.varint();
    const keyBytes = from.varint();
    const valueBytes = from.varint();
    key = Buffer.concat([key.subarray(0, shared), from.take(keyBytes)]);
    entries.push({ key, block: readHandle(new ByteReader(from.take(valueBytes))) });
  }
  return entries;
}

function blockOf(entries: readonly IndexEntry[]): Buffer {
  const out = new ByteWriter();
  const restarts: number[] = [];
  for (const { key, block } of entries) {
    restarts.push(out.length);
    const value = new ByteWriter();
    writeHandle(value, block);
    out.varint(0);
    out.varint(key.length);
    out.varint(value.length);
    out.rawBytes(key);
    out.rawBytes(value.slice(0, value.length));
  }
  if (restarts.length === 0) restarts.push(0);
  const tail = Buffer.alloc(4 * restarts.length + 4);
  for (const [i, at] of [...restarts, restarts.length].entries()) tail.writeUInt32LE(at, 4 * i);
  return Buffer.concat([out.slice(0, out.length), tail]);
}

function withTrailer(content: Buffer): Buffer {
  const block = Buffer.concat([content, Buffer.alloc(TRAILER_BYTES)]);
  const end = content.length + 1;
  block.writeUInt32LE(mask(crc32c(block.subarray(0, end))), end);
  return block;
}

function readHandle(from: ByteReader): Block {
  return { offset: from.varint(), size: from.varint() };
}

function writeHandle(out: ByteWriter, { offset, size }: Block): void {
  out.varint(offset);
  out.varint(size);
}

function orNull<T>(parse: () => T): T | null {
  try {
    return parse();
  } catch (err) {
    if (err instanceof MalformedRecord) return null;
    throw err;
  }
}
