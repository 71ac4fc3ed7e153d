import { isUtf8 } from "node:buffer";
import { Duplex } from "node:stream";
import { reasonOf } from "../errors/index.ts";

/** A PUBLISH the guard kept back; one with a packet identifier still wants its acknowledgement. */
export interface DiscardedPublish {
  readonly reason: "too_large" | "invalid_topic";
  readonly qos: 0 | 1 | 2;
  /** Null for QoS 0. */
  readonly packetId: number | null;
}

interface Puback {
  readonly acknowledges: number;
  readonly code: number;
}

export interface GuardHandlers {
  onDiscard(publish: DiscardedPublish): void;
  /** MQTT.js hears nothing of it. */
  onPuback(packetId: number, code: number): void;
  /** The server broke the protocol; the connection is already going down. */
  onFault(reason: string): void;
}

export interface GuardLimits {
  /** Largest packet taken from the server, bytes. */
  readonly maxPacketBytes: number;
  /**
   * Whether a PUBLISH over the limit is skipped, not a breach: before MQTT 5.0 a client cannot
   * tell its limit, and a server would send the message again on every reconnect.
   */
  readonly skipsLargePublish: boolean;
}

/** Packet types (MQTT 5.0 §2.1.2) a server may send to a client that asks for no AUTH. */
const CONNACK = 2;
const PUBLISH = 3;
const PUBACK = 4;
const SHORTEST: Readonly<Record<number, number>> = {
  [CONNACK]: 2,
  [PUBLISH]: 2,
  4: 2,
  5: 2,
  6: 2,
  7: 2,
  9: 3,
  11: 2,
  13: 0,
  14: 0,
};

/** The whole of a PUBACK that says no more than that all is well. */
const PUBACK_BYTES = 4;

/** Type, then up to four bytes of Remaining Length (§2.1.4). */
const MAX_HEADER_BYTES = 5;

/** Packets are handled for so long without giving others a turn: a server may send thousands at once. */
const SLICE_MS = 3;

/** Unsent answers at which no more is taken from a server that does not read them. */
const MAX_UNSENT_BYTES = 4_194_304;

/**
 * Stands between the socket and MQTT.js, because the cloud side is input too. MQTT.js 5.16 keeps
 * the whole of a packet in memory before it looks at its size, handles packets before the CONNACK,
 * replaces broken UTF-8, and throws out of the socket's event on some malformed ones (a CONNACK
 * that names its Server Keep Alive twice). Here packets are cut, bounded and checked first, then
 * handed on one at a time, and what is thrown ends this connection only (the "hostile server"
 * tests).
 *
 * `pipe` is replaced for that: MQTT.js parses behind it, and a write that calls back before the
 * next one starts keeps every packet's handling inside the `try`.
 */
export class GuardedStream extends Duplex {
  readonly #socket: Duplex;
  readonly #limits: GuardLimits;
  readonly #handlers: GuardHandlers;
  #destination: NodeJS.WritableStream | null = null;
  readonly #queue: (Buffer | DiscardedPublish | Puback)[] = [];
  #isHandling = false;
  #isResting = false;
  #endMs: number | null = null;
  #isEnded = false;
  #header: number[] = [];
  #parts: Buffer[] = [];
  #missing = 0;
  #toSkip = 0;
  #isConnected = false;

