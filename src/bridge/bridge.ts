import type { BridgeConfig } from "../config/index.ts";
import { reasonOf } from "../errors/index.ts";
import type { Log } from "../log/index.ts";
import type { Bus } from "../mqtt/index.ts";
import type { Clock } from "../time/index.ts";
import { Announcer } from "./announce.ts";
import { Delivery } from "./delivery.ts";
import { Egress } from "./egress.ts";
import { Ingress } from "./ingress.ts";
import { Link, type LinkState } from "./link.ts";
import { createMemoryOutbox, type Outbox } from "./outbox.ts";
import { createRepeatLog } from "./repeats.ts";
import { createHostResolver } from "./resolve.ts";

/** What a bridge needs from the rest of the gateway. */
export interface BridgeDeps {
  readonly log: Log;
  readonly clock: Clock;
  readonly bus: Bus;
  /** Names the device in the client id it has at the cloud where none is configured. */
  readonly deviceId: string;
  /** Keeps what waits for the cloud; without it the messages wait in memory. */
  readonly outbox?: Outbox;
  /** From the name look-up to the CONNACK, milliseconds; 30 s unless a test wants less. */
  readonly connectTimeoutMs?: number;
}

/** A bridge as the API shows it. */
export interface BridgeStatus {
  readonly name: string;
  readonly state: LinkState;
  /** In words, null while all is well. */
  readonly lastError: string | null;
  /** Wall clock, ms: since when the state holds. */
  readonly sinceMs: number;
  /** Messages, and bytes of topic and payload, that wait for the cloud. */
  readonly depthMessages: number;
  readonly depthBytes: number;
  /** Messages the cloud has taken, and messages from it published here, since the start. */
  readonly forwarded: number;
  readonly received: number;
  /**
   * Messages not delivered, by reason. Upwards: `queue_full` and `too_large` (outbox bounds),
   * `outbox_failed`, `link_down` and `link_slow` (QoS 0), `expired`, `refused`,
   * `server_packet_size`. Downwards: `duplicate`, `no_rule`, `system_topic`. Both ways:
   * `invalid_topic`, and `too_large` (downwards: over `max_packet_size_bytes`).
   */
  readonly dropped: Readonly<Record<string, number>>;
}

/** One link between the local broker and a cloud broker. */
export interface Bridge {
  start(signal?: AbortSignal): Promise<void>;
  stop(): Promise<void>;
  status(): BridgeStatus;
  /** Brings the link up or down; a bridge that is down forwards nothing and keeps what waits. */
  setEnabled(on: boolean): void;
}

const CONNECT_TIMEOUT_MS = 30_000;

/** Long enough for a large message on a slow line; a longer Keep Alive makes it longer. */
const ACK_TIMEOUT_MS = 300_000;

/** How long a stop waits for the cloud to acknowledge what was forwarded. */
const FAREWELL_MS = 2000;

/**
 * Builds the bridge called `name`. The link dials on `start`, whose promise does not wait for the
 * cloud: a cloud that is away is a normal state, seen in `status()`. Rules follow the topic rule of
 * `createMapping`; a rule that is at fault (`bridgeFaults`) keeps the original topic.
 */
export function createBridge(deps: BridgeDeps, name: string, cfg: BridgeConfig): Bridge {
  return new CloudBridge(deps, name, cfg);
}

class CloudBridge implements Bridge {
  readonly #name: string;
  readonly #log: Log;
  readonly #outbox: Outbox;
  readonly #link: Link;
  readonly #delivery: Delivery;
  readonly #egress: Egress;
  readonly #ingress: Ingress;
  readonly #announcer: Announcer;
  #isStarted = false;
  #isEnabled: boolean;

