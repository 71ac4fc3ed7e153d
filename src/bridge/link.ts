import type { BridgeConfig, ServerUrl } from "../config/index.ts";
import { type Backoff, type Clock, createBackoff, type Timer } from "../time/index.ts";
import { Candidates } from "./candidates.ts";
import { Connection, type ConnectionEnd, type InboundMessage } from "./connection.ts";
import type { DiscardedPublish } from "./guard.ts";
import type { RepeatLog } from "./repeats.ts";
import type { HostResolver } from "./resolve.ts";
import type { CertificateListener } from "./tls.ts";
import { type PreparedStream, prepareStream } from "./transport.ts";
import { addressOf, isCertificateTrouble, socketErrorInWords } from "./words.ts";

/** Disabled; dialling; up; or waiting for the next attempt. */
export type LinkState = "disabled" | "connecting" | "connected" | "waiting";

export interface LinkEvents {
  /** `server` tells one broker of the list from another. */
  onUp(connection: Connection, server: string): void;
  onDown(): void;
  /** A dial failed and the link was not up before it. */
  onUnreachable(): void;
  onMessage(message: InboundMessage): Promise<void>;
  onDiscard(reason: DiscardedPublish["reason"]): void;
  onReceived(packetId: number): void;
  /** Certificates or keys stand against the connection; in words, which name the key of a file. */
  onCertificateTrouble(reason: string): void;
  onDrain(): void;
  /** The state, or the last error, is another one. */
  onChange(): void;
}

export interface LinkDeps {
  readonly log: RepeatLog;
  readonly clock: Clock;
  readonly resolver: HostResolver;
  readonly events: LinkEvents;
  readonly onCertificate: CertificateListener;
}

/** A connection that broke sooner does not start the back-off anew. */
const STABLE_MS = 10_000;

const FAREWELL_MS = 1000;

/** Before the next server of the list: the first failures of many gateways are spread a little. */
const OTHER_SERVER_MS = 50;

const REACH_MS = 10_000;

const UNACCEPTABLE_PROTOCOL_VERSION = 1; // MQTT 3.1.1 §3.2.2.3

/** Keeps one MQTT connection to the cloud up, whatever the cloud does. */
export class Link {
  readonly #deps: LinkDeps;
  readonly #name: string;
  readonly #clientId: string;
  readonly #cfg: BridgeConfig;
  readonly #candidates: Candidates;
  readonly #backoff: Backoff;
  readonly #unreleased = new Map<number, Promise<void>>();
  #state: LinkState = "disabled";
  #sinceMs: number;
  #lastError: string | null = null;
  #connection: Connection | null = null;
  /** Dial, connect timeout, or next attempt: one of them at a time. */
  #timer: Timer | null = null;
  #stable: Timer | null = null;
  #isStable = false;
  #dialled: object = {};
  #attempt = 0;
  #reconnects = 0;
  #fingerprint = "";
  #failback: Timer | null = null;
  #onSettled: (() => void)[] = [];
  /** Whether the next dial sets it; a server that has refused it is not asked again. */
  #hasBridgeBit: boolean;
  #isBridgeBitRefused = false;

