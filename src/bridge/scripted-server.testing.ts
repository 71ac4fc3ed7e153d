import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";

/** A packet from the client: its type (MQTT 5.0 §2.1.2) and all of its bytes. */
export interface ClientPacket {
  readonly type: number;
  readonly flags: number;
  /** Behind the fixed header. */
  readonly body: Buffer;
}

/** One accepted connection. */
export interface ScriptedConnection {
  readonly socket: Socket;
  /** From 1, in order of acceptance. */
  readonly number: number;
  readonly packets: ClientPacket[];
  send(...bytes: readonly (number | Buffer | string)[]): void;
}

export interface Script {
  onConnection?(connection: ScriptedConnection): void;
  onPacket?(connection: ScriptedConnection, packet: ClientPacket): void;
}

/** A server in this process that says what a test wants, however wrong. */
export class ScriptedServer implements AsyncDisposable {
  readonly connections: ScriptedConnection[] = [];
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(script: Script, tcpPort = 0): Promise<ScriptedServer> {
    const server = createServer();
    const scripted = new ScriptedServer(server);
    server.on("connection", (socket) => scripted.#accept(socket, script));
    server.listen(tcpPort, "127.0.0.1");
    await once(server, "listening");
    return scripted;
  }

  get tcpPort(): number {
    const address = this.#server.address();
    return typeof address === "object" && address !== null ? address.port : 0;
  }

  get url(): string {
    return `mqtt://127.0.0.1:${this.tcpPort}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { socket } of this.connections) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }

  #accept(socket: Socket, script: Script): void {
    const connection: ScriptedConnection = {
      socket,
      number: this.connections.length + 1,
      packets: [],
      send: (...bytes) => {
        for (const piece of bytes) {
          if (!socket.writable) return;
          socket.write(typeof piece === "number" ? Buffer.of(piece) : piece);
        }
      },
    };
    this.connections.push(connection);
    let pending = Buffer.alloc(0);
    socket.on("error", () => socket.destroy());
    socket.on("data", (chunk) => {
      pending = Buffer.concat([pending, chunk]);
      for (let cut = cutPacket(pending); cut !== null; cut = cutPacket(pending)) {
        pending = pending.subarray(cut.bytes);
        connection.packets.push(cut.packet);
        script.onPacket?.(connection, cut.packet);
      }
    });
    script.onConnection?.(connection);
  }
}

export const CONNECT = 1;
export const PUBLISH = 3;
export const PUBACK = 4;
export const PUBREL = 6;
export const SUBSCRIBE = 8;

export const CONNACK_OK = Buffer.of(0x20, 2, 0, 0);
export const CONNACK_SESSION = Buffer.of(0x20, 2, 1, 0);
export const CONNACK_OK_V5 = Buffer.of(0x20, 3, 0, 0, 0);

/** A packet of the given first byte and body. */
export function frame(first: number, ...body: readonly (number | Buffer | string)[]): Buffer {
  const bytes = Buffer.concat(
    body.map((piece) => (typeof piece === "number" ? Buffer.of(piece) : Buffer.from(piece))),
  );
  const length: number[] = [];
  for (let rest = bytes.length; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) {
      length.push(rest);
      return Buffer.concat([Buffer.of(first, ...length), bytes]);
    }
    length.push((rest % 128) | 0x80);
  }
}

/** A PUBLISH of MQTT 3.1.1; QoS 0 has no packet identifier. */
export function publishFrame(
  name: string | Buffer,
  payload: string | Buffer,
  qos: 0 | 1 | 2 = 0,
  packetId = 1,
): Buffer {
  const bytes = Buffer.from(name);
  const id = qos > 0 ? [packetId >> 8, packetId & 0xff] : [];
  return frame(
    0x30 | (qos << 1),
    ...[bytes.length >> 8, bytes.length & 0xff, bytes, ...id, payload],
  );
}

/** The packet identifier of a PUBLISH with QoS 1 or 2 (MQTT 3.1.1), its topic and payload. */
export function readPublish(packet: ClientPacket): {
  readonly topic: string;
  readonly packetId: number;
  readonly qos: number;
  readonly dup: boolean;
  readonly payload: string;
} {
  const { body, flags } = packet;
  const end = 2 + body.readUInt16BE(0);
  const qos = (flags >> 1) & 3;
  return {
    topic: body.toString("utf8", 2, end),
    packetId: qos > 0 ? body.readUInt16BE(end) : 0,
    qos,
    dup: (flags & 8) !== 0,
    payload: body.toString("utf8", qos > 0 ? end + 2 : end),
  };
}

function cutPacket(bytes: Buffer): { packet: ClientPacket; bytes: number } | null {
  let length = 0;
  for (let i = 1; i < bytes.length; i++) {
    const byte = bytes[i] ?? 0;
    length += (byte & 0x7f) * 128 ** (i - 1);
    if (byte >= 0x80) continue;
    const end = i + 1 + length;
    if (bytes.length < end) return null;
    const first = bytes[0] ?? 0;
    return {
      packet: { type: first >> 4, flags: first & 0x0f, body: bytes.subarray(i + 1, end) },
      bytes: end,
    };
  }
  return null;
}
