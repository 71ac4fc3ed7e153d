import type { Log } from "../log/index.ts";
import { type Bus, type QoS, topic } from "../mqtt/index.ts";
import type { Clock, Stamper, Timer } from "../time/index.ts";
import type { Telemetry } from "./telemetry.ts";

export interface TelemetryPublisherDeps {
  readonly log: Log;
  readonly clock: Clock;
  readonly bus: Pick<Bus, "publish">;
  readonly telemetry: Pick<Telemetry, "snapshot">;
  readonly stamper: Stamper;
}

export interface TelemetryPublisherConfig {
  /** The topic level that names this gateway below `$SYS/brokers`. */
  readonly node: string;
  /** The topic level that names this device below `tidegate`. */
  readonly device: string;
  settings(): {
    /** Seconds between two messages for the cloud; 0 = none. */
    readonly publish_interval_s: number;
  };
}

/** Tells the device's metrics by MQTT. */
export interface TelemetryPublisher {
  start(signal?: AbortSignal): Promise<void>;
  stop(): Promise<void>;
}

/** As EMQX's `sys_msg_interval`. */
const SYS_EVERY_MS = 60_000;
const TICK_MS = 1000;

/**
 * Publishes every metric on `$SYS/brokers/<node>/device/<metric>` each minute, as text, QoS 0; one
 * with members as a JSON object, one without a value not at all. With `telemetry.publish_interval_s`
 * set, also all of them as one JSON object on `tidegate/<device>/telemetry`, QoS 1, for bridges to
 * forward: the members of {@link Stamp}, then the metrics under `device`. Once the clock is set after
 * readings were marked, `tidegate/<device>/clock` says `{boot_id, started_at}`, ms since 1970.
 */
export function createTelemetryPublisher(
  deps: TelemetryPublisherDeps,
  cfg: TelemetryPublisherConfig,
): TelemetryPublisher {
  const { clock, bus, telemetry, stamper } = deps;
  const log = deps.log.child({ part: "telemetry" });
  let timers: readonly Timer[] = [];
  let uploadedMs = Number.NEGATIVE_INFINITY;
  let isOriginTold = false;
  let isWaiting = false;

  function send(name: string, text: string, qos: QoS = 0): Promise<void> {
    return bus
      .publish({
        topic: topic(name),
        payload: Buffer.from(text),
        qos,
        retain: false,
        origin: { kind: "system" },
      })
      .catch((err: unknown) => log.warn({ err, topic: name }, "publish failed"));
  }

  function report(): void {
    for (const [name, value] of Object.entries(telemetry.snapshot())) {
      if (value === null) continue;
      const text = typeof value === "object" ? JSON.stringify(value) : String(value);
      void send(`$SYS/brokers/${cfg.node}/device/${name}`, text);
    }
  }

  async function upload(): Promise<void> {
    const { publish_interval_s } = cfg.settings();
    if (publish_interval_s === 0 || isWaiting) return;
    // Due by a whole tick: timers come a little early.
    if (clock.monotonicMs() - uploadedMs < publish_interval_s * 1000 - TICK_MS / 2) return;
    uploadedMs = clock.monotonicMs();
    // One at a time: a store that is full must not collect them.
    isWaiting = true;
    const message = { ...stamper.stamp(), device: telemetry.snapshot() };
    await send(`tidegate/${cfg.device}/telemetry`, JSON.stringify(message), 1);
    isWaiting = false;
  }

  function tellOrigin(): void {
    const origin = isOriginTold ? null : stamper.origin();
    if (origin === null) return;
    isOriginTold = true;
    void send(`tidegate/${cfg.device}/clock`, JSON.stringify(origin), 1);
  }

  return {
    async start(signal) {
      signal?.throwIfAborted();
      if (timers.length > 0) return;
      report();
      timers = [
        clock.every(SYS_EVERY_MS, report),
        clock.every(TICK_MS, () => {
          tellOrigin();
          void upload();
        }),
      ];
    },
    async stop() {
      for (const timer of timers) timer.cancel();
      timers = [];
    },
  };
}