  constructor(socket: Duplex, limits: GuardLimits, handlers: GuardHandlers) {
    super({ emitClose: true, autoDestroy: true });
    this.#socket = socket;
    this.#limits = limits;
    this.#handlers = handlers;
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("error", (err) => this.destroy(err));
    socket.on("end", () => this.#end());
    socket.on("close", () => this.#end());
  }

  /** Whether the server has said anything yet. */
  get hasHeard(): boolean {
    return this.#isConnected;
  }

  override pipe<T extends NodeJS.WritableStream>(destination: T): T {
    this.#destination = destination;
    return destination;
  }

  override _read(): void {
    // Packets reach MQTT.js by `pipe` alone.
  }

  override _write(chunk: Buffer, encoding: BufferEncoding, done: (err?: Error | null) => void) {
    this.#socket.write(chunk, encoding, done);
  }

  /** MQTT.js writes a packet in many small pieces: one buffer makes one segment and TLS record. */
  override _writev(
    pieces: { chunk: Buffer | string; encoding: BufferEncoding }[],
    done: (err?: Error | null) => void,
  ): void {
    const buffers = pieces.map(({ chunk, encoding }) =>
      typeof chunk === "string" ? Buffer.from(chunk, encoding) : chunk,
    );
    this.#socket.write(Buffer.concat(buffers), done);
  }

  override _final(done: (err?: Error | null) => void): void {
    this.#socket.end(() => done());
  }

  override _destroy(err: Error | null, done: (err?: Error | null) => void): void {
    this.#queue.length = 0;
    this.#parts = [];
    this.#socket.destroy();
    done(err);
  }

  #receive(chunk: Buffer): void {
    for (let at = 0; at < chunk.length && !this.destroyed; ) {
      if (this.#toSkip > 0) {
        const skipped = Math.min(this.#toSkip, chunk.length - at);
        this.#toSkip -= skipped;
        at += skipped;
      } else if (this.#missing > 0) {
        const taken = Math.min(this.#missing, chunk.length - at);
        this.#parts.push(chunk.subarray(at, at + taken));
        this.#missing -= taken;
        at += taken;
        if (this.#missing === 0) this.#complete();
      } else if (this.#isPlainPuback(chunk, at)) {
        this.#queue.push({ acknowledges: chunk.readUInt16BE(at + 2), code: 0 });
        at += PUBACK_BYTES;
      } else {
        this.#takeHeaderByte(chunk[at] ?? 0);
        at += 1;
      }
    }
    this.#handOn();
  }

  #isPlainPuback(chunk: Buffer, at: number): boolean {
    return (
      this.#isConnected &&
      this.#header.length === 0 &&
      at + PUBACK_BYTES <= chunk.length &&
      chunk[at] === PUBACK << 4 &&
      chunk[at + 1] === 2
    );
  }

  #takeHeaderByte(byte: number): void {
    this.#header.push(byte);
    if (this.#header.length === 1) {
      this.#checkType(byte);
      return;
    }
    if (byte >= 0x80) {
      if (this.#header.length === MAX_HEADER_BYTES) this.#fault("a malformed packet length");
      return;
    }
    this.#start(remainingLength(this.#header));
  }

  #checkType(first: number): void {
    const type = first >> 4;
    if (SHORTEST[type] === undefined) this.#fault(`a packet of type ${type}`);
    else if (type === PUBLISH && (first & 0x06) === 0x06) this.#fault("a PUBLISH with QoS 3");
    else if (this.#isConnected === (type === CONNACK)) {
      this.#fault(this.#isConnected ? "a second CONNACK" : "another packet before the CONNACK");
    }
    this.#isConnected = true;
  }

  #start(length: number): void {
    const [first = 0] = this.#header;
    const size = this.#header.length + length;
    if (length < (SHORTEST[first >> 4] ?? 0)) {
      this.#fault("a packet that is too short");
    } else if (size <= this.#limits.maxPacketBytes) {
      this.#missing = length;
      if (length === 0) this.#complete();
    } else if (first >> 4 === PUBLISH && this.#limits.skipsLargePublish) {
      // The topic's length, the topic and the packet identifier are all that is kept of it.
      this.#missing = 2;
    } else {
      this.#fault(`a packet of ${size} bytes, at most ${this.#limits.maxPacketBytes} are taken`);
    }
  }

  /** All of `#missing` has come: a whole packet, or as much as is wanted of one to be skipped. */
  #complete(): void {
    const body = this.#parts.length === 1 ? this.#parts[0] : Buffer.concat(this.#parts);
    const header = this.#header;
    const [first = 0] = header;
    const length = remainingLength(header);
    if (body === undefined) return;
    if (body.length < length) {
      this.#parts = [body];
      this.#skimmed(first, length, body);
      return;
    }
    this.#header = [];
    this.#parts = [];
    if (first >> 4 === PUBLISH && !this.#acceptsPublish(first, body)) return;
    // One with wrong flags is for MQTT.js to complain of.
    if (first === PUBACK << 4) {
      this.#queue.push({ acknowledges: body.readUInt16BE(0), code: body[2] ?? 0 });
      return;
    }
    this.#queue.push(Buffer.concat([Buffer.from(header), body]));
  }

  #skimmed(first: number, length: number, body: Buffer): void {
    const qos = qosOf(first);
    const wanted = 2 + body.readUInt16BE(0) + (qos > 0 ? 2 : 0);
    if (wanted > length) {
      this.#fault("a PUBLISH shorter than its topic");
    } else if (body.length < wanted) {
      this.#missing = wanted - body.length;
    } else {
      this.#header = [];
      this.#parts = [];
      this.#toSkip = length - body.length;
      this.#discard(first, body, "too_large");
    }
  }

