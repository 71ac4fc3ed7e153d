import type { ProtocolVersion, QoS } from "../../mqtt/index.ts";
import { isQoS } from "../../mqtt/index.ts";
import { PACKET } from "./packet-types.ts";
import { ByteSink, packet, Reader } from "./primitives.ts";
import { type Properties, readProperties, WILL, writeProperties } from "./properties.ts";
import { malformed, PacketFault, protocolError, REASON, type ReasonCode } from "./reason-codes.ts";

/** A CONNECT as it came (MQTT 5.0 §3.1, MQTT 3.1.1 §3.1). */
export interface Connect {
  readonly version: ProtocolVersion;
  /** The high bit of the protocol level, with which a 3.x bridge names itself. */
  readonly isBridge: boolean;
  readonly cleanStart: boolean;
  /** Seconds; 0 = off. */
  readonly keepAliveS: number;
  readonly clientId: string;
  readonly will: ConnectWill | null;
  readonly username: string | null;
  readonly password: Buffer | null;
  readonly properties: Properties;
}

/** The Will of a CONNECT. */
export interface ConnectWill {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: QoS;
  readonly retain: boolean;
  readonly properties: Properties;
}

const BRIDGE_BIT = 0x80;
const NO_PROPERTIES: Properties = {};

/**
 * Reads a CONNECT's body.
 * @throws PacketFault 0x84 for an unknown protocol ([MQTT-3.1.2-2]), 0x81 or 0x82 for the rest.
 */
export function readConnect(buf: Buffer, start: number, end: number): Connect {
  const reader = new Reader(buf, start, end);
  const { version, isBridge } = readProtocol(reader);
  const flags = readFlags(reader.u8(), version);
  const keepAliveS = reader.u16();
  const properties = version === 5 ? readProperties(reader, PACKET.connect) : NO_PROPERTIES;
  if (properties.authenticationData !== undefined && properties.authenticationMethod === undefined)
    throw protocolError("authentication data without a method");
  const clientId = reader.text();
  const will = flags.hasWill ? readWill(reader, version, flags) : null;
  const username = flags.hasUsername ? reader.text() : null;
  const password = flags.hasPassword ? reader.binary() : null;
  if (!reader.isDone) throw malformed("CONNECT has bytes after its last field");
  const { cleanStart } = flags;
  return {
    version,
    isBridge,
    cleanStart,
    keepAliveS,
    clientId,
    will,
    username,
    password,
    properties,
  };
}

function readProtocol(reader: Reader): { version: ProtocolVersion; isBridge: boolean } {
  const name = reader.text();
  const level = reader.u8();
  const version = level & ~BRIDGE_BIT;
  const isBridge = level !== version;
  if (name === "MQTT" && version === 5 && !isBridge) return { version: 5, isBridge };
  if (name === "MQTT" && version === 4) return { version: 4, isBridge };
  if (name === "MQIsdp" && version === 3) return { version: 3, isBridge };
  throw new PacketFault(REASON.unsupportedProtocolVersion, "unknown protocol name or level");
}

interface ConnectFlags {
  readonly cleanStart: boolean;
  readonly hasWill: boolean;
  readonly willQoS: QoS;
  readonly willRetain: boolean;
  readonly hasUsername: boolean;
  readonly hasPassword: boolean;
}

function readFlags(flags: number, version: ProtocolVersion): ConnectFlags {
  if (flags & 0x01) throw malformed("reserved CONNECT flag is set"); // [MQTT-3.1.2-3]
  const hasWill = (flags & 0x04) !== 0;
  const willQoS = (flags >> 3) & 3;
  const hasUsername = (flags & 0x80) !== 0;
  const hasPassword = (flags & 0x40) !== 0;
  if (!isQoS(willQoS)) throw malformed("will QoS is 3"); // [MQTT-3.1.2-12]
  if (!hasWill && flags & 0x38) throw malformed("will QoS or retain without a will"); // [MQTT-3.1.2-11], [MQTT-3.1.2-13]
  // MQTT 3.1.1 [MQTT-3.1.2-22]; MQTT 5.0 allows a password alone.
  if (version < 5 && hasPassword && !hasUsername) throw malformed("password without user name");
  return {
    cleanStart: (flags & 0x02) !== 0,
    hasWill,
    willQoS,
    willRetain: (flags & 0x20) !== 0,
    hasUsername,
    hasPassword,
  };
}

function readWill(reader: Reader, version: ProtocolVersion, flags: ConnectFlags): ConnectWill {
  const properties = version === 5 ? readProperties(reader, WILL) : NO_PROPERTIES;
  const topic = reader.text();
  const payload = reader.binary();
  return { topic, payload, qos: flags.willQoS, retain: flags.willRetain, properties };
}

/** A 3.x CONNACK with its return code. 3.1 has no Session Present flag: its byte is reserved. */
export function connack3(sessionPresent: boolean, returnCode: number): Buffer {
  return Buffer.from([PACKET.connack << 4, 2, sessionPresent ? 1 : 0, returnCode]);
}

/** A 5.0 CONNACK. */
export function connack5(
  sessionPresent: boolean,
  reason: ReasonCode,
  properties: Properties,
): Buffer {
  const sink = new ByteSink().u8(sessionPresent ? 1 : 0).u8(reason);
  writeProperties(sink, properties);
  return packet(PACKET.connack << 4, sink.finish());
}
