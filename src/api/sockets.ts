import { createServer, type RequestListener, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer, type Server as TlsServer } from "node:https";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { SecureContextOptions } from "node:tls";
import { GatewayError, reasonOf } from "../errors/index.ts";
import { isLoopback } from "./loopback.ts";

/** The HTTP servers in front of the application. */
export interface Sockets {
  /**
   * Listens; 0 picks a free port. With key and certificate it speaks TLS, and asks for none.
   * @returns the real port
   * @throws GatewayError LISTENER_BIND_FAILED
   */
  open(
    listener: string,
    bind: string,
    tcpPort: number,
    material?: SecureContextOptions,
  ): Promise<number>;
  /** Other key and certificate for connections from now on. */
  renew(material: SecureContextOptions): void;
  /** Stops listening, lets answers finish for a moment, then closes every connection. */
  close(): Promise<void>;
  connections(): number;
}

/** What one caller may cost. */
export interface SocketLimits {
  readonly headersMs: number;
  readonly requestMs: number;
  readonly idleMs: number;
  readonly maxConnections: number;
}

const LIMITS: SocketLimits = {
  headersMs: 10_000,
  requestMs: 30_000,
  idleMs: 60_000,
  maxConnections: 512,
};

/** How often requests are looked at for being late, as a part of the time they have. */
const CHECKS_PER_LIMIT = 5;
const MAX_HEADER_BYTES = 16_384;
const MAX_CONNECTIONS_PER_ADDRESS = 64;
/** Bodies above this are refused before `100 Continue`, whatever the path is below the prefix. */
const MAX_EXPECTED_BYTES = 1_048_576;
/** EMQX's dialect takes files; each of its routes has a limit of its own, behind the login. */
const FILES_PREFIX = "/api/v5/";
const MAX_EXPECTED_FILE_BYTES = 1_073_741_824;
const CLOSE_MS = 1_000;

/** Emitted on a response whose request may take as long as its handler lets it. */
export const SLOW_BODY = "slowBody";

const TOO_LARGE = JSON.stringify({ code: 108, seq: 0 });
const UNREADABLE = JSON.stringify({ code: 109, seq: 0 });

/**
 * Node's own answers (408, 413, 417, 431, all without a body) are none of the API's: what Node cannot
 * read is 400 with JSON here. A request has 10 s for its headers and 30 s in all, so that a trickle
 * of bytes holds no connection for long; only a body that is announced as slow, behind a login, has more.
 */
export function createSockets(handler: RequestListener, limits = LIMITS): Sockets {
  const servers: (Server | TlsServer)[] = [];
  const secured = new Set<TlsServer>();
  const sockets = new Set<Socket>();
  const answering = new WeakMap<Socket, ServerResponse>();
  const slow = new WeakSet<ServerResponse>();
  /** Connections that can be answered: those whose handshake is done, where there is one. */
  const established = new WeakSet<Duplex>();

  function build(material: SecureContextOptions | undefined): Server | TlsServer {
    const options = {
      headersTimeout: limits.headersMs,
      requestTimeout: limits.requestMs,
      keepAliveTimeout: limits.idleMs,
      connectionsCheckingInterval: limits.headersMs / CHECKS_PER_LIMIT,
      maxHeaderSize: MAX_HEADER_BYTES,
      requireHostHeader: false,
    };
    if (material === undefined) {
      const plain = createServer(options);
      plain.on("connection", (socket) => established.add(socket));
      return configured(plain);
    }
    const handshakeTimeout = limits.headersMs;
    const server = createTlsServer({ ...options, ...material, handshakeTimeout });
    server.on("secureConnection", (socket) => established.add(socket));
    secured.add(server);
    return configured(server);
  }

  function configured<S extends Server | TlsServer>(server: S): S {
    server.setTimeout(limits.idleMs);
    const serve: RequestListener = (request, response) => {
      answering.set(request.socket, response);
      response.once(SLOW_BODY, () => slow.add(response));
      handler(request, response);
    };
    server.on("request", serve);
    server.on("checkExpectation", serve);
    server.on("checkContinue", (request, response) => {
      const isFile = request.url?.startsWith(FILES_PREFIX) === true;
      const max = isFile ? MAX_EXPECTED_FILE_BYTES : MAX_EXPECTED_BYTES;
      if (Number(request.headers["content-length"] ?? 0) > max) {
        request.socket.end(badRequest(TOO_LARGE));
        return;
      }
      response.writeContinue();
      serve(request, response);
    });
    server.on("connection", (socket) => {
      if (isOneTooMany(socket)) {
        socket.destroy();
        return;
      }
      sockets.add(socket);
      socket.once("close", () => sockets.delete(socket));
    });
    server.on("clientError", (err, socket) => {
      const response = answering.get(socket as Socket);
      // Node tells it once and leaves the rest to this listener; the idle time still holds.
      const isSlowBody = response !== undefined && !response.writableEnded && slow.has(response);
      if (isSlowBody && isRequestTimeout(err)) return;
      const isAnswered = response?.headersSent && !response.writableEnded;
      const isDeaf = !established.has(socket) || !socket.writable || isReset(err);
      if (isAnswered || isDeaf) socket.destroy();
      else socket.end(badRequest(UNREADABLE));
    });
    return server;
  }

  function isOneTooMany(socket: Socket): boolean {
    if (sockets.size >= limits.maxConnections) return true;
    const address = socket.remoteAddress;
    if (address === undefined || isLoopback(address)) return false;
    let same = 0;
    for (const other of sockets) if (other.remoteAddress === address) same += 1;
    return same >= MAX_CONNECTIONS_PER_ADDRESS;
  }

  return {
    async open(listener, bind, tcpPort, material) {
      const server = build(material);
      try {
        await listen(server, bind, tcpPort);
      } catch (err) {
        const details = { listener, bind, tcpPort, reason: reasonOf(err) };
        throw new GatewayError("LISTENER_BIND_FAILED", details, { cause: err });
      }
      servers.push(server);
      const address = server.address();
      return typeof address === "object" && address !== null ? address.port : tcpPort;
    },

    renew(material) {
      for (const server of secured) server.setSecureContext(material);
    },

    async close() {
      secured.clear();
      const closing = servers.splice(0).map(
        (server) =>
          new Promise<void>((resolve) => {
            server.close(() => resolve());
            server.closeIdleConnections();
          }),
      );
      const timer = setTimeout(() => {
        for (const socket of sockets) socket.destroy();
      }, CLOSE_MS);
      await Promise.all(closing);
      clearTimeout(timer);
    },

    connections: () => sockets.size,
  };
}

async function listen(server: Server | TlsServer, host: string, port: number): Promise<void> {
  try {
    await tryListen(server, host, port);
  } catch (err) {
    const hasNoIPv6 = err instanceof Error && "code" in err && err.code === "EAFNOSUPPORT";
    if (host !== "::" || !hasNoIPv6) throw err;
    await tryListen(server, "0.0.0.0", port);
  }
}

function tryListen(server: Server | TlsServer, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port }, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

function isRequestTimeout(err: Error): boolean {
  return "code" in err && err.code === "ERR_HTTP_REQUEST_TIMEOUT";
}

function isReset(err: Error): boolean {
  return "code" in err && err.code === "ECONNRESET";
}

function badRequest(body: string): string {
  return [
    "HTTP/1.1 400 Bad Request",
    "Content-Type: application/json",
    `Content-Length: ${Buffer.byteLength(body)}`,
    "Connection: close",
    "",
    body,
  ].join("\r\n");
}
