const MASK_DELTA = 0xa282_ead8;

/** Checksums as LevelDB stores them: rotated and shifted, so that a checksum of checksums stays one. */
export function mask(crc: number): number {
  return (((crc >>> 15) | (crc << 17)) + MASK_DELTA) >>> 0;
}

export function unmask(masked: number): number {
  const rotated = (masked - MASK_DELTA) >>> 0;
  return ((rotated >>> 17) | (rotated << 15)) >>> 0;
}

/** CRC-32C (Castagnoli, RFC 3720), four bytes at a step. */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffff_ffff;
  let i = 0;
  for (const end = bytes.length - 3; i < end; i += 4) {
    crc ^=
      (bytes[i] ?? 0) |
      ((bytes[i + 1] ?? 0) << 8) |
      ((bytes[i + 2] ?? 0) << 16) |
      ((bytes[i + 3] ?? 0) << 24);
    crc =
      (TABLES[768 + (crc & 0xff)] ?? 0) ^
      (TABLES[512 + ((crc >>> 8) & 0xff)] ?? 0) ^
      (TABLES[256 + ((crc >>> 16) & 0xff)] ?? 0) ^
      (TABLES[crc >>> 24] ?? 0);
  }
  for (; i < bytes.length; i++) crc = (TABLES[(crc ^ (bytes[i] ?? 0)) & 0xff] ?? 0) ^ (crc >>> 8);
  return (crc ^ 0xffff_ffff) >>> 0;
}

/** Four tables of 256: what a byte does to the checksum with none to three bytes behind it. */
const TABLES = tables();

function tables(): Uint32Array {
  const all = new Uint32Array(1024);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f6_3b78 : 0);
    all[byte] = crc;
  }
  for (let i = 256; i < 1024; i++) {
    const before = all[i - 256] ?? 0;
    all[i] = (all[before & 0xff] ?? 0) ^ (before >>> 8);
  }
  return all;
}
