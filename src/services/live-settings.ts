import { type Config, type Fault, SCHEMA } from "../config/index.ts";
import { GatewayError } from "../errors/index.ts";

/** Settings that can change without a restart; they last until the process ends. */
export interface LiveSettings {
  readonly allowAnonymous: boolean;
  /** Messages queued for one session. */
  readonly msqLen: number;
  readonly maxPacketSizeBytes: number;
  readonly clientMaxPacketSizeBytes: number;
  /** Per mille of the Keep Alive after which a client is gone. */
  readonly keepaliveMultiplier: number;
  readonly propertySize: number;
  readonly qosDurationS: number;
  /** Whether the bridge named `default` keeps its link up. */
  readonly isBridgeOn: boolean;
}

export interface LiveSettingsDeps {
  readonly broker: {
    reconfigure(live: {
      msqLen?: number;
      maxPacketSizeBytes?: number;
      clientMaxPacketSizeBytes?: number;
      keepaliveMultiplier?: number;
    }): void;
  };
  readonly auth: { setAllowAnonymous(value: boolean): void };
  readonly listeners: { setMaxPacketSize(bytes: number): void };
  readonly bridges: {
    /** Switches a bridge; false when there is none of that name. */
    setEnabled(name: string, isOn: boolean): boolean;
  };
}

/** Reads and changes what needs no restart; nothing of it is stored. */
export interface LiveSettingsService {
  view(): LiveSettings;
  /**
   * Applies the given settings, all or none.
   * @throws GatewayError PARAMETER_INVALID naming the member of {@link LiveSettings}, also for
   * `isBridgeOn: true` without a bridge named `default`
   */
  apply(change: Partial<LiveSettings>): void;
}

const FORMATS = {
  allowAnonymous: SCHEMA.auth.allow_anonymous.format,
  msqLen: SCHEMA.msq_len.format,
  maxPacketSizeBytes: SCHEMA.mqtt.max_packet_size_bytes.format,
  clientMaxPacketSizeBytes: SCHEMA.mqtt.client_max_packet_size_bytes.format,
  keepaliveMultiplier: SCHEMA.mqtt.keepalive_multiplier.format,
  propertySize: SCHEMA.nanomq.property_size.format,
  qosDurationS: SCHEMA.nanomq.qos_duration.format,
} as const satisfies Partial<
  Record<keyof LiveSettings, { faults(value: unknown, key: string): Fault[] }>
>;

/** The settings start with the values of the running configuration. */
export function createLiveSettings(deps: LiveSettingsDeps, running: Config): LiveSettingsService {
  let current: LiveSettings = {
    allowAnonymous: running.auth.allow_anonymous,
    msqLen: running.msq_len,
    maxPacketSizeBytes: running.mqtt.max_packet_size_bytes,
    clientMaxPacketSizeBytes: running.mqtt.client_max_packet_size_bytes,
    keepaliveMultiplier: running.mqtt.keepalive_multiplier,
    propertySize: running.nanomq.property_size,
    qosDurationS: running.nanomq.qos_duration,
    isBridgeOn: running.bridges["default"]?.enable ?? false,
  };
  return {
    view: () => current,
    apply(change) {
      for (const [field, format] of Object.entries(FORMATS)) {
        const value = change[field as keyof typeof FORMATS];
        const fault = value === undefined ? undefined : format.faults(value, field)[0];
        if (fault !== undefined) {
          throw new GatewayError("PARAMETER_INVALID", { field, value, expected: fault.expected });
        }
      }
      const isBridgeOn = change.isBridgeOn ?? current.isBridgeOn;
      if (isBridgeOn !== current.isBridgeOn && !deps.bridges.setEnabled("default", isBridgeOn)) {
        throw new GatewayError("PARAMETER_INVALID", {
          field: "isBridgeOn",
          value: isBridgeOn,
          expected: 'false while there is no bridge named "default"',
        });
      }
      const next = { ...current, ...change };
      if (next.allowAnonymous !== current.allowAnonymous) {
        deps.auth.setAllowAnonymous(next.allowAnonymous);
      }
      const { msqLen, maxPacketSizeBytes, clientMaxPacketSizeBytes, keepaliveMultiplier } = next;
      deps.broker.reconfigure({
        msqLen,
        maxPacketSizeBytes,
        clientMaxPacketSizeBytes,
        keepaliveMultiplier,
      });
      if (maxPacketSizeBytes !== current.maxPacketSizeBytes) {
        deps.listeners.setMaxPacketSize(maxPacketSizeBytes);
      }
      current = next;
    },
  };
}