  constructor(deps: LinkDeps, name: string, clientId: string, cfg: BridgeConfig) {
    this.#deps = deps;
    this.#name = name;
    this.#clientId = clientId;
    this.#cfg = cfg;
    this.#candidates = new Candidates(cfg);
    this.#backoff = createBackoff({
      minMs: cfg.backoff_min_s * 1000,
      maxMs: cfg.backoff_max_s * 1000,
    });
    this.#sinceMs = deps.clock.nowMs();
    this.#hasBridgeBit = this.#wantsBridgeBit;
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

  /** The server of the connection, or of the dial: `host:port`; null without one. */
  get server(): string | null {
    const server = this.#candidates.current;
    return server === null ? null : addressOf(server);
  }

  /** Dials after the first one. */
  get retries(): number {
    return this.#reconnects;
  }

  /** Shows trouble that leaves the connection up. */
  report(reason: string): void {
    this.#lastError = reason;
    this.#deps.events.onChange();
  }

  /** Resolves when it is known what became of the dial under way; at once when there is none. */
  settled(): Promise<void> {
    if (this.#state !== "connecting") return Promise.resolve();
    return new Promise((resolve) => this.#onSettled.push(resolve));
  }

  /** Dials anew when the certificate files are others than those of the connection. */
  async renewCertificates(): Promise<void> {
    if (this.#state !== "connected") return;
    const dialled = this.#dialled;
    const server = this.#candidates.current;
    if (server === null) return;
    const { fingerprint } = await this.#prepare(server);
    if (dialled !== this.#dialled || fingerprint === this.#fingerprint) return;
    this.#leave("bridge connects anew with renewed certificates");
  }

  start(): void {
    if (this.#state !== "disabled") return;
    const server = this.#candidates.current;
    if (server === null) {
      this.#lastError = "no server is configured";
      return;
    }
    this.#backoff.reset();
    this.#dial(server);
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
    const timeoutS = this.#cfg.connect_timeout_s;
    this.#timer = this.#deps.clock.after(timeoutS * 1000, () => {
      const reason = `no answer from ${addressOf(server)} within ${timeoutS} s`;
      const isSilent = this.#connection?.hasHeard === false;
      this.#connection?.destroy();
      this.#onEnd(server, dialled, { reason, refusal: null, isSilent, isCertificate: false });
    });
    this.#prepare(server)
      .then((prepared) => {
        if (dialled === this.#dialled) this.#connect(server, dialled, prepared);
      })
      .catch((err: unknown) => {
        const reason = socketErrorInWords(err, server);
        const isCertificate = isCertificateTrouble(err);
        this.#onEnd(server, dialled, { reason, refusal: null, isSilent: false, isCertificate });
      });
  }

  #prepare(server: ServerUrl): Promise<PreparedStream> {
    return prepareStream(this.#deps.resolver, {
      server,
      tls: this.#cfg.tls,
      protocolVersion: this.#cfg.proto_ver,
      maxMessageBytes: this.#cfg.max_packet_size_bytes,
      onCertificate: this.#deps.onCertificate,
    });
  }

  #connect(server: ServerUrl, dialled: object, prepared: PreparedStream): void {
    const { events } = this.#deps;
    this.#fingerprint = prepared.fingerprint;
    const connection = new Connection(
      prepared.open,
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
    this.#enter("connected");
    const stableMs = Math.min(STABLE_MS, this.#cfg.backoff_max_s * 1000);
    this.#isStable = false;
    // A link that comes and goes must show why, also to those who look while it is there.
    const errorBefore = this.#lastError;
    this.#stable = this.#deps.clock.after(stableMs, () => {
      this.#isStable = true;
      this.#backoff.reset();
      this.#candidates.succeeded();
      if (this.#lastError !== errorBefore) return;
      this.#lastError = null;
      this.#deps.events.onChange();
    });
    const fields = { bridge: this.#name, server: addressOf(server), attempt: this.#attempt };
    this.#deps.log.say("info", "", fields, "bridge connected");
    this.#attempt = 0;
    this.#hasBridgeBit = this.#wantsBridgeBit && !this.#isBridgeBitRefused;
    this.#watchFirst();
    this.#deps.events.onUp(connection, addressOf(server));
  }

  get #wantsBridgeBit(): boolean {
    return this.#cfg.proto_ver !== 5 && this.#cfg.bridge_bit;
  }

  #onEnd(server: ServerUrl, dialled: object, end: ConnectionEnd): void {
    if (dialled !== this.#dialled) return;
    const wasUp = this.#state === "connected";
    this.#dialled = {};
    this.#connection = null;
    this.#cancelTimers();
    this.#lastError = end.reason;
    if (end.isCertificate) this.#deps.events.onCertificateTrouble(end.reason);
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
    // What was up for a while is dialled again first where it was, if only for the session there.
    const hasOther = !(wasUp && this.#isStable) && this.#candidates.failed();
    const delayMs = hasOther ? OTHER_SERVER_MS : Math.round(this.#backoff.nextMs());
    const next = this.#candidates.current ?? server;
    this.#reconnects += 1;
    this.#enter("waiting");
    this.#timer = this.#deps.clock.after(delayMs, () => this.#dial(next));
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
    if (!this.#wantsBridgeBit) return false;
    const isRefused = end.refusal === UNACCEPTABLE_PROTOCOL_VERSION;
    if (!isRefused && !end.isSilent) return false;
    this.#isBridgeBitRefused = isRefused && this.#hasBridgeBit;
    this.#hasBridgeBit = !this.#hasBridgeBit;
    return !this.#hasBridgeBit;
  }

  /** On a server of second choice: looks from time to time whether the first is back. */
  #watchFirst(): void {
    const { failback_s: failbackS } = this.#cfg;
    if (this.#candidates.isFirst || failbackS === 0) return;
    this.#failback = this.#deps.clock.every(failbackS * 1000, () => this.#tryFirst());
  }

  #tryFirst(): void {
    const { first } = this.#candidates;
    const dialled = this.#dialled;
    if (first === null) return;
    this.#prepare(first)
      .then((prepared) => isReachable(prepared, this.#deps.clock))
      .then((isBack) => {
        if (!isBack || dialled !== this.#dialled) return;
        this.#candidates.returnToFirst();
        this.#leave("bridge returns to its first server");
      })
      .catch(() => undefined); // Not back yet: the timer asks again.
  }

  /** Leaves the connection in order and dials again at once. */
  #leave(message: string): void {
    const connection = this.#connection;
    const server = this.#candidates.current;
    if (connection === null || server === null) return;
    this.#dialled = {};
    this.#connection = null;
    this.#cancelTimers();
    this.#reconnects += 1;
    this.#enter("connecting");
    const fields = { bridge: this.#name, server: addressOf(server) };
    this.#deps.log.say("info", "", fields, message);
    this.#deps.events.onDown();
    const left = this.#dialled;
    void this.#sayFarewell(connection).then(() => {
      connection.destroy();
      if (left === this.#dialled) this.#dial(server);
    });
  }

  #enter(state: LinkState): void {
    this.#state = state;
    this.#sinceMs = this.#deps.clock.nowMs();
    if (state !== "connecting") {
      for (const settled of this.#onSettled.splice(0)) settled();
    }
    this.#deps.events.onChange();
  }

  #cancelTimers(): void {
    this.#timer?.cancel();
    this.#timer = null;
    this.#stable?.cancel();
    this.#stable = null;
    this.#failback?.cancel();
    this.#failback = null;
  }
}

/** Whether the server takes a connection, and TLS says nothing against it. */
async function isReachable(prepared: PreparedStream, clock: Clock): Promise<boolean> {
  const stream = prepared.reach();
  const timer = clock.after(REACH_MS, () => stream.destroy());
  try {
    return await new Promise<boolean>((resolve) => {
      stream.once(prepared.isSecure ? "secureConnect" : "connect", () => resolve(true));
      stream.once("error", () => resolve(false));
      stream.once("close", () => resolve(false));
    });
  } finally {
    timer.cancel();
    stream.destroy();
  }
}
