import type { Duplex } from "node:stream";
import type { SecureContextOptions } from "node:tls";
import type { Config } from "../config/index.ts";
import type { Log } from "../log/index.ts";
import type { Peer } from "../mqtt/index.ts";
import type { Clock } from "../time/index.ts";
import { Admission } from "./admission.ts";
import { Listener, type ListenerPlan } from "./listener.ts";
import { type RefusalReason, Refusals } from "./refusals.ts";
import { loadTlsMaterial } from "./tls-material.ts";

export interface ListenersDeps {
  readonly log: Log;
  readonly clock: Clock;
  /**
   * Receives every connection that came through: a byte stream of MQTT, whatever it travels in. The
   * stream belongs to the receiver, which ends or destroys it.
   */
  onConnection(stream: Duplex, peer: Peer): void;
}

export interface ListenersConfig {
  readonly listeners: Config["listeners"];
  readonly tls: Config["tls"];
  readonly limits: Config["limits"];
  readonly mqtt: Pick<Config["mqtt"], "connect_timeout_s" | "max_packet_size_bytes">;
}

export interface ListenerStatus {
  /** `tcp`, `tls`, `ws` or `wss`. */
  readonly name: string;
  /** The address really bound: "0.0.0.0" where "::" was wanted on a machine without IPv6. */
  readonly bind: string;
  /** The port really bound. */
  readonly tcpPort: number;
  /** Open connections, those still in their TLS or WebSocket handshake included. */
  readonly connections: number;
  /** Connections not handed over since the start, by reason; absent reasons never occurred. */
  readonly refused: Readonly<Partial<Record<RefusalReason, number>>>;
}

/** The doors of the broker: MQTT over TCP, TLS, WebSocket and secure WebSocket. */
export interface Listeners {
  /**
   * Opens every listener that is enabled, or none.
   *
   * @throws GatewayError LISTENER_BIND_FAILED, or CONFIG_CHECK_FAILED for unusable TLS files
   */
  start(signal?: AbortSignal): Promise<void>;
  /**
   * Frees the ports and drops connections that are still in a handshake. Those handed over stay
   * with their receiver, which can say goodbye to them.
   */
  stop(): Promise<void>;
  /** The open listeners. */
  status(): readonly ListenerStatus[];
  /**
   * Reads the TLS files again and uses them for new connections; connections that are open keep
   * theirs. With unusable files everything stays as it is.
   *
   * @throws GatewayError CONFIG_CHECK_FAILED naming the key of the file and what is wrong with it
   */
  reloadTls(): Promise<void>;
  /** Changes the largest packet for WebSocket connections from now on, in bytes. */
  setMaxPacketSize(bytes: number): void;
}

/**
 * Listeners with limits (total, per listener, per address, new per second and address; loopback is
 * exempt from the latter two) and a time limit for TLS and WebSocket handshakes. What is refused is
 * counted by reason and logged at most once in 10 s.
 *
 * TLS is 1.2 or newer. Client certificates follow `tls.verify_peer` and `tls.fail_if_no_peer_cert`;
 * one that does not verify is refused in every mode that asks for one. WebSocket as in MQTT 5.0 §6:
 * subprotocol `mqtt`, binary frames, no compression.
 */
export function createListeners(deps: ListenersDeps, cfg: ListenersConfig): Listeners {
  const log = deps.log.child({ part: "listeners" });
  const refusals = new Refusals(log, deps.clock);
  const shared = {
    log,
    clock: deps.clock,
    admission: new Admission(deps.clock, cfg.limits),
    refusals,
    handshakeTimeoutMs: cfg.mqtt.connect_timeout_s * 1000,
    onConnection: deps.onConnection,
  };
  let open: readonly Listener[] = [];
  let maxPacketSizeBytes = cfg.mqtt.max_packet_size_bytes;

  function closeAll(listeners: readonly Listener[], handedOver: "keep" | "drop"): void {
    for (const listener of listeners) listener.close({ handedOver });
  }

  return {
    async start(signal) {
      const isTlsNeeded = cfg.listeners.tls.enable || cfg.listeners.wss.enable;
      const material = isTlsNeeded ? await loadTlsMaterial(cfg.tls) : null;
      const listeners = plans(cfg, material, maxPacketSizeBytes).map(
        (plan) => new Listener(shared, plan),
      );
      try {
        for (const listener of listeners) {
          signal?.throwIfAborted();
          await listener.open();
        }
        signal?.throwIfAborted();
      } catch (err) {
        closeAll(listeners, "drop");
        throw err;
      }
      open = listeners;
      for (const { name, place } of listeners) {
        log.info({ listener: name, bind: place.bind, port: place.tcpPort }, "listener open");
      }
    },
    async stop() {
      closeAll(open, "keep");
      open = [];
      refusals.flush();
    },
    status: () =>
      open.map(({ name, place, connections }) => ({
        name,
        ...place,
        connections,
        refused: refusals.of(name),
      })),
    async reloadTls() {
      if (!cfg.listeners.tls.enable && !cfg.listeners.wss.enable) return;
      const material = await loadTlsMaterial(cfg.tls);
      for (const listener of open) listener.renewTls(material);
      log.info({}, "TLS files read again");
    },
    setMaxPacketSize(bytes) {
      maxPacketSizeBytes = bytes;
      for (const listener of open) listener.setMaxPacketSize(bytes);
    },
  };
}

/** What to open; `material` is null only when no listener with TLS is enabled. */
function plans(
  { listeners, tls }: ListenersConfig,
  material: SecureContextOptions | null,
  maxPacketSizeBytes: number,
): readonly ListenerPlan[] {
  const secure = material === null ? null : { config: tls, material };
  const rows = [
    { name: "tcp", from: listeners.tcp, tls: null, path: null },
    { name: "tls", from: listeners.tls, tls: secure, path: null },
    { name: "ws", from: listeners.ws, tls: null, path: listeners.ws.path },
    { name: "wss", from: listeners.wss, tls: secure, path: listeners.wss.path },
  ];
  return rows
    .filter((row) => row.from.enable)
    .map(({ name, from, tls: rowTls, path }) => ({
      name,
      place: { bind: from.bind, tcpPort: from.port },
      maxConnections: from.max_connections,
      tls: rowTls,
      webSocket: path === null ? null : { path, maxPacketSizeBytes },
    }));
}
