import { PACKET } from "./packet-types.ts";
import { ByteSink, packet, Reader } from "./primitives.ts";
import { type Properties, readProperties, writeProperties } from "./properties.ts";
import { malformed, type ReasonCode } from "./reason-codes.ts";

/** A PUBACK, PUBREC, PUBREL or PUBCOMP (MQTT 5.0 §3.4 – §3.7). */
export interface Ack {
  readonly packetId: number;
  readonly reasonCode: number;
}

/** Reason codes a client may send, by packet type ([MQTT-3.4.2-1], -3.5.2-1, -3.6.2-1, -3.7.2-1). */
const PUBLISH_REFUSALS = [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
const RELEASE_REASONS = [0x00, 0x92];

/**
 * Reads the long forms; the four-byte form is read in place by the connection.
 * @throws PacketFault 0x81, 0x82.
 */
export function readAck(type: number, isV5: boolean, buf: Buffer, start: number, end: number): Ack {
  const reader = new Reader(buf, start, end);
  const packetId = reader.u16();
  if (packetId === 0) throw malformed("packet id is 0"); // [MQTT-2.2.1-2]
  if (reader.isDone) return { packetId, reasonCode: 0 };
  if (!isV5) throw malformed("acknowledgement has more than a packet id");
  const reasonCode = reader.u8();
  const allowed =
    type === PACKET.puback || type === PACKET.pubrec ? PUBLISH_REFUSALS : RELEASE_REASONS;
  if (!allowed.includes(reasonCode)) throw malformed("reason code may not stand here");
  if (!reader.isDone) readProperties(reader, type);
  if (!reader.isDone) throw malformed("acknowledgement has bytes after its last field");
  return { packetId, reasonCode };
}

/** An acknowledgement of MQTT 5.0 with a reason code, and properties where there are any. */
export function ack5(
  type: number,
  packetId: number,
  reason: ReasonCode,
  properties: Properties | null,
): Buffer {
  const sink = new ByteSink().u16(packetId).u8(reason);
  if (properties !== null) writeProperties(sink, properties);
  return packet((type << 4) | (type === PACKET.pubrel ? 2 : 0), sink.finish());
}
