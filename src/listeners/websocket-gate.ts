import { createServer, type IncomingMessage, STATUS_CODES } from "node:http";
import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { WebSocketServer } from "ws";
import { WebSocketStream } from "./websocket-stream.ts";

/** A WebSocket message may hold several MQTT packets, or the tail of one and the head of the next. */
const MESSAGE_MARGIN_BYTES = 64 * 1024;

/** The request line and headers of an upgrade together; browsers need about 1 kB. */
const MAX_HEADER_BYTES = 8 * 1024;

/** Time for the peer to answer our close frame before the socket is cut. */
const CLOSE_TIMEOUT_MS = 2000;

/** A message in pieces smaller than this on average is an attack on memory, not a client. */
const MIN_PIECE_BYTES = 256;

/** `mqttv3.1` is what MQTT 3.1 clients offer, whose specification does not know WebSocket. */
const SUBPROTOCOLS = ["mqtt", "mqttv3.1"] as const;

export interface WebSocketGateEvents {
  /** `socket` is the one that `take` was given. */
  opened(socket: Socket, stream: WebSocketStream): void;
  /** The request is answered with an HTTP error; the socket closes once that is sent. */
  failed(socket: Socket, err: Error): void;
}

/** Speaks HTTP and WebSocket over connections; does not listen itself. */
export interface WebSocketGate {
  take(socket: Socket): void;
  /** Changes the largest MQTT packet for connections from now on. */
  setMaxPacketSize(bytes: number): void;
}

/**
 * Accepts the upgrade on `path` with the subprotocol `mqtt` ([MQTT-6.0.0-3], [MQTT-6.0.0-4]) and
 * answers everything else with an HTTP error. Compression is never negotiated: a few bytes could
 * unpack to anything. Header and upgrade time limits are the caller's: `http.Server` checks its own
 * only while it listens itself.
 */
export function createWebSocketGate(
  path: string,
  maxPacketSizeBytes: number,
  events: WebSocketGateEvents,
): WebSocketGate {
  let upgrader = createUpgrader(maxPacketSizeBytes);
  const http = createServer({ maxHeaderSize: MAX_HEADER_BYTES });

  http.on("request", (request, response) => {
    const status = pathOf(request) === path ? 426 : 404;
    response.writeHead(status, {
      connection: "close",
      "content-type": "text/plain",
      ...(status === 426 ? { upgrade: "websocket" } : {}),
    });
    response.end(`${STATUS_CODES[status]}\n`);
    events.failed(request.socket, new Error(`HTTP ${request.method} answered ${status}`));
  });
  http.on("clientError", (err, socket) => {
    const isTooLarge = "code" in err && err.code === "HPE_HEADER_OVERFLOW";
    answer(socket, isTooLarge ? 431 : 400);
    if (socket instanceof Socket) events.failed(socket, err);
  });
  http.on("upgrade", (request, socket, head) => {
    const status = upgradeFault(request, path);
    if (status !== null) {
      answer(socket, status);
      events.failed(request.socket, new Error(`WebSocket upgrade answered ${status}`));
      return;
    }
    let isOpen = false;
    upgrader.handleUpgrade(request, socket, head, (webSocket) => {
      isOpen = true;
      events.opened(request.socket, new WebSocketStream(webSocket));
    });
    // handleUpgrade has called back by now or answered the request itself.
    if (!isOpen) events.failed(request.socket, new Error("WebSocket upgrade answered 400"));
  });

  return {
    take(socket) {
      // Documented: the user may emit `connection` to inject any Duplex.
      http.emit("connection", socket);
    },
    setMaxPacketSize(bytes) {
      upgrader = createUpgrader(bytes);
    },
  };
}

function createUpgrader(maxPacketSizeBytes: number): WebSocketServer {
  const maxPayload = maxPacketSizeBytes + MESSAGE_MARGIN_BYTES;
  const maxPieces = Math.ceil(maxPayload / MIN_PIECE_BYTES);
  const options = {
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload,
    // ws's own limits (16,384 and 262,144) let one connection hold tens of megabytes in list
    // entries by sending a message byte by byte.
    maxFragments: maxPieces,
    maxBufferedChunks: maxPieces,
    closeTimeout: CLOSE_TIMEOUT_MS,
    handleProtocols: (offered: Set<string>) =>
      SUBPROTOCOLS.find((name) => offered.has(name)) ?? false,
  } as const;
  return new WebSocketServer(options);
}

/** The HTTP status that refuses an upgrade, null for one to go on with. */
function upgradeFault(request: IncomingMessage, path: string): 400 | 404 | null {
  if (pathOf(request) !== path) return 404;
  const offered = (request.headers["sec-websocket-protocol"] ?? "").split(",");
  return offered.some((name) => isSubprotocol(name.trim())) ? null : 400;
}

function isSubprotocol(name: string): boolean {
  return SUBPROTOCOLS.some((known) => known === name);
}

function pathOf(request: IncomingMessage): string {
  return (request.url ?? "").split("?", 1)[0] ?? "";
}

/** Answers on a socket that no `ServerResponse` belongs to, and closes it once that is sent. */
function answer(socket: Duplex, status: 400 | 404 | 431): void {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  socket.once("finish", () => socket.destroy());
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`,
  );
}
