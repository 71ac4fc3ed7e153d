import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectSocket } from "node:net";
import type { Duplex } from "node:stream";
import { splitFrames, WireFault } from "./cursor.ts";
import { decode, type Incoming, type IncomingOf, type IncomingType, isType } from "./incoming.ts";
import {
  ackPacket,
  type ConnectFields,
  connectPacket,
  disconnectPacket,
  type FilterFields,
  PINGREQ,
  type PublishFields,
  publishPacket,
  subscribePacket,
  unsubscribePacket,
} from "./packets.ts";
import { type Bytes, bytes, type Properties, type Version } from "./wire.ts";

/** Where the server under test listens. */
export interface Address {
  readonly host: string;
  readonly tcpPort: number;
}

/** Every expectation is met within this time or fails. */
const DEADLINE_MS = 5000;

/**
 * Bytes on a socket: sends what it is told, valid or not, and takes the server's packets apart
 * strictly. What the client announced in CONNECT is held against every packet that comes.
 */
export class RawClient {
  readonly version: Version;
  clientId = "";
  /** All packets sent and received, for the message of a failed test. */
  readonly transcript: string[] = [];
  /** Set where the transcript would be too long. */
  isSilent = false;
  readonly #stream: Duplex;
  readonly #queue: Incoming[] = [];
  #rest: Buffer = Buffer.alloc(0);
  #isEnded = false;
  #fault: Error | null = null;
  #wake: (() => void) | null = null;
  #nextId = 1;
  #maximumPacketSize = Number.MAX_SAFE_INTEGER;
  #topicAliasMaximum = 0;
  #wantsProblemInformation = true;

