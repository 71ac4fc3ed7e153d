import { ByteReader, MalformedRecord } from "../bytes.ts";

/** Largest block that is unpacked. */
const MAX_UNPACKED_BYTES = 67_108_864;

/** Unpacks Snappy's format (format_description.txt). @throws MalformedRecord. */
export function unsnap(packed: Buffer): Buffer {
  const from = new ByteReader(packed);
  const size = from.varint();
  if (size > MAX_UNPACKED_BYTES) throw new MalformedRecord("a block is too large");
  const out = Buffer.alloc(size);
  let at = 0;
  while (!from.isAtEnd) {
    const tag = from.u8();
    if ((tag & 3) === 0) {
      const short = tag >> 2;
      const literal = from.take(1 + (short < 60 ? short : from.uintLE(short - 59)));
      if (at + literal.length > size) throw new MalformedRecord("a block is too long");
      literal.copy(out, at);
      at += literal.length;
      continue;
    }
    const isShort = (tag & 3) === 1;
    const length = isShort ? 4 + ((tag >> 2) & 7) : 1 + (tag >> 2);
    const offset = isShort ? ((tag >> 5) << 8) | from.u8() : from.uintLE((tag & 3) === 2 ? 2 : 4);
    if (offset === 0 || offset > at || at + length > size) throw new MalformedRecord("a bad copy");
    // Byte by byte: a copy may reach into what it writes.
    for (let i = 0; i < length; i++, at++) out[at] = out[at - offset] ?? 0;
  }
  if (at !== size) throw new MalformedRecord("a block is too short");
  return out;
}
