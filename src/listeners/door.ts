import { createServer, type Server, type Socket } from "node:net";
import { GatewayError, reasonOf } from "../errors/index.ts";

/** Pending connections the kernel may hold for us (it caps this by net.core.somaxconn). */
const BACKLOG = 4096;

/** Idle time before TCP probes a silent peer; MQTT's own Keep Alive is usually shorter. */
const KEEP_ALIVE_DELAY_MS = 60_000;

/** Where a door really is: the port the system chose, and IPv4 only on a machine without IPv6. */
export interface DoorPlace {
  readonly bind: string;
  readonly tcpPort: number;
}

/** A TCP server, built but not listening, that calls `accept` for each connection. */
export function createDoor(accept: (socket: Socket) => void): Server {
  return createServer(
    { noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_DELAY_MS },
    accept,
  );
}

/**
 * Opens a door. "::" takes IPv4 connections too, and becomes "0.0.0.0" on a machine without IPv6.
 *
 * @throws GatewayError LISTENER_BIND_FAILED
 */
export async function openDoor(
  server: Server,
  listener: string,
  wanted: DoorPlace,
): Promise<DoorPlace> {
  try {
    return await listen(server, wanted);
  } catch (err) {
    if (wanted.bind === "::" && isWithoutIpv6(err)) {
      return openDoor(server, listener, { ...wanted, bind: "0.0.0.0" });
    }
    const reason = reasonOf(err);
    throw new GatewayError(
      "LISTENER_BIND_FAILED",
      { listener, bind: wanted.bind, tcpPort: wanted.tcpPort, reason },
      { cause: err },
    );
  }
}

function listen(server: Server, { bind, tcpPort }: DoorPlace): Promise<DoorPlace> {
  return new Promise((resolve, reject) => {
    const opened = () => {
      server.off("error", failed);
      const address = server.address();
      const isTcp = typeof address === "object" && address !== null;
      resolve({ bind, tcpPort: isTcp ? address.port : tcpPort });
    };
    const failed = (err: Error) => {
      server.off("listening", opened);
      reject(err);
    };
    server.once("listening", opened);
    server.once("error", failed);
    server.listen({ host: bind, port: tcpPort, backlog: BACKLOG, ipv6Only: false });
  });
}

function isWithoutIpv6(err: unknown): boolean {
  if (!(err instanceof Error && "code" in err)) return false;
  return err.code === "EAFNOSUPPORT" || err.code === "EADDRNOTAVAIL";
}
