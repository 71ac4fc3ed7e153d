import type { Duplex } from "node:stream";
import type { Config } from "../config/index.ts";
import { reasonOf } from "../errors/index.ts";
import type { Log } from "../log/index.ts";
import type { Peer } from "../mqtt/index.ts";
import type { Clock, Timer } from "../time/index.ts";
import { Admission } from "./admission.ts";
import { Listener, type ListenerPlan } from "./listener.ts";
import { loadPlans } from "./plans.ts";
import { type RefusalReason, Refusals } from "./refusals.ts";
import { type AlarmBell, TlsTroubles } from "./tls-troubles.ts";

export interface ListenersDeps {
  readonly log: Log;
  readonly clock: Clock;
  /**
   * Receives every connection that came through: a byte stream of MQTT, whatever it travels in. The
   * stream belongs to the receiver, which ends or destroys it.
   */
  onConnection(stream: Duplex, peer: Peer): void;
  /** Raised as `listener_tls/<name>` while a listener's TLS files cannot be used. */
  readonly alarms?: AlarmBell;
}

export interface ListenersConfig {
  readonly listeners: Config["listeners"];
  readonly extra_listeners: Config["extra_listeners"];
  readonly tls: Config["tls"];
  readonly limits: Config["limits"];
  readonly mqtt: Pick<Config["mqtt"], "connect_timeout_s" | "max_packet_size_bytes">;
}

export interface ListenerStatus {
  /** `tcp`, `tls`, `ws` or `wss`, or the type and name of another one: `tcp:factory`. */
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

/** How often a listener that is closed for its TLS files is tried again. */
const RETRY_MS = 60_000;

/** The doors of the broker: MQTT over TCP, TLS, WebSocket and secure WebSocket. */
export interface Listeners {
  /**
   * Opens every listener that is enabled, or none. Those whose TLS files cannot be used stay closed,
   * and are opened as soon as they can: a certificate must not keep the others off the LAN.
   *
   * @throws GatewayError LISTENER_BIND_FAILED, or CONFIG_CHECK_FAILED when unusable TLS files leave
   * no listener at all
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
   * Opens, changes and closes listeners until they are those of `next`. One that goes, or whose
   * address, path or client verification changes, loses its connections; other changes count for
   * new connections. When something cannot be opened, everything is as it was before. A listener that
   * is closed because of its TLS files may stay so.
   *
   * @throws GatewayError LISTENER_BIND_FAILED, CONFIG_CHECK_FAILED for unusable TLS files
   */
  apply(next: Pick<ListenersConfig, "listeners" | "extra_listeners" | "tls">): Promise<void>;
  /** Closes an open listener with its connections and opens it again. @throws as `apply` */
  restart(name: string): Promise<void>;
  /**
   * Reads the TLS files again and uses them for new connections; connections that are open keep
   * theirs. A listener whose files cannot be used stays as it is, and the others are renewed.
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
  const listeners = new Map<string, Listener>();
  let current: Pick<ListenersConfig, "listeners" | "extra_listeners" | "tls"> = cfg;
  let maxPacketSizeBytes = cfg.mqtt.max_packet_size_bytes;
  const troubles = new TlsTroubles({ log, alarms: deps.alarms });
  let isOpen = false;
  let retries: Timer | null = null;
  let turn: Promise<unknown> = Promise.resolve();

  async function open(plan: ListenerPlan): Promise<Listener> {
    const listener = new Listener(shared, plan);
    await listener.open();
    listeners.set(plan.name, listener);
    const { bind, tcpPort } = listener.place;
    log.info({ listener: plan.name, bind, port: tcpPort }, "listener open");
    return listener;
  }

  function close(listener: Listener, handedOver: "keep" | "drop"): void {
    listener.close({ handedOver });
    if (listeners.get(listener.name) === listener) listeners.delete(listener.name);
  }

  /** Opens what was closed for a change that failed; what was bound a moment ago should be free. */
  async function reopen(plans: readonly ListenerPlan[]): Promise<void> {
    for (const plan of plans) {
      try {
        await open(plan);
      } catch (err) {
        log.error({ listener: plan.name, err: reasonOf(err) }, "listener not open again");
      }
    }
  }

