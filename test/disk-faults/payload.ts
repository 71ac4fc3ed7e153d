/**
 * Payloads that say what they are: `<id>|<bytes>|` and then a pattern made of the id, so that half a
 * payload, or one put together from two, is recognised.
 */
export function payloadOf(id: string, sizeBytes: number): Buffer {
  const head = Buffer.from(`${id}|${sizeBytes}|`);
  const payload = Buffer.alloc(Math.max(sizeBytes, head.length), `${id}~`);
  head.copy(payload);
  return payload;
}

/** The id of a whole payload; null for anything else. */
export function idOf(payload: Buffer): string | null {
  const [id, size] = payload.toString("latin1", 0, 80).split("|", 2);
  if (id === undefined || size === undefined) return null;
  return payload.equals(payloadOf(id, Number(size))) ? id : null;
}
