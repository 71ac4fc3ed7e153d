import { Duplex } from "node:stream";
import type { WebSocket } from "ws";

/** Up to this many bytes, chunks written in one go leave as one frame; more is not worth the copy. */
const MAX_JOINED_BYTES = 64 * 1024;

/** Close codes of RFC 6455 §7.4.1. */
const NORMAL_CLOSURE = 1000;
const UNSUPPORTED_DATA = 1003;

interface QueuedChunk {
  readonly chunk: Buffer;
  readonly encoding: BufferEncoding;
}

type Done = (error?: Error | null) => void;

/**
 * The MQTT byte stream inside a WebSocket: packets may be split over messages or share one
 * ([MQTT-6.0.0-2]). A write is done when the bytes have left for the socket, so `writableLength`
 * tells the true backlog; reading pauses the socket. A text message closes the connection
 * ([MQTT-6.0.0-1]).
 *
 * ws 8.23.0's own `createWebSocketStream` is not used: it sends every small chunk as a frame and a
 * system call of its own, and hands text on as data.
 */
export class WebSocketStream extends Duplex {
  readonly #webSocket: WebSocket;

  constructor(webSocket: WebSocket) {
    super({ allowHalfOpen: false });
    this.#webSocket = webSocket;
    // Without a listener an error would end the process, at whatever moment it comes; the owner of
    // the stream adds its own.
    this.on("error", () => {});
    webSocket.on("message", (data, isBinary) => this.#receive(data, isBinary));
    // For a protocol error ws has sent the close frame already.
    webSocket.on("error", (err) => this.destroy(err));
    webSocket.on("close", () => this.#ended());
  }

  override _read(): void {
    if (this.#webSocket.isPaused) this.#webSocket.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Done): void {
    this.#webSocket.send(chunk, { binary: true }, done);
  }

  override _writev(queued: readonly QueuedChunk[], done: Done): void {
    const chunks = queued.map((entry) => entry.chunk);
    const bytes = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    if (bytes <= MAX_JOINED_BYTES) {
      this.#webSocket.send(Buffer.concat(chunks, bytes), { binary: true }, done);
      return;
    }
    // The socket keeps the order, so the last one's callback speaks for all.
    for (const [index, chunk] of chunks.entries()) {
      this.#webSocket.send(chunk, { binary: true }, index === chunks.length - 1 ? done : undefined);
    }
  }

  override _final(done: Done): void {
    this.#webSocket.close(NORMAL_CLOSURE);
    done();
  }

  override _destroy(err: Error | null, done: Done): void {
    // While a close frame is on its way ws cuts the socket itself after its close timeout.
    if (this.#webSocket.readyState === this.#webSocket.OPEN) this.#webSocket.terminate();
    done(err);
  }

  #receive(data: unknown, isBinary: boolean): void {
    // Messages that arrived in the same chunk still come after a pause or a close.
    if (this.destroyed) return;
    if (!isBinary || !Buffer.isBuffer(data)) {
      this.#webSocket.close(UNSUPPORTED_DATA, "MQTT needs binary frames");
      this.destroy(new Error("text frame on an MQTT WebSocket"));
    } else if (!this.push(data)) {
      this.#webSocket.pause();
    }
  }

  #ended(): void {
    if (this.writableEnded) this.destroy();
    else if (!this.destroyed) this.push(null);
  }
}