  async function replace(
    closing: readonly Listener[],
    plans: readonly ListenerPlan[],
  ): Promise<void> {
    for (const listener of closing) {
      close(listener, "drop");
      log.info({ listener: listener.name }, "listener closed");
    }
    const opened: Listener[] = [];
    try {
      for (const plan of plans) opened.push(await open(plan));
    } catch (err) {
      for (const listener of opened) close(listener, "drop");
      await reopen(closing.map(({ plan }) => plan));
      throw err;
    }
  }

  /** Opens what could not be opened before, and renews the TLS files of the rest. */
  async function renew(): Promise<readonly unknown[]> {
    const unusable: unknown[] = [];
    const plans = await loadPlans(current, maxPacketSizeBytes, (name, err) => {
      unusable.push(err);
      troubles.note(name, err, listeners.has(name));
    });
    for (const plan of plans) {
      if (plan.tls === null) continue;
      const listener = listeners.get(plan.name);
      if (listener === undefined) await open(plan);
      else listener.renewTls(plan.tls.material);
      troubles.over(plan.name);
    }
    return unusable;
  }

  /** What was closed for its TLS files is looked at again: somebody may have put them right. */
  function retry(): void {
    inTurn(async () => {
      if (isOpen && troubles.hasClosed(listeners)) await renew();
    }).catch((err: unknown) => log.error({ err: reasonOf(err) }, "listener not open"));
  }

  /** Changes follow each other: a port that one frees, the next may want. */
  function inTurn(task: () => Promise<void>): Promise<void> {
    const done = turn.then(task);
    turn = done.catch(() => undefined);
    return done;
  }

  return {
    async start(signal) {
      const unusable: unknown[] = [];
      const plans = await loadPlans(cfg, maxPacketSizeBytes, (name, err) => {
        unusable.push(err);
        troubles.note(name, err, false);
      });
      if (plans.length === 0 && unusable.length > 0) throw unusable[0];
      try {
        for (const plan of plans) {
          signal?.throwIfAborted();
          await open(plan);
        }
        signal?.throwIfAborted();
      } catch (err) {
        for (const listener of [...listeners.values()]) close(listener, "drop");
        throw err;
      }
      isOpen = true;
      retries = deps.clock.every(RETRY_MS, retry);
    },

    stop: () =>
      inTurn(async () => {
        isOpen = false;
        retries?.cancel();
        for (const listener of [...listeners.values()]) close(listener, "keep");
        refusals.flush();
      }),

    status: () =>
      [...listeners.values()].map(({ name, place, connections }) => ({
        name,
        ...place,
        connections,
        refused: refusals.of(name),
      })),

    apply: (next) =>
      inTurn(async () => {
        if (!isOpen) return;
        const unusable = new Map<string, unknown>();
        const plans = await loadPlans(next, maxPacketSizeBytes, (name, err) => {
          // What is closed for this very reason already is no reason against the change.
          if (listeners.has(name) || !troubles.isKnown(name, err)) throw err;
          unusable.set(name, err);
        });
        const kept = plans.filter((plan) => listeners.get(plan.name)?.isLike(plan) === true);
        const closing = [...listeners.values()].filter(
          ({ name }) => !kept.some((plan) => plan.name === name),
        );
        await replace(
          closing,
          plans.filter((plan) => !kept.includes(plan)),
        );
        for (const plan of kept) listeners.get(plan.name)?.adjust(plan);
        troubles.keepOnly(new Set(unusable.keys()));
        current = next;
      }),

    restart: (name) =>
      inTurn(async () => {
        const listener = listeners.get(name);
        if (listener !== undefined) await replace([listener], [listener.plan]);
      }),

    reloadTls: () =>
      inTurn(async () => {
        if (!isOpen) return;
        const unusable = await renew();
        log.info({}, "TLS files read again");
        if (unusable.length > 0) throw unusable[0];
      }),

    setMaxPacketSize(bytes) {
      maxPacketSizeBytes = bytes;
      for (const listener of listeners.values()) listener.setMaxPacketSize(bytes);
    },
  };
}
