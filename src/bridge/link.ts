import { type BridgeConfig, parseServerUrl, type ServerUrl } from "../config/index.ts";
import { type Backoff, type Clock, createBackoff, type Timer } from "../time/index.ts";
import { Connection, type ConnectionEnd, type InboundMessage } from "./connection.ts";
import type { DiscardedPublish } from "./guard.ts";
import type { RepeatLog } from "./repeats.ts";
import type { HostResolver } from "./resolve.ts";
import { prepareStream } from "./transport.ts";
import { addressOf, socketErrorInWords } from "./words.ts";

/** Disabled; dialling; up; or waiting for the next attempt. */
export type LinkState = "disabled" | "connecting" | "connected" | "waiting";

export interface LinkEvents {
  onUp(connection: Connection): void;
  onDown(): void;
  /** A dial failed and the link was not up before it. */
  onUnreachable(): void;
  onMessage(message: InboundMessage): Promise<void>;
  onDiscard(reason: DiscardedPublish["reason"]): void;
  onReceived(packetId: number): void;
  onDrain(): void;
}

export interface LinkDeps {
  readonly log: RepeatLog;
  readonly clock: Clock;
  readonly resolver: HostResolver;
  readonly events: LinkEvents;
  /** From the name look-up to the CONNACK, milliseconds. */
  readonly connectTimeoutMs: number;
}

/** A connection that broke sooner does not start the back-off anew. */
const STABLE_MS = 10_000;

const FAREWELL_MS = 1000;

const UNACCEPTABLE_PROTOCOL_VERSION = 1; // MQTT 3.1.1 §3.2.2.3

/** Keeps one MQTT connection to the cloud up, whatever the cloud does. */
export class Link {
  readonly #deps: LinkDeps;
  readonly #name: string;
  readonly #clientId: string;
  readonly #cfg: BridgeConfig;
  readonly #server: ServerUrl | null;
  readonly #backoff: Backoff;
  readonly #unreleased = new Map<number, Promise<void>>();
  #state: LinkState = "disabled";
  #sinceMs: number;
  #lastError: string | null = null;
  #connection: Connection | null = null;
  /** Dial, connect timeout, or next attempt: one of them at a time. */
  #timer: Timer | null = null;
  #stable: Timer | null = null;
  #dialled: object = {};
  #attempt = 0;
  /** Whether the next dial sets it; a server that has refused it is not asked again. */
  #hasBridgeBit: boolean;
  #isBridgeBitRefused = false;

