import type { QoS } from "../mqtt/index.ts";
import { LARGE_BYTES } from "./buffer-pool.ts";
import { varintSize, writeVarint } from "./codec/index.ts";
import type { Publication } from "./publication.ts";
import type { Writer } from "./writer.ts";

const PUBLISH = 0x30;
const DUP = 0x08;
const NOTHING = Buffer.alloc(0);
const NO_IDS: readonly number[] = [];

/** What makes two copies of one message the same but for the Packet Identifier. */
export function shapeOf(isV5: boolean, qos: QoS, retain: boolean): number {
  return (qos << 2) | (retain ? 2 : 0) | (isV5 ? 1 : 0);
}

/** What one receiver's copy carries beyond its shape. */
export interface CopyOptions {
  readonly isDup: boolean;
  readonly subscriptionIds: readonly number[];
  /** Topic Alias to send; 0 = none. */
  readonly alias: number;
  /** The alias stands for the topic, which is left out. */
  readonly omitsTopic: boolean;
}

/**
 * Encodes PUBLISH packets for receivers. The first copy of each shape is encoded, or taken from the
 * packet the message came in; the others are copies of the copy before, with their own Packet
 * Identifier.
 */
export class Outgoing {
  #known = 0;
  readonly #from: Buffer[] = new Array<Buffer>(16).fill(NOTHING);
  readonly #start = new Int32Array(16);
  readonly #end = new Int32Array(16);
  readonly #idAt = new Int32Array(16);

  /** A new message: `pub` until the next call. */
  begin(pub: Publication): void {
    this.#known = 0;
    if (pub.frameStart < 0) return;
    const shape = pub.frameShape;
    this.#learn(shape, pub.source, pub.frameStart, pub.payloadEnd, pub.frameIdAt);
  }

  /** Nothing of the last message is kept. */
  end(): void {
    this.#known = 0;
  }

  /**
   * Sends a plain copy: no DUP, no Subscription Identifier, no alias. False when it is larger than
   * the receiver's Maximum Packet Size ([MQTT-3.1.2-24]).
   */
  send(
    writer: Writer,
    pub: Publication,
    isV5: boolean,
    qos: QoS,
    retain: boolean,
    packetId: number,
    maxBytes: number,
    expiryS: number,
  ): boolean {
    const shape = shapeOf(isV5, qos, retain);
    if ((this.#known & (1 << shape)) === 0) {
      return this.#encode(writer, pub, isV5, qos, retain, packetId, maxBytes, expiryS, shape);
    }
    const from = this.#from[shape] ?? NOTHING;
    const start = this.#start[shape] ?? 0;
    const length = (this.#end[shape] ?? 0) - start;
    if (length > maxBytes) return false;
    const at = writer.reserve(length);
    const out = writer.out;
    from.copy(out, at, start, start + length);
    writer.published++;
    let idAt = -1;
    if (qos > 0) {
      out[at] = PUBLISH | (qos << 1) | (retain ? 1 : 0);
      idAt = at + (this.#idAt[shape] ?? 0) - start;
      out[idAt] = packetId >> 8;
      out[idAt + 1] = packetId & 255;
    }
    this.#learn(shape, out, at, at + length, idAt);
    return true;
  }

  /** Sends a copy of its own form. False when it is too large, as with `send`. */
  sendSpecial(
    writer: Writer,
    pub: Publication,
    isV5: boolean,
    qos: QoS,
    retain: boolean,
    packetId: number,
    maxBytes: number,
    expiryS: number,
    options: CopyOptions,
  ): boolean {
    return this.#encode(
      writer,
      pub,
      isV5,
      qos,
      retain,
      packetId,
      maxBytes,
      expiryS,
      -1,
      options.isDup,
      options.subscriptionIds,
      options.alias,
      options.omitsTopic,
    );
  }

  #encode(
    writer: Writer,
    pub: Publication,
    isV5: boolean,
    qos: QoS,
    retain: boolean,
    packetId: number,
    maxBytes: number,
    expiryS: number,
    shape: number,
    isDup = false,
    ids: readonly number[] = NO_IDS,
    alias = 0,
    omitsTopic = false,
  ): boolean {
    const topic = omitsTopic ? NOTHING : pub.topicBytes;
    const wire = isV5 ? pub.wireProperties() : NOTHING;
    let listBytes = 0;
    if (isV5) {
      listBytes = wire.length + (expiryS >= 0 ? 5 : 0) + (alias > 0 ? 3 : 0);
      for (const id of ids) listBytes += 1 + varintSize(id);
    }
    const payloadBytes = pub.payloadBytes;
    const headBytes =
      2 + topic.length + (qos > 0 ? 2 : 0) + (isV5 ? varintSize(listBytes) + listBytes : 0);
    const remaining = headBytes + payloadBytes;
    const total = 1 + varintSize(remaining) + remaining;
    if (total > maxBytes) return false;
    const isLarge = payloadBytes >= LARGE_BYTES;
    const at = writer.reserve(isLarge ? total - payloadBytes : total);
    const out = writer.out;
    writer.published++;
    out[at] = PUBLISH | (isDup ? DUP : 0) | (qos << 1) | (retain ? 1 : 0);
    let pos = writeVarint(out, at + 1, remaining);
    out[pos] = topic.length >> 8;
    out[pos + 1] = topic.length & 255;
    pos += 2;
    topic.copy(out, pos);
    pos += topic.length;
    let idAt = -1;
    if (qos > 0) {
      idAt = pos;
      out[pos] = packetId >> 8;
      out[pos + 1] = packetId & 255;
      pos += 2;
    }
    if (isV5) {
      pos = writeVarint(out, pos, listBytes);
      if (listBytes > 0) pos = writeList(out, pos, wire, expiryS, alias, ids);
    }
    if (isLarge) {
      writer.sendLarge(pub.source.subarray(pub.payloadStart, pub.payloadEnd));
      return true;
    }
    if (payloadBytes > 0) pub.source.copy(out, pos, pub.payloadStart, pub.payloadEnd);
    if (shape >= 0) this.#learn(shape, out, at, pos + payloadBytes, idAt);
    return true;
  }

  #learn(shape: number, from: Buffer, start: number, end: number, idAt: number): void {
    this.#known |= 1 << shape;
    this.#from[shape] = from;
    this.#start[shape] = start;
    this.#end[shape] = end;
    this.#idAt[shape] = idAt;
  }
}

function writeList(
  out: Buffer,
  at: number,
  wire: Buffer,
  expiryS: number,
  alias: number,
  ids: readonly number[],
): number {
  let pos = at;
  if (expiryS >= 0) {
    out[pos] = 0x02;
    pos = out.writeUInt32BE(expiryS, pos + 1);
  }
  if (alias > 0) {
    out[pos] = 0x23;
    pos = out.writeUInt16BE(alias, pos + 1);
  }
  for (const id of ids) {
    out[pos] = 0x0b;
    pos = writeVarint(out, pos + 1, id);
  }
  wire.copy(out, pos);
  return pos + wire.length;
}
