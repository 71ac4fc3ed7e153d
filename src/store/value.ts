import { crc32 } from "node:zlib";
import { ByteReader, type ByteWriter, MalformedRecord } from "./bytes.ts";

/** First byte of every value this version writes. */
const VALUE_VERSION = 1;

const CRC_BYTES = 4;

/** Starts a value behind its key in the same writer. */
export function beginValue(out: ByteWriter): void {
  out.u8(VALUE_VERSION);
}

/**
 * Ends a value with the CRC-32 of key and value: LevelDB as `level` opens it does not verify the
 * checksums of its blocks, so a flipped bit would come back as data.
 */
export function endValue(out: ByteWriter, keyStart: number): void {
  out.u32(crc32(out.slice(keyStart, out.length)));
}

/** The record inside a value. @throws MalformedRecord when it is damaged or of an unknown version. */
export function openValue(key: Buffer, value: Buffer): ByteReader {
  const end = value.length - CRC_BYTES;
  if (end < 1) throw new MalformedRecord("the value is too short");
  if (crc32(value.subarray(0, end), crc32(key)) !== value.readUInt32BE(end)) {
    throw new MalformedRecord("the checksum does not fit");
  }
  if (value[0] !== VALUE_VERSION) throw new MalformedRecord(`unknown version ${value[0]}`);
  return new ByteReader(value, 1, end);
}
