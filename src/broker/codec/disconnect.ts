import { PACKET } from "./packet-types.ts";
import { ByteSink, packet, Reader } from "./primitives.ts";
import { type Properties, readProperties, writeProperties } from "./properties.ts";
import { malformed, REASON, type ReasonCode } from "./reason-codes.ts";

/** A client's DISCONNECT (MQTT 5.0 §3.14). */
interface Disconnect {
  readonly reasonCode: number;
  readonly properties: Properties;
}

/** Reason codes a client may disconnect with (MQTT 5.0 §3.14.2.1, table 3-13). */
const CLIENT_DISCONNECTS = [
  0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99,
];

/** @throws PacketFault 0x81, 0x82. */
export function readDisconnect(isV5: boolean, buf: Buffer, start: number, end: number): Disconnect {
  if (!isV5 && start !== end) throw malformed("DISCONNECT has a body");
  const reader = new Reader(buf, start, end);
  if (reader.isDone) return { reasonCode: REASON.success, properties: {} };
  const reasonCode = reader.u8();
  const properties = reader.isDone ? {} : readProperties(reader, PACKET.disconnect);
  if (!reader.isDone) throw malformed("packet has bytes after its last field");
  if (!CLIENT_DISCONNECTS.includes(reasonCode)) {
    throw malformed("reason code may not stand in a client's DISCONNECT");
  }
  return { reasonCode, properties };
}

/** A server's DISCONNECT; only MQTT 5.0 has one. */
export function disconnect5(reason: ReasonCode, properties: Properties): Buffer {
  const sink = new ByteSink().u8(reason);
  writeProperties(sink, properties);
  return packet(PACKET.disconnect << 4, sink.finish());
}
