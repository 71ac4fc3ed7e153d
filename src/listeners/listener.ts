import type { Server, Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { SecureContextOptions } from "node:tls";
import type { Config } from "../config/index.ts";
import type { Log } from "../log/index.ts";
import type { Peer } from "../mqtt/index.ts";
import type { Clock, Timer } from "../time/index.ts";
import { plainAddress } from "./address.ts";
import type { Admission } from "./admission.ts";
import { createDoor, type DoorPlace, openDoor } from "./door.ts";
import type { RefusalReason, Refusals } from "./refusals.ts";
import { createTlsGate, type TlsGate } from "./tls-gate.ts";
import { createWebSocketGate, type WebSocketGate } from "./websocket-gate.ts";

/** What the listeners have in common. */
export interface ListenerShared {
  readonly log: Log;
  readonly clock: Clock;
  readonly admission: Admission;
  readonly refusals: Refusals;
  readonly handshakeTimeoutMs: number;
  onConnection(stream: Duplex, peer: Peer): void;
}

/** One listener: its place, its room, and the layers between TCP and MQTT. */
export interface ListenerPlan {
  readonly name: string;
  readonly place: DoorPlace;
  readonly maxConnections: number;
  /** Null = no limit of its own. */
  readonly maxConnectsPerS: number | null;
  readonly tls: { readonly config: Config["tls"]; readonly material: SecureContextOptions } | null;
  readonly webSocket: { readonly path: string; readonly maxPacketSizeBytes: number } | null;
}

/** A connection that has not been handed over yet. */
interface Arrival {
  readonly key: string;
  readonly socket: Socket;
  readonly address: string;
  readonly tcpPort: number;
  /** Monotonic ms. */
  readonly acceptedMs: number;
  readonly deadline: Timer;
  certificate: Peer["certificate"];
  isRefused: boolean;
}

/** What the layers name a connection by: each wraps the socket of the one below. */
type EndPoint = Pick<Socket, "remoteAddress" | "remotePort">;

/**
 * Accepts the connections of one port, leads them through TLS and WebSocket within the connect
 * timeout and hands them over. From then on a connection belongs to its receiver; only its place in
 * the limits is kept until the socket closes.
 */
export class Listener {
  readonly name: string;
  readonly #shared: ListenerShared;
  readonly #door: Server;
  readonly #tls: TlsGate | null;
  readonly #webSocket: WebSocketGate | null;
  /** By the peer's address and port, which the layers above TCP still know. */
  readonly #arrivals = new Map<string, Arrival>();
  readonly #sockets = new Set<Socket>();
  #plan: ListenerPlan;
  #place: DoorPlace;
  /** New connections that are still allowed, and when that was worked out, monotonic ms. */
  #tokens: number;
  #tokensAtMs: number;

  constructor(shared: ListenerShared, plan: ListenerPlan) {
    this.name = plan.name;
    this.#shared = shared;
    this.#plan = plan;
    this.#place = plan.place;
    this.#tokens = plan.maxConnectsPerS ?? 0;
    this.#tokensAtMs = shared.clock.monotonicMs();
    this.#door = createDoor((socket) => this.#accept(socket));
    this.#tls = plan.tls === null ? null : this.#createTlsGate(plan.tls);
    this.#webSocket = plan.webSocket === null ? null : this.#createWebSocketGate(plan.webSocket);
  }

  get plan(): ListenerPlan {
    return this.#plan;
  }

  /** Whether `plan` can be had without closing the door. */
  isLike({ place, tls, webSocket }: ListenerPlan): boolean {
    const was = this.#plan;
    return (
      place.bind === was.place.bind &&
      place.tcpPort === was.place.tcpPort &&
      webSocket?.path === was.webSocket?.path &&
      tls?.config.verify_peer === was.tls?.config.verify_peer &&
      tls?.config.fail_if_no_peer_cert === was.tls?.config.fail_if_no_peer_cert
    );
  }

  /** Limits and certificates for connections from now on. */
  adjust(plan: ListenerPlan): void {
    this.#plan = plan;
    this.#tokens = plan.maxConnectsPerS ?? 0;
    if (plan.tls !== null) this.#tls?.renew(plan.tls.material);
  }

  get place(): DoorPlace {
    return this.#place;
  }

  get connections(): number {
    return this.#sockets.size;
  }

  /** @throws GatewayError LISTENER_BIND_FAILED */
  async open(): Promise<void> {
    this.#place = await openDoor(this.#door, this.name, this.#plan.place);
    // Accepting fails when the process has no file descriptors left; the door stays open.
    this.#door.on("error", (err) => {
      this.#shared.refusals.count(this.name, "accept_failed", { err });
    });
  }

  /**
   * Frees the port and drops the connections still on their way in. Those handed over are left to
   * their receiver, unless `handedOver` says to drop them too.
   */
  close(options: { handedOver: "keep" | "drop" }): void {
    if (this.#door.listening) this.#door.close();
    const doomed =
      options.handedOver === "drop"
        ? [...this.#sockets]
        : [...this.#arrivals.values()].map((arrival) => arrival.socket);
    for (const socket of doomed) socket.destroy();
  }

  renewTls(material: SecureContextOptions): void {
    this.#tls?.renew(material);
  }

  setMaxPacketSize(bytes: number): void {
    this.#webSocket?.setMaxPacketSize(bytes);
  }

  #accept(socket: Socket): void {
    // `close` follows every error and does the accounting; without a listener it ends the process.
    socket.on("error", () => {});
    const { remoteAddress, remotePort } = socket;
    if (remoteAddress === undefined || remotePort === undefined) {
      // The peer has gone while its connection waited in the kernel.
      socket.destroy();
      return;
    }
    const address = plainAddress(remoteAddress);
    const reason = this.#shared.admission.enter(address, this.#ownRefusal());
    if (reason !== null) {
      this.#shared.refusals.count(this.name, reason, { address });
      socket.destroy();
      return;
    }
    this.#sockets.add(socket);
    if (this.#tls === null && this.#webSocket === null) {
      socket.once("close", () => this.#leave(socket, address));
      const acceptedMs = this.#shared.clock.monotonicMs();
      this.#handOver(socket, { address, tcpPort: remotePort, certificate: null, acceptedMs });
      return;
    }
    const arrival = this.#expect(socket, address, remotePort);
    socket.once("close", () => {
      this.#leave(socket, address);
      this.#forget(arrival);
    });
    if (this.#tls !== null) this.#tls.take(socket);
    else this.#webSocket?.take(socket);
  }

  #ownRefusal(): RefusalReason | null {
    const { maxConnections, maxConnectsPerS } = this.#plan;
    if (this.#sockets.size >= maxConnections) return "listener_max_connections";
    if (maxConnectsPerS === null) return null;
    const nowMs = this.#shared.clock.monotonicMs();
    const refilled = this.#tokens + ((nowMs - this.#tokensAtMs) / 1000) * maxConnectsPerS;
    this.#tokens = Math.min(maxConnectsPerS, refilled);
    this.#tokensAtMs = nowMs;
    if (this.#tokens < 1) return "listener_connect_rate";
    this.#tokens--;
    return null;
  }

  #leave(socket: Socket, address: string): void {
    this.#sockets.delete(socket);
    this.#shared.admission.leave(address);
  }

  #expect(socket: Socket, address: string, tcpPort: number): Arrival {
    const deadline = this.#shared.clock.after(this.#shared.handshakeTimeoutMs, () => {
      this.#refuse(arrival, "handshake_timeout");
      socket.destroy();
    });
    const arrival: Arrival = {
      key: endPointKey(socket),
      socket,
      address,
      tcpPort,
      acceptedMs: this.#shared.clock.monotonicMs(),
      deadline,
      certificate: null,
      isRefused: false,
    };
    this.#arrivals.set(arrival.key, arrival);
    return arrival;
  }

  #createTlsGate(tls: NonNullable<ListenerPlan["tls"]>): TlsGate {
    return createTlsGate(tls.config, tls.material, {
      secured: (socket, certificate) => {
        socket.on("error", () => {});
        const arrival = this.#arrivals.get(endPointKey(socket));
        if (arrival === undefined) {
          socket.destroy();
          return;
        }
        arrival.certificate = certificate;
        if (this.#webSocket === null) this.#admit(arrival, socket);
        else this.#webSocket.take(socket);
      },
      failed: (socket, reason, err) => {
        socket.on("error", () => {});
        const arrival = this.#arrivals.get(endPointKey(socket));
        if (arrival !== undefined) this.#refuse(arrival, reason, err);
        else this.#shared.refusals.count(this.name, reason, { err });
        socket.destroy();
      },
    });
  }

  #createWebSocketGate(webSocket: NonNullable<ListenerPlan["webSocket"]>): WebSocketGate {
    return createWebSocketGate(webSocket.path, webSocket.maxPacketSizeBytes, {
      opened: (socket, stream) => {
        const arrival = this.#arrivals.get(endPointKey(socket));
        if (arrival === undefined) stream.destroy();
        else this.#admit(arrival, stream);
      },
      failed: (socket, err) => {
        const arrival = this.#arrivals.get(endPointKey(socket));
        // The deadline stays: the peer may never read the answer.
        if (arrival !== undefined) this.#refuse(arrival, "http_request", err);
      },
    });
  }

  #admit(arrival: Arrival, stream: Duplex): void {
    this.#forget(arrival);
    this.#handOver(stream, arrival);
  }

  #handOver(
    stream: Duplex,
    { address, tcpPort, certificate, acceptedMs }: Required<Omit<Peer, "listener">>,
  ): void {
    const peer: Peer = { listener: this.name, address, tcpPort, certificate, acceptedMs };
    try {
      this.#shared.onConnection(stream, peer);
    } catch (err) {
      this.#shared.log.error({ err, ...peer }, "connection dropped: its receiver failed");
      stream.destroy();
    }
  }

  /** One connection counts as refused once, whatever else fails while it closes. */
  #refuse(arrival: Arrival, reason: RefusalReason, err?: unknown): void {
    if (arrival.isRefused) return;
    arrival.isRefused = true;
    this.#shared.refusals.count(this.name, reason, { address: arrival.address, err });
  }

  #forget(arrival: Arrival): void {
    arrival.deadline.cancel();
    // A peer may come back from the same port before its old socket's `close` is reported.
    if (this.#arrivals.get(arrival.key) === arrival) this.#arrivals.delete(arrival.key);
  }
}

function endPointKey(socket: EndPoint): string {
  return `${socket.remoteAddress} ${socket.remotePort}`;
}
