import { PACKET } from "./packet-types.ts";
import { ByteSink, packet, Reader } from "./primitives.ts";
import { type Properties, readProperties, writeProperties } from "./properties.ts";
import { malformed, REASON, type ReasonCode } from "./reason-codes.ts";

/** A DISCONNECT (MQTT 5.0 §3.14) or AUTH (§3.15). */
export interface ReasonedPacket {
  readonly reasonCode: number;
  readonly properties: Properties;
}

/** Reason codes a client may disconnect with (MQTT 5.0 §3.14.2.1, table 3-13). */
const CLIENT_DISCONNECTS = [
  0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99,
];

/** @throws PacketFault 0x81, 0x82. */
export function readDisconnect(
  isV5: boolean,
  buf: Buffer,
  start: number,
  end: number,
): ReasonedPacket {
  if (!isV5 && start !== end) throw malformed("DISCONNECT has a body");
  const read = readReasoned(PACKET.disconnect, buf, start, end);
  if (!CLIENT_DISCONNECTS.includes(read.reasonCode)) {
    throw malformed("reason code may not stand in a client's DISCONNECT");
  }
  return read;
}

/** @throws PacketFault 0x81, 0x82. */
export function readAuth(buf: Buffer, start: number, end: number): ReasonedPacket {
  return readReasoned(PACKET.auth, buf, start, end);
}

function readReasoned(type: number, buf: Buffer, start: number, end: number): ReasonedPacket {
  const reader = new Reader(buf, start, end);
  if (reader.isDone) return { reasonCode: REASON.success, properties: {} };
  const reasonCode = reader.u8();
  const properties = reader.isDone ? {} : readProperties(reader, type);
  if (!reader.isDone) throw malformed("packet has bytes after its last field");
  return { reasonCode, properties };
}

/** A server's DISCONNECT; only MQTT 5.0 has one. */
export function disconnect5(reason: ReasonCode, properties: Properties): Buffer {
  const sink = new ByteSink().u8(reason);
  writeProperties(sink, properties);
  return packet(PACKET.disconnect << 4, sink.finish());
}
