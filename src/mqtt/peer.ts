/** The other end of a connection, as the listener that accepted it saw it. */
export interface Peer {
  /** Name of the listener: `tcp`, `tls`, `ws` or `wss`. */
  readonly listener: string;
  readonly address: string;
  readonly tcpPort: number;
  /** The verified client certificate, null without one. */
  readonly certificate: { readonly subject: string; readonly commonName: string } | null;
  /** Monotonic ms at which the listener accepted it, handshakes of its own included in what follows. */
  readonly acceptedMs?: number;
}
