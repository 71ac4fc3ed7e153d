import { type Bus, type Topic, topic } from "../mqtt/index.ts";
import type { Clock, Timer } from "../time/index.ts";
import type { BridgeStatus } from "./status.ts";

export interface SysTopicDeps {
  readonly bus: Bus;
  readonly clock: Clock;
  status(): BridgeStatus;
  /** The publish failed, in words. */
  onTrouble(err: unknown): void;
}

/** A change of state is told within this time: a link that flaps must not wear out the flash. */
const GATHER_MS = 1000;
const MIN_PERIOD_MS = 10_000;
const REPORT_MS = 60_000;

/**
 * Publishes a bridge's status as retained JSON at `$SYS/brokers/<node>/bridges/<name>`: soon after
 * the state changes, at most every 10 s, and each minute when a number differs. Members are in snake
 * case with their units; `ts` is ms.
 */
export class SysTopic {
  readonly #deps: SysTopicDeps;
  readonly #topic: Topic;
  #timer: Timer | null = null;
  #periodic: Timer | null = null;
  #toldMs = Number.NEGATIVE_INFINITY;
  #told = "";

  constructor(deps: SysTopicDeps, node: string, bridge: string) {
    this.#deps = deps;
    this.#topic = topic(`$SYS/brokers/${node}/bridges/${bridge}`);
  }

  start(): void {
    this.#periodic ??= this.#deps.clock.every(REPORT_MS, () => this.#tell());
    this.changed();
  }

  changed(): void {
    if (this.#periodic === null || this.#timer !== null) return;
    const sinceMs = this.#deps.clock.monotonicMs() - this.#toldMs;
    const delayMs = Math.max(GATHER_MS, MIN_PERIOD_MS - sinceMs);
    this.#timer = this.#deps.clock.after(Math.min(delayMs, MIN_PERIOD_MS), () => {
      this.#timer = null;
      this.#tell();
    });
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = null;
    this.#periodic?.cancel();
    this.#periodic = null;
  }

  /** Removes the retained message: the bridge is gone. */
  remove(): void {
    this.#publish("");
  }

  #tell(): void {
    const text = JSON.stringify(statusObject(this.#deps.status()));
    if (text === this.#told) return;
    this.#told = text;
    this.#toldMs = this.#deps.clock.monotonicMs();
    this.#publish(`${text.slice(0, -1)},"ts":${this.#deps.clock.nowMs()}}`);
  }

  #publish(text: string): void {
    const message = {
      topic: this.#topic,
      payload: Buffer.from(text),
      qos: 0,
      retain: true,
      origin: { kind: "system" },
    } as const;
    this.#deps.bus.publish(message).catch((err: unknown) => this.#deps.onTrouble(err));
  }
}

/** A bridge's status with the names that `$SYS` and `/api/v4` use. */
export function statusObject(status: BridgeStatus): Record<string, unknown> {
  return {
    name: status.name,
    state: status.state,
    last_error: status.lastError,
    since_ms: status.sinceMs,
    server: status.server,
    reconnects: status.reconnects,
    depth_messages: status.depthMessages,
    depth_bytes: status.depthBytes,
    oldest_age_s: status.oldestAgeS,
    fill_percent: status.fillPercent,
    full_in_s: status.fullInS,
    inflight: status.inflight,
    forwarded: status.forwarded,
    received: status.received,
    retried: status.retried,
    out_rate: status.outRate.now,
    in_rate: status.inRate.now,
    dropped: status.dropped,
    certificates: status.certificates.map(({ role, expiresMs }) => ({
      role,
      expires_at_ms: expiresMs,
    })),
    rules: status.rules.map(({ name, direction, state, matched, passed, failed, dropped }) => ({
      ...{ name, direction, state, matched, passed, failed, dropped },
    })),
  };
}
