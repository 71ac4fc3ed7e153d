import type { QoS } from "../../mqtt/index.ts";
import { isQoS } from "../../mqtt/index.ts";
import { PACKET } from "./packet-types.ts";
import { ByteSink, packet, Reader } from "./primitives.ts";
import { type Properties, readProperties, writeProperties } from "./properties.ts";
import { malformed, protocolError, type ReasonCode } from "./reason-codes.ts";

/** One filter of a SUBSCRIBE with its options (MQTT 5.0 §3.8.3.1); the filter is not yet checked. */
export interface FilterRequest {
  readonly filter: string;
  readonly qos: QoS;
  readonly noLocal: boolean;
  readonly retainAsPublished: boolean;
  /** 0 = send retained, 1 = only for a new subscription, 2 = do not send. */
  readonly retainHandling: 0 | 1 | 2;
}

/** A SUBSCRIBE. */
export interface Subscribe {
  readonly packetId: number;
  readonly filters: readonly FilterRequest[];
  readonly subscriptionId: number | null;
}

/** An UNSUBSCRIBE; the filters are not yet checked. */
export interface Unsubscribe {
  readonly packetId: number;
  readonly filters: readonly string[];
}

/** @throws PacketFault 0x81, 0x82 (more than `maxFilters` filters too). */
export function readSubscribe(
  isV5: boolean,
  buf: Buffer,
  start: number,
  end: number,
  maxFilters: number,
): Subscribe {
  const reader = new Reader(buf, start, end);
  const packetId = readPacketId(reader);
  const properties: Properties = isV5 ? readProperties(reader, PACKET.subscribe) : {};
  const filters: FilterRequest[] = [];
  while (!reader.isDone) {
    if (filters.length === maxFilters) throw protocolError("far too many filters in one SUBSCRIBE");
    filters.push(readFilter(reader, isV5));
  }
  if (filters.length === 0) throw protocolError("SUBSCRIBE without a filter"); // [MQTT-3.8.3-2]
  return { packetId, filters, subscriptionId: properties.subscriptionIdentifiers?.[0] ?? null };
}

function readFilter(reader: Reader, isV5: boolean): FilterRequest {
  const filter = reader.text();
  const options = reader.u8();
  const qos = options & 3;
  const retainHandling = (options >> 4) & 3;
  if (!isQoS(qos)) throw malformed("requested QoS is 3");
  if (options & (isV5 ? 0xc0 : 0xfc)) throw malformed("reserved option bits are set"); // [MQTT-3.8.3-5], 3.1.1 [MQTT-3-8.3-4]
  if (retainHandling !== 0 && retainHandling !== 1 && retainHandling !== 2) {
    throw protocolError("retain handling is 3");
  }
  const noLocal = (options & 4) !== 0;
  if (noLocal && filter.startsWith("$share/")) {
    throw protocolError("no local on a shared subscription"); // [MQTT-3.8.3-4]
  }
  return { filter, qos, noLocal, retainAsPublished: (options & 8) !== 0, retainHandling };
}

/** @throws PacketFault 0x81, 0x82 (more than `maxFilters` filters too). */
export function readUnsubscribe(
  isV5: boolean,
  buf: Buffer,
  start: number,
  end: number,
  maxFilters: number,
): Unsubscribe {
  const reader = new Reader(buf, start, end);
  const packetId = readPacketId(reader);
  if (isV5) readProperties(reader, PACKET.unsubscribe);
  const filters: string[] = [];
  while (!reader.isDone) {
    if (filters.length === maxFilters) throw protocolError("too many filters in one UNSUBSCRIBE");
    filters.push(reader.text());
  }
  if (filters.length === 0) throw protocolError("UNSUBSCRIBE without a filter"); // [MQTT-3.10.3-2]
  return { packetId, filters };
}

function readPacketId(reader: Reader): number {
  const packetId = reader.u16();
  if (packetId === 0) throw protocolError("packet id is 0"); // [MQTT-2.2.1-3]
  return packetId;
}

/** SUBACK or UNSUBACK with one code for each filter, in their order ([MQTT-3.9.3-1], [MQTT-3.11.3-1]). */
export function subscribeAck(
  type: typeof PACKET.suback | typeof PACKET.unsuback,
  isV5: boolean,
  packetId: number,
  codes: readonly ReasonCode[] | readonly number[],
  properties: Properties,
): Buffer {
  const sink = new ByteSink().u16(packetId);
  if (isV5) writeProperties(sink, properties);
  for (const code of codes) sink.u8(code);
  return packet(type << 4, sink.finish());
}
