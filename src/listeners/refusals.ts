import { reasonOf } from "../errors/index.ts";
import type { Log } from "../log/index.ts";
import type { Clock, Timer } from "../time/index.ts";

/**
 * Why a connection was not handed over: a limit, a handshake that failed or took too long, a client
 * certificate that does not verify, an HTTP request that is no MQTT WebSocket, or the operating
 * system that could not accept (no file descriptors left).
 */
export type RefusalReason =
  | "max_connections"
  | "listener_max_connections"
  | "listener_connect_rate"
  | "max_connections_per_address"
  | "max_connects_per_address"
  | "handshake_timeout"
  | "tls_handshake"
  | "client_certificate"
  | "http_request"
  | "accept_failed";

/** Shortest time between two log lines about refused connections. */
const INTERVAL_MS = 10_000;

/**
 * Counts refused connections and logs them sparingly: the first at once, what follows as one line
 * of counts per interval, so that a flood of connections is not a flood of log lines.
 */
export class Refusals {
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #totals = new Map<string, Map<RefusalReason, number>>();
  #unlogged = new Map<string, number>();
  #interval: Timer | null = null;

  constructor(log: Log, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
  }

  /** @param about the peer's address, where it is known, and what went wrong in a handshake */
  count(listener: string, reason: RefusalReason, about: { address?: string; err?: unknown }): void {
    const totals = this.#totals.get(listener) ?? new Map<RefusalReason, number>();
    this.#totals.set(listener, totals);
    totals.set(reason, (totals.get(reason) ?? 0) + 1);
    if (this.#interval === null) {
      const { address, err } = about;
      const why = err === undefined ? {} : { err: reasonOf(err) };
      this.#log.warn({ listener, reason, address, ...why }, "connection refused");
      this.#interval = this.#clock.after(INTERVAL_MS, () => this.#endInterval());
    } else {
      const key = `${listener} ${reason}`;
      this.#unlogged.set(key, (this.#unlogged.get(key) ?? 0) + 1);
    }
  }

  /** Refusals of one listener since the start, by reason; reasons that never occurred are absent. */
  of(listener: string): Readonly<Partial<Record<RefusalReason, number>>> {
    return Object.fromEntries(this.#totals.get(listener) ?? []);
  }

  /** Logs what is not logged yet and ends the timer. */
  flush(): void {
    this.#interval?.cancel();
    this.#interval = null;
    this.#report();
  }

  #endInterval(): void {
    const wasQuiet = this.#unlogged.size === 0;
    this.#report();
    this.#interval = wasQuiet ? null : this.#clock.after(INTERVAL_MS, () => this.#endInterval());
  }

  #report(): void {
    if (this.#unlogged.size === 0) return;
    this.#log.warn({ counts: Object.fromEntries(this.#unlogged) }, "connections refused");
    this.#unlogged = new Map();
  }
}
