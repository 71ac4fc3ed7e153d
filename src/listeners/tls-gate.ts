import type { Socket } from "node:net";
import { createServer, type SecureContextOptions, type Server, type TLSSocket } from "node:tls";
import type { Config } from "../config/index.ts";
import type { Peer } from "../mqtt/index.ts";

/** What becomes of a raw connection behind a TLS gate. */
export interface TlsGateEvents {
  secured(socket: TLSSocket, certificate: Peer["certificate"]): void;
  /**
   * The socket is of no more use; it may have lost its peer's address already. Not called for a
   * peer that left by itself during the handshake.
   */
  failed(socket: TLSSocket, reason: "tls_handshake" | "client_certificate", err: unknown): void;
}

/** Speaks TLS over raw connections; does not listen itself. */
export interface TlsGate {
  take(raw: Socket): void;
  /** Uses other key material for connections from now on. Session tickets of the old one die with it. */
  renew(material: SecureContextOptions): void;
}

/**
 * Client certificates: not requested with `verify_peer` off; with it on, requested and verified, and
 * required with `fail_if_no_peer_cert` too. One that does not verify is never accepted, even where
 * none would be. The caller limits the time of the handshake.
 */
export function createTlsGate(
  tls: Config["tls"],
  material: SecureContextOptions,
  events: TlsGateEvents,
): TlsGate {
  const server: Server = createServer({
    ...material,
    requestCert: tls.verify_peer,
    rejectUnauthorized: tls.verify_peer && tls.fail_if_no_peer_cert,
  });
  server.on("secureConnection", (socket) => {
    const certificate = socket.getPeerX509Certificate();
    if (tls.verify_peer && certificate !== undefined && !socket.authorized) {
      events.failed(socket, "client_certificate", socket.authorizationError);
    } else {
      events.secured(socket, tls.verify_peer ? describe(socket) : null);
    }
  });
  server.on("tlsClientError", (err, socket) => {
    // Node destroys the socket of a certificate that does not verify, and reports a reset.
    if (socket.authorizationError) {
      events.failed(socket, "client_certificate", socket.authorizationError);
    } else if (codeOf(err) === "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE") {
      events.failed(socket, "client_certificate", err);
    } else if (codeOf(err) !== "ECONNRESET") {
      events.failed(socket, "tls_handshake", err);
    }
  });
  return {
    take(raw) {
      // Documented for servers that accept connections elsewhere: net.Server's `connection` event
      // may be emitted by the user. The limits are checked on the raw socket before any of this.
      server.emit("connection", raw);
    },
    renew: (next) => server.setSecureContext(next),
  };
}

function codeOf(err: Error): unknown {
  return "code" in err ? err.code : undefined;
}

/** Subject as in RFC 4514 ("CN=sensor 7,O=Example,C=JP"), and the (first) common name. */
function describe(socket: TLSSocket): Peer["certificate"] {
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return null;
  // Node prints one escaped attribute a line, the most general first.
  const attributes = certificate.subject?.split("\n") ?? [];
  const commonName: unknown = certificate.toLegacyObject().subject?.CN;
  const names = Array.isArray(commonName) ? commonName : [commonName];
  return {
    subject: attributes.reverse().join(","),
    commonName: typeof names[0] === "string" ? names[0] : "",
  };
}
