/** The address of a cloud broker. */
export interface ServerUrl {
  readonly transport: "tcp" | "tls" | "ws" | "wss";
  readonly host: string;
  readonly tcpPort: number;
  /** HTTP path of a WebSocket, else empty. */
  readonly path: string;
}

const TRANSPORT_OF = {
  mqtt: "tcp",
  tcp: "tcp",
  "mqtt-tcp": "tcp",
  mqtts: "tls",
  ssl: "tls",
  "tls+mqtt-tcp": "tls",
  ws: "ws",
  wss: "wss",
} as const;

const DEFAULT_PORT = { tcp: 1883, tls: 8883, ws: 8083, wss: 8084 } as const;

const SHAPE =
  /^(?<scheme>[a-z+-]+):\/\/(?:\[(?<ipv6>[0-9a-fA-F:.%]+)\]|(?<name>[\w.-]+))(?::(?<port>\d{1,5}))?(?<path>\/[\w./~-]*)?$/;

/** Reads a cloud broker's URL in NanoMQ's or the common spelling; null when it is not one. */
export function parseServerUrl(raw: string): ServerUrl | null {
  const parts = SHAPE.exec(raw)?.groups;
  const scheme = parts?.["scheme"];
  if (parts === undefined || scheme === undefined || !Object.hasOwn(TRANSPORT_OF, scheme))
    return null;
  const transport = TRANSPORT_OF[scheme as keyof typeof TRANSPORT_OF];
  const tcpPort = parts["port"] === undefined ? DEFAULT_PORT[transport] : Number(parts["port"]);
  const isWebSocket = transport === "ws" || transport === "wss";
  const path = parts["path"] ?? "";
  if (tcpPort < 1 || tcpPort > 65_535 || (!isWebSocket && path.length > 1)) return null;
  return {
    transport,
    host: parts["ipv6"] ?? parts["name"] ?? "",
    tcpPort,
    path: isWebSocket ? path || "/mqtt" : "",
  };
}
