import { isIPv6 } from "node:net";

/** Where a listener accepts connections. */
export interface ListenerAddress {
  readonly bind: string;
  readonly tcpPort: number;
  /** HTTP path of a WebSocket, null where the URL has none. */
  readonly path: string | null;
}

export type ListenerName = "tcp" | "tls" | "ws" | "wss";

/** Accepted schemes (reference §2.8), the one we write first. */
const SCHEMES: Readonly<Record<ListenerName, readonly string[]>> = {
  tcp: ["nmq-tcp", "broker+tcp", "mqtt", "tcp"],
  tls: ["tls+nmq-tcp", "mqtts", "ssl"],
  ws: ["nmq-ws", "nmq+ws", "ws"],
  wss: ["nmq-wss", "nmq+wss", "wss"],
};

const SHAPE =
  /^(?<scheme>[a-z+-]+):\/\/(?:\[(?<ipv6>[\da-f:.]+)(?<zone>%[\w.-]+)?\]|(?<name>\*|[\w.-]{1,253})):(?<port>\d{1,5})(?<path>\/.*)?$/i;

/** What a listener's URL looks like, to stand after "expected". */
export function listenerUrlForm(listener: ListenerName): string {
  const path = listener === "ws" || listener === "wss" ? "/path" : "";
  return `a URL such as ${SCHEMES[listener][0]}://0.0.0.0:1883${path} with one of the schemes ${SCHEMES[listener].join(", ")} and a port`;
}

/** Reads a listener's URL; null when it is not one for this listener. `*` is any address. */
export function parseListenerUrl(listener: ListenerName, url: string): ListenerAddress | null {
  const parts = SHAPE.exec(url)?.groups;
  if (parts === undefined) return null;
  const { scheme = "", ipv6, zone = "", name = "", port, path = null } = parts;
  if (!SCHEMES[listener].includes(scheme.toLowerCase())) return null;
  if (ipv6 !== undefined && !isIPv6(ipv6)) return null;
  if (path !== null && (listener === "tcp" || listener === "tls")) return null;
  const bind = ipv6 === undefined ? name : `${ipv6}${zone}`;
  return { bind: bind === "*" ? "::" : bind, tcpPort: Number(port), path };
}

/** Writes a listener's URL in NanoMQ's spelling. */
export function formatListenerUrl(listener: ListenerName, address: ListenerAddress): string {
  const host = address.bind.includes(":") ? `[${address.bind}]` : address.bind;
  return `${SCHEMES[listener][0]}://${host}:${address.tcpPort}${address.path ?? ""}`;
}
