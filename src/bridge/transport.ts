import type { LookupAddress } from "node:dns";
import { connect as connectTcp, type LookupFunction } from "node:net";
import { type Duplex, Readable } from "node:stream";
import { connect as connectTls } from "node:tls";
import type { IClientOptions, MqttClient } from "mqtt";
import { streamBuilder as openWebSocket } from "mqtt/lib/connect/ws";
import type { BridgeConfig, ServerUrl } from "../config/index.ts";
import type { HostResolver } from "./resolve.ts";
import { type CertificateListener, loadTls } from "./tls.ts";

export interface Route {
  readonly server: ServerUrl;
  readonly tls: BridgeConfig["tls"];
  readonly protocolVersion: 3 | 4 | 5;
  /** Largest WebSocket message taken, bytes. */
  readonly maxMessageBytes: number;
  readonly onCertificate: CertificateListener;
}

/** A way to the server, ready to be opened. */
export interface PreparedStream {
  readonly open: OpenStream;
  /** Opens TCP, and TLS where it is used, and closes it again: whether the server can be reached. */
  reach(): Duplex;
  readonly isSecure: boolean;
  /** Of the certificate files; empty without TLS. */
  readonly fingerprint: string;
}

/** Builds the stream a client of MQTT.js runs on. */
export type OpenStream = (client: MqttClient) => Duplex;

/** Unanswered TCP probes end a dead connection also where Keep Alive is off. */
const TCP_KEEP_ALIVE_MS = 60_000;

/**
 * Finds the server's addresses and reads the certificates; the result opens the connection.
 * @throws an Error for a name without address, or unusable files.
 */
export async function prepareStream(resolver: HostResolver, route: Route): Promise<PreparedStream> {
  const { server } = route;
  const isSecure = server.transport === "tls" || server.transport === "wss";
  const [addresses, loaded] = await Promise.all([
    resolver.resolve(server.host),
    isSecure ? loadTls(route.tls, route.onCertificate) : { options: {}, fingerprint: "" },
  ]);
  const { options: tls, fingerprint } = loaded;
  const target = {
    host: server.host,
    port: server.tcpPort,
    lookup: answerWith(addresses),
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: TCP_KEEP_ALIVE_MS,
  };
  const plain = () => connectTcp(target);
  const secure = () => connectTls({ ...sni(server.host), ...target, ...tls });
  const reach = isSecure ? secure : plain;
  if (server.transport === "tcp" || server.transport === "tls") {
    return { open: reach, reach, isSecure, fingerprint };
  }
  const scheme = server.transport;
  const open: OpenStream = (client) => {
    // perMessageDeflate off: a few bytes could be unpacked into all memory there is.
    const wsOptions = {
      ...tls,
      lookup: target.lookup,
      perMessageDeflate: false,
      maxPayload: route.maxMessageBytes,
    };
    const options: IClientOptions = {
      protocol: scheme,
      hostname: server.host.includes(":") ? `[${server.host}]` : server.host,
      port: server.tcpPort,
      path: server.path,
      protocolId: route.protocolVersion === 3 ? "MQIsdp" : "MQTT",
      protocolVersion: route.protocolVersion,
      wsOptions,
    };
    return asDuplex(openWebSocket(client, options));
  };
  return { open, reach, isSecure, fingerprint };
}

/** Answers Node's look-up with the addresses already found. */
function answerWith(addresses: readonly LookupAddress[]): LookupFunction {
  return (_, options, callback) => {
    if (options.all === true) {
      callback(null, [...addresses]);
      return;
    }
    const [first] = addresses;
    callback(null, first?.address ?? "", first?.family);
  };
}

function sni(host: string): { servername?: string } {
  return /^[\d.]+$|:/.test(host) ? {} : { servername: host };
}

function asDuplex(stream: ReturnType<typeof openWebSocket>): Duplex {
  if (stream instanceof Readable) return stream;
  throw new TypeError("a WebSocket stream is a stream of Node");
}