  constructor(deps: LinkDeps, name: string, clientId: string, cfg: BridgeConfig) {
    this.#deps = deps;
    this.#name = name;
    this.#clientId = clientId;
    this.#cfg = cfg;
    this.#server = cfg.server === null ? null : parseServerUrl(cfg.server);
    this.#backoff = createBackoff({
      minMs: cfg.backoff_min_s * 1000,
      maxMs: cfg.backoff_max_s * 1000,
    });
    this.#sinceMs = deps.clock.nowMs();
    this.#hasBridgeBit = cfg.proto_ver !== 5;
  }

  get state(): LinkState {
    return this.#state;
  }

  get lastError(): string | null {
    return this.#lastError;
  }

  /** Wall clock, ms: since when the state holds. */
  get sinceMs(): number {
    return this.#sinceMs;
  }

  /** Shows trouble that leaves the connection up. */
  report(reason: string): void {
    this.#lastError = reason;
  }

  start(): void {
    if (this.#state !== "disabled") return;
    if (this.#server === null) {
      this.#lastError = "no server is configured";
      return;
    }
    this.#backoff.reset();
    this.#dial(this.#server);
  }

  /** Ends the connection or the attempts, within `FAREWELL_MS`; safe to call twice. */
  async stop(): Promise<void> {
    const connection = this.#connection;
    const wasUp = this.#state === "connected";
    this.#dialled = {};
    this.#connection = null;
    this.#cancelTimers();
    if (this.#state !== "disabled") this.#enter("disabled");
    if (wasUp) this.#deps.events.onDown();
    if (wasUp && connection !== null) await this.#sayFarewell(connection);
    connection?.destroy();
  }

  async #sayFarewell(connection: Connection): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = this.#deps.clock.after(FAREWELL_MS, resolve);
      void connection.disconnect().then(() => {
        timer.cancel();
        resolve();
      });
    });
  }

  #dial(server: ServerUrl): void {
    const dialled = {};
    this.#dialled = dialled;
    this.#attempt += 1;
    this.#enter("connecting");
    const { connectTimeoutMs } = this.#deps;
    this.#timer = this.#deps.clock.after(connectTimeoutMs, () => {
      const reason = `no answer from ${addressOf(server)} within ${connectTimeoutMs / 1000} s`;
      const isSilent = this.#connection?.hasHeard === false;
      this.#connection?.destroy();
      this.#onEnd(server, dialled, { reason, refusal: null, isSilent });
    });
    const route = {
      server,
      tls: this.#cfg.tls,
      protocolVersion: this.#cfg.proto_ver,
      maxMessageBytes: this.#cfg.max_packet_size_bytes,
    };
    prepareStream(this.#deps.resolver, route)
      .then((openStream) => {
        if (dialled === this.#dialled) this.#connect(server, dialled, openStream);
      })
      .catch((err: unknown) => {
        const reason = socketErrorInWords(err, server);
        this.#onEnd(server, dialled, { reason, refusal: null, isSilent: false });
      });
  }

  #connect(
    server: ServerUrl,
    dialled: object,
    openStream: Awaited<ReturnType<typeof prepareStream>>,
  ): void {
    const { events } = this.#deps;
    const connection = new Connection(
      openStream,
      {
        server,
        protocolVersion: this.#cfg.proto_ver,
        hasBridgeBit: this.#hasBridgeBit,
        clientId: this.#clientId,
        username: this.#cfg.username,
        password: this.#cfg.password,
        cleanStart: this.#cfg.clean_start,
        keepAliveS: this.#cfg.keepalive_s,
        maxPacketBytes: this.#cfg.max_packet_size_bytes,
        unreleased: this.#unreleased,
      },
      {
        onConnected: () => this.#onUp(server, connection),
        onMessage: (message) => events.onMessage(message),
        onDiscard: (reason) => events.onDiscard(reason),
        onReceived: (packetId) => events.onReceived(packetId),
        onDrain: () => events.onDrain(),
        onEnd: (end) => this.#onEnd(server, dialled, end),
      },
    );
    this.#connection = connection;
    connection.open();
  }

  #onUp(server: ServerUrl, connection: Connection): void {
    this.#timer?.cancel();
    this.#timer = null;
    this.#lastError = null;
    this.#enter("connected");
    const stableMs = Math.min(STABLE_MS, this.#cfg.backoff_max_s * 1000);
    this.#stable = this.#deps.clock.after(stableMs, () => this.#backoff.reset());
    const fields = { bridge: this.#name, server: addressOf(server), attempt: this.#attempt };
    this.#deps.log.say("info", "", fields, "bridge connected");
    this.#attempt = 0;
    this.#hasBridgeBit = this.#cfg.proto_ver !== 5 && !this.#isBridgeBitRefused;
    this.#deps.events.onUp(connection);
  }

  #onEnd(server: ServerUrl, dialled: object, end: ConnectionEnd): void {
    if (dialled !== this.#dialled) return;
    const wasUp = this.#state === "connected";
    this.#dialled = {};
    this.#connection = null;
    this.#cancelTimers();
    this.#lastError = end.reason;
    if (!wasUp && this.#withoutBridgeBit(end)) {
      this.#deps.log.say(
        "info",
        "",
        { bridge: this.#name, reason: end.reason },
        "bridge connects without the bridge bit, which the server may not know",
      );
      this.#dial(server);
      return;
    }
    const delayMs = Math.round(this.#backoff.nextMs());
    this.#enter("waiting");
    this.#timer = this.#deps.clock.after(delayMs, () => this.#dial(server));
    const fields = { bridge: this.#name, reason: end.reason, attempt: this.#attempt, delayMs };
    this.#deps.log.say(
      "warn",
      end.reason,
      fields,
      wasUp ? "bridge lost its connection" : "bridge cannot connect",
    );
    if (wasUp) this.#deps.events.onDown();
    else this.#deps.events.onUnreachable();
  }

  /**
   * The top bit of the protocol level is no part of MQTT. Mosquitto, EMQX, NanoMQ, VerneMQ and
   * aedes know it; others answer CONNACK 1 or close without a word. Those get a dial without it at
   * once; when that is met with silence too, the reason is another and the next one has it again.
   */
  #withoutBridgeBit(end: ConnectionEnd): boolean {
    if (this.#cfg.proto_ver === 5) return false;
    const isRefused = end.refusal === UNACCEPTABLE_PROTOCOL_VERSION;
    if (!isRefused && !end.isSilent) return false;
    this.#isBridgeBitRefused = isRefused && this.#hasBridgeBit;
    this.#hasBridgeBit = !this.#hasBridgeBit;
    return !this.#hasBridgeBit;
  }

  #enter(state: LinkState): void {
    this.#state = state;
    this.#sinceMs = this.#deps.clock.nowMs();
  }

  #cancelTimers(): void {
    this.#timer?.cancel();
    this.#timer = null;
    this.#stable?.cancel();
    this.#stable = null;
  }
}
