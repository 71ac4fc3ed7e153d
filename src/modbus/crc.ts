const TABLE = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >> 1) ^ 0xa001 : crc >> 1;
  return crc;
});

/** CRC-16 of `bytes[from, to)`, low byte first on the line (MODBUS over Serial Line 1.02 §2.5.1.2). */
export function crc16(bytes: Buffer, from = 0, to = bytes.length): number {
  let crc = 0xffff;
  for (let at = from; at < to; at++) {
    crc = (crc >> 8) ^ (TABLE[(crc ^ (bytes[at] ?? 0)) & 0xff] ?? 0);
  }
  return crc;
}