  constructor(deps: BridgeDeps, name: string, cfg: BridgeConfig) {
    const { clock, bus } = deps;
    const log = deps.log.child({ part: "bridge" });
    const repeats = createRepeatLog({ log, clock });
    const clientId = cfg.clientid ?? `tidegate-${deps.deviceId}-${name}`;
    const onRefused = (reason: string) => {
      this.#link.report(reason);
      repeats.say("warn", reason, { bridge: name, reason }, "bridge was refused something");
    };
    this.#name = name;
    this.#log = log;
    this.#isEnabled = cfg.enable;
    this.#outbox =
      deps.outbox ??
      createMemoryOutbox(
        { clock },
        { maxMessages: cfg.outbox_max_messages, maxBytes: cfg.outbox_max_bytes },
      );
    this.#delivery = new Delivery(
      { clock, outbox: this.#outbox, onRefused },
      {
        protocolVersion: cfg.proto_ver,
        maxInflight: cfg.max_inflight,
        ackTimeoutMs: Math.max(ACK_TIMEOUT_MS, 2000 * cfg.keepalive_s),
      },
    );
    this.#egress = new Egress(
      { bus, outbox: this.#outbox, delivery: this.#delivery },
      { name, rules: cfg.forwards },
    );
    this.#ingress = new Ingress(
      { clock, bus, onRefused },
      { name, protocolVersion: cfg.proto_ver, rules: cfg.subscription },
    );
    this.#announcer = new Announcer(
      { bus, clock },
      {
        clientId,
        username: cfg.username,
        protocolVersion: cfg.proto_ver,
        keepAliveS: cfg.keepalive_s,
        cleanStart: cfg.clean_start,
      },
    );
    this.#link = new Link(
      {
        log: repeats,
        clock,
        resolver: createHostResolver(),
        connectTimeoutMs: deps.connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
        events: {
          onUp: (connection) => {
            this.#delivery.attach(connection);
            this.#watch(this.#ingress.subscribe(connection));
            this.#watch(this.#announcer.announce(true));
          },
          onDown: () => {
            this.#delivery.detach();
            this.#watch(this.#announcer.announce(false));
          },
          onUnreachable: () => this.#watch(this.#announcer.announce(false)),
          onMessage: (message) => this.#ingress.deliver(message),
          onDiscard: (reason) => this.#ingress.drop(reason),
          onReceived: (packetId) => this.#delivery.received(packetId),
          onDrain: () => this.#delivery.pump(),
        },
      },
      name,
      clientId,
      cfg,
    );
  }

  async start(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (this.#isStarted) return;
    this.#isStarted = true;
    this.#apply();
  }

  async stop(): Promise<void> {
    if (!this.#isStarted) return;
    this.#isStarted = false;
    this.#egress.stop();
    await this.#delivery.idle(FAREWELL_MS);
    await this.#link.stop();
  }

  setEnabled(on: boolean): void {
    this.#isEnabled = on;
    if (this.#isStarted) this.#apply();
  }

  status(): BridgeStatus {
    const { messages, bytes, dropped } = this.#outbox.status();
    const taken = this.#egress.dropped;
    const down = this.#ingress.dropped;
    return {
      name: this.#name,
      state: this.#link.state,
      lastError: this.#link.lastError,
      sinceMs: this.#link.sinceMs,
      depthMessages: messages,
      depthBytes: bytes,
      forwarded: this.#delivery.forwarded,
      received: this.#ingress.received,
      dropped: {
        ...this.#delivery.dropped,
        ...down,
        ...taken,
        queue_full: dropped.queue_full,
        invalid_topic: taken.invalid_topic + down.invalid_topic,
        too_large: dropped.too_large + down.too_large,
      },
    };
  }

  #apply(): void {
    if (this.#isEnabled) {
      this.#egress.start();
      this.#link.start();
    } else {
      this.#egress.stop();
      this.#watch(this.#link.stop());
    }
  }

  /** What goes on beside the link must not end the process. */
  #watch(task: Promise<void>): void {
    task.catch((err: unknown) => {
      this.#log.warn(
        { bridge: this.#name, reason: reasonOf(err) },
        "bridge could not publish here",
      );
    });
  }
}
