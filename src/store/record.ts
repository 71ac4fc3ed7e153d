/** A packet as the persistence contract passes it: an MQTT packet plus the broker's own fields. */
export interface StoredPacket {
  readonly cmd?: string;
  readonly topic: string;
  readonly payload: Buffer | string;
  readonly qos: number;
  readonly retain?: boolean;
  readonly dup?: boolean;
  readonly brokerId?: string;
  readonly brokerCounter?: number;
  messageId?: number | undefined;
}

/**
 * A record is a length-prefixed JSON header followed by the payload as it is: binary payloads are
 * neither escaped nor copied into text, and the header stays readable with LevelDB's own tools.
 */
export function encodeRecord(header: object, payload: Buffer | string = ""): Buffer {
  const isText = typeof payload === "string";
  const head = Buffer.from(JSON.stringify(isText ? { ...header, isText } : header));
  const length = Buffer.allocUnsafe(4);
  length.writeUInt32BE(head.length);
  return Buffer.concat([length, head, isText ? Buffer.from(payload) : payload]);
}

/** Null for bytes that are not a record: damage costs the record it hit, not the ones around it. */
export function decodeRecord(
  bytes: Buffer,
): { header: Record<string, unknown>; payload: Buffer | string } | null {
  if (bytes.length < 4) return null;
  const end = 4 + bytes.readUInt32BE(0);
  if (end > bytes.length) return null;
  try {
    const parsed: unknown = JSON.parse(bytes.toString("utf8", 4, end));
    if (typeof parsed !== "object" || parsed === null) return null;
    const { isText, ...header } = parsed as Record<string, unknown>;
    const payload = bytes.subarray(end);
    return { header, payload: isText === true ? payload.toString() : payload };
  } catch {
    return null;
  }
}

/** A packet's record; the packet identifier belongs to a delivery and is not part of it. */
export function encodePacket(packet: StoredPacket): Buffer {
  const { payload, messageId: _, ...header } = packet;
  return encodeRecord(header, payload);
}

/** Null when the record is damaged. */
export function decodePacket(bytes: Buffer): StoredPacket | null {
  const record = decodeRecord(bytes);
  if (record === null) return null;
  const { topic, qos } = record.header;
  if (typeof topic !== "string" || typeof qos !== "number") return null;
  return { ...record.header, topic, qos, payload: record.payload };
}