  constructor(stream: Duplex, version: Version) {
    this.version = version;
    this.#stream = stream;
    stream.on("data", (chunk: Buffer) => this.#take(chunk));
    stream.on("error", () => undefined);
    stream.on("end", () => this.#end());
    stream.on("close", () => this.#end());
  }

  static async open({ host, tcpPort }: Address, version: Version): Promise<RawClient> {
    const socket = connectSocket(tcpPort, host);
    socket.setNoDelay(true);
    await once(socket, "connect");
    return new RawClient(socket, version);
  }

  get isV5(): boolean {
    return this.version === "5.0";
  }

  /** An unused Packet Identifier. */
  packetId(): number {
    return this.#nextId++;
  }

  send(...parts: readonly Bytes[]): void {
    const out = bytes(...parts);
    this.#note(() => `> ${shown(out)}`);
    if (!this.#stream.destroyed) this.#stream.write(out);
  }

  /** Each byte in a write of its own, `everyMs` apart; what comes after the connection's end is left out. */
  async trickle(out: Buffer, everyMs = 0): Promise<void> {
    this.transcript.push(`> ${shown(out)} (byte by byte)`);
    for (const byte of out) {
      if (this.#isEnded) return;
      await new Promise((resolve) => this.#stream.write(Uint8Array.of(byte), resolve));
      if (everyMs > 0) await new Promise((resolve) => setTimeout(resolve, everyMs));
    }
  }

  /** The server's next packet. */
  async next(what = "a packet"): Promise<Incoming> {
    await this.#until(() => this.#queue.length > 0 || this.#isEnded, what);
    const packet = this.#queue.shift();
    if (packet === undefined) throw this.#fault ?? new Error(`closed while waiting for ${what}`);
    return packet;
  }

  async expect<T extends IncomingType>(type: T): Promise<IncomingOf<T>> {
    const packet = await this.next(type);
    if (!isType(packet, type)) {
      throw new Error(`expected ${type}, got ${packet.type}: ${shown(packet.bytes)}`);
    }
    return packet;
  }

  /** Shows that nothing but the answer to a PINGREQ comes. */
  async quiet(): Promise<void> {
    this.send(PINGREQ);
    await this.expect("pingresp");
  }

  /** All that was sent has been processed: the connection goes on, or is at its end. */
  async settled(): Promise<void> {
    this.send(PINGREQ);
    const isDone = (): boolean =>
      this.#isEnded || this.#queue.some(({ type }) => type === "pingresp");
    await this.#until(isDone, "pingresp");
  }

  /** The server closes the connection, and sends nothing before. */
  async closed(): Promise<void> {
    await this.#until(() => this.#queue.length > 0 || this.#isEnded, "the end of the connection");
    const packet = this.#queue[0];
    if (packet !== undefined) {
      throw new Error(`expected a close, got ${packet.type}: ${shown(packet.bytes)}`);
    }
    if (this.#fault !== null) throw this.#fault;
  }

  /** The server gives up on the connection: in 5.0 it says why, with one of `codes`. */
  async refused(...codes: readonly number[]): Promise<void> {
    if (this.isV5) {
      const { code } = await this.expect("disconnect");
      assert(codes.includes(code), `DISCONNECT has ${hex(code)}, not ${codes.map(hex)}`);
    }
    await this.closed();
  }

  /** The server closes the connection; answers what it sent before. */
  async ended(): Promise<Incoming[]> {
    await this.#until(() => this.#isEnded, "the end of the connection");
    if (this.#fault !== null) throw this.#fault;
    return this.#queue.splice(0);
  }

  /**
   * The CONNECT is refused: in 5.0 with one of `codes`, in 3.1.1 by closing alone, as for everything
   * that is not well-formed.
   */
  async turnedAway(...codes: readonly number[]): Promise<void> {
    if (this.isV5) {
      const { code } = await this.expect("connack");
      assert(codes.includes(code), `CONNACK has ${hex(code)}, not ${codes.map(hex)}`);
    }
    await this.closed();
  }

  /** Sends a CONNECT and answers the CONNACK, whatever it says. */
  async connect(fields: ConnectFields = {}): Promise<IncomingOf<"connack">> {
    this.begin(fields);
    return this.expect("connack");
  }

  /** Sends a CONNECT and holds what it announces against what comes. */
  begin(fields: ConnectFields): void {
    const { properties = {} } = fields;
    if (typeof fields.clientId === "string") this.clientId = fields.clientId;
    this.#maximumPacketSize = properties.maximumPacketSize ?? Number.MAX_SAFE_INTEGER;
    this.#topicAliasMaximum = properties.topicAliasMaximum ?? 0;
    this.#wantsProblemInformation = properties.requestProblemInformation !== 0;
    this.send(connectPacket(this.version, fields));
  }

  async subscribe(
    filters: string | FilterFields | readonly FilterFields[],
    properties?: Properties,
  ): Promise<IncomingOf<"suback">> {
    const packetId = this.packetId();
    const list = typeof filters === "string" ? [{ filter: filters, qos: 2 }] : [filters].flat();
    this.send(subscribePacket(this.version, packetId, list, properties));
    const suback = await this.expect("suback");
    assert.equal(suback.packetId, packetId, "SUBACK has the Packet Identifier of the SUBSCRIBE");
    return suback;
  }

  async unsubscribe(...filters: readonly string[]): Promise<IncomingOf<"unsuback">> {
    const packetId = this.packetId();
    this.send(unsubscribePacket(this.version, packetId, filters));
    const unsuback = await this.expect("unsuback");
    assert.equal(unsuback.packetId, packetId, "UNSUBACK has the Packet Identifier of UNSUBSCRIBE");
    return unsuback;
  }

  /** Publishes and goes through the whole exchange of its QoS; answers the first Reason Code. */
  async publish(fields: PublishFields): Promise<number> {
    const { qos = 0, packetId = this.packetId() } = fields;
    this.send(publishPacket(this.version, { ...fields, packetId }));
    if (qos === 0) return 0;
    if (qos === 1) return this.acked("puback", packetId);
    const code = await this.acked("pubrec", packetId);
    if (code >= 0x80) return code;
    this.send(ackPacket("pubrel", packetId));
    assert.equal(await this.acked("pubcomp", packetId), 0);
    return code;
  }

  /** The next packet acknowledges `packetId`; answers its Reason Code. */
  async acked(type: "puback" | "pubrec" | "pubrel" | "pubcomp", packetId: number): Promise<number> {
    const ack = await this.expect(type);
    assert.equal(ack.packetId, packetId, `${type} has the Packet Identifier it answers`);
    return ack.code;
  }

  /**
   * The next packet is a PUBLISH; it goes through the whole exchange of its QoS, while further
   * packets may come and wait for their turn.
   */
  async message(): Promise<IncomingOf<"publish">> {
    const message = await this.expect("publish");
    const { qos, packetId } = message;
    if (qos === 1) this.send(ackPacket("puback", packetId));
    if (qos === 2) {
      this.send(ackPacket("pubrec", packetId));
      await this.#released(packetId);
      this.send(ackPacket("pubcomp", packetId));
    }
    return message;
  }

  /** As many messages as there are `texts`, with these payloads in this order. */
  async messages(...texts: readonly string[]): Promise<IncomingOf<"publish">[]> {
    const found: IncomingOf<"publish">[] = [];
    for (const text of texts) {
      const message = await this.message();
      assert.equal(message.text, text);
      found.push(message);
    }
    return found;
  }

  /** DISCONNECT, then the connection ends from both sides. */
  async disconnect(code = 0, properties?: Properties): Promise<void> {
    this.send(disconnectPacket(this.version, code, properties));
    await this.closed();
  }

  /** The connection ends without DISCONNECT. */
  async drop(): Promise<void> {
    this.transcript.push("> (connection dropped)");
    const closed = this.#stream.closed ? null : once(this.#stream, "close");
    this.#stream.destroy();
    await closed;
  }

  async #released(packetId: number): Promise<void> {
    const find = (): number =>
      this.#queue.findIndex((packet) => packet.type === "pubrel" && packet.packetId === packetId);
    await this.#until(() => find() >= 0 || this.#isEnded, `PUBREL ${packetId}`);
    assert(find() >= 0, `closed while waiting for PUBREL ${packetId}`);
    this.#queue.splice(find(), 1);
  }

  #note(line: () => string): void {
    if (!this.isSilent) this.transcript.push(line());
  }

  #take(chunk: Buffer): void {
    if (this.#fault !== null) return;
    try {
      const { frames, rest } = splitFrames(Buffer.concat([this.#rest, chunk]));
      this.#rest = rest;
      for (const packet of frames) {
        this.#note(() => `< ${shown(packet)}`);
        this.#queue.push(this.#checked(decode(this.version, packet)));
      }
    } catch (err) {
      if (!(err instanceof WireFault)) throw err;
      this.#fault = err;
      this.#isEnded = true;
    }
    this.#wake?.();
  }

  #checked(packet: Incoming): Incoming {
    const size = packet.bytes.length;
    if (size > this.#maximumPacketSize) {
      throw new WireFault(
        `a packet of ${size} bytes is over the Maximum Packet Size [MQTT-3.1.2-24]`,
      );
    }
    if (packet.type === "pingresp") return packet;
    const { properties } = packet;
    if ((properties.topicAlias ?? 0) > this.#topicAliasMaximum) {
      throw new WireFault("a Topic Alias is over the Topic Alias Maximum [MQTT-3.1.2-26]");
    }
    const isFree = ["publish", "connack", "disconnect"].includes(packet.type);
    const hasProblem =
      properties.reasonString !== undefined || properties.userProperties !== undefined;
    if (!this.#wantsProblemInformation && !isFree && hasProblem) {
      throw new WireFault("Problem Information was not requested [MQTT-3.1.2-29]");
    }
    return packet;
  }

  #end(): void {
    if (!this.#isEnded) this.transcript.push("< (connection closed)");
    this.#isEnded = true;
    this.#wake?.();
  }

  async #until(isTrue: () => boolean, what: string): Promise<void> {
    if (isTrue()) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#wake = () => {
      if (isTrue()) resolve();
    };
    const timer = setTimeout(() => reject(new Error(`no ${what} in time`)), DEADLINE_MS);
    try {
      await promise;
    } finally {
      clearTimeout(timer);
      this.#wake = null;
    }
  }
}

const SHOWN_BYTES = 120;

function hex(code: number): string {
  return `0x${code.toString(16)}`;
}

function shown(out: Buffer): string {
  const more = out.length > SHOWN_BYTES ? `… (${out.length} bytes)` : "";
  return out.subarray(0, SHOWN_BYTES).toString("hex") + more;
}