  #acceptsPublish(first: number, body: Buffer): boolean {
    const topicEnd = 2 + body.readUInt16BE(0);
    if (topicEnd + (qosOf(first) > 0 ? 2 : 0) > body.length) {
      this.#fault("a PUBLISH shorter than its topic");
      return false;
    }
    if (!isUtf8(body.subarray(2, topicEnd))) {
      this.#discard(first, body, "invalid_topic");
      return false;
    }
    return true;
  }

  #discard(first: number, body: Buffer, reason: DiscardedPublish["reason"]): void {
    const qos = qosOf(first);
    const packetId = qos > 0 ? body.readUInt16BE(2 + body.readUInt16BE(0)) : null;
    this.#queue.push({ reason, qos, packetId });
  }

  #handOn(): void {
    if (this.#isResting) return;
    const endMs = this.#sliceEndMs();
    while (!this.#isHandling && !this.destroyed) {
      if (performance.now() > endMs) {
        this.#rest();
        return;
      }
      if (this.writableLength > MAX_UNSENT_BYTES) {
        this.#socket.pause();
        this.once("drain", () => this.#handOn());
        return;
      }
      const next = this.#queue.shift();
      if (next === undefined) {
        if (this.#isEnded) this.destroy();
        else this.#socket.resume();
        return;
      }
      if (Buffer.isBuffer(next)) this.#handle(next);
      else if ("code" in next) this.#handlers.onPuback(next.acknowledges, next.code);
      else this.#handlers.onDiscard(next);
    }
    if (this.#queue.length > 0) this.#socket.pause();
  }

  /**
   * The same until others have had a turn: MQTT.js says from process.nextTick that it is done with a
   * packet, so one packet leads to the next without the event loop going round.
   */
  #sliceEndMs(): number {
    if (this.#endMs === null) {
      this.#endMs = performance.now() + SLICE_MS;
      setImmediate(() => {
        this.#endMs = null;
      });
    }
    return this.#endMs;
  }

  #rest(): void {
    this.#isResting = true;
    this.#socket.pause();
    setImmediate(() => {
      this.#isResting = false;
      this.#handOn();
    });
  }

  #handle(frame: Buffer): void {
    this.#isHandling = true;
    try {
      this.#destination?.write(frame, () => {
        this.#isHandling = false;
        this.#handOn();
      });
    } catch (err) {
      this.#fault(`a packet that cannot be handled (${reasonOf(err)})`);
    }
  }

  /** The server has closed; what it said before that still counts. */
  #end(): void {
    this.#isEnded = true;
    this.#handOn();
  }

  #fault(what: string): void {
    if (this.destroyed) return;
    this.#handlers.onFault(`the server sent ${what}`);
    this.destroy();
  }
}

function remainingLength(header: readonly number[]): number {
  return header.slice(1).reduce((sum, byte, index) => sum + (byte & 0x7f) * 128 ** index, 0);
}

function qosOf(first: number): 0 | 1 | 2 {
  const bits = (first >> 1) & 0x03;
  return bits === 1 || bits === 2 ? bits : 0;
}
