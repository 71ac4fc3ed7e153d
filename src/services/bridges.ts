import {
  type BridgeConfig,
  bridgeValueFaults,
  type Config,
  completeBridge,
  MASK,
  maskedBridge,
} from "../config/index.ts";
import { GatewayError } from "../errors/index.ts";
import type { ConfigStore, Configuration } from "./configuration/index.ts";

/** Messages per second: over the last 10 s, over 5 minutes, and the most. */
export interface BridgeRates {
  readonly now: number;
  readonly last5m: number;
  readonly max: number;
}

/** One rule of a bridge and what it has done. */
export interface BridgeRuleView {
  readonly name: string;
  readonly direction: "forward" | "subscription";
  readonly state: "active" | "disabled" | "cut";
  readonly matched: number;
  readonly passed: number;
  readonly failed: number;
  readonly dropped: number;
  readonly rates: BridgeRates;
}

/** How a bridge stands; see the bridge part for units. */
export interface BridgeStatusView {
  readonly state: "disabled" | "connecting" | "connected" | "waiting";
  readonly lastError: string | null;
  readonly sinceMs: number;
  readonly depthMessages: number;
  readonly depthBytes: number;
  readonly inflight: number;
  readonly forwarded: number;
  readonly received: number;
  readonly retried: number;
  readonly dropped: Readonly<Record<string, number>>;
  readonly rules: readonly BridgeRuleView[];
}

/** A bridge as the APIs show it. */
export interface BridgeView {
  readonly name: string;
  /** Secrets are masked. */
  readonly config: BridgeConfig;
  readonly status: BridgeStatusView;
  /** The same with the names the `$SYS` topic uses. */
  readonly report: Readonly<Record<string, unknown>>;
}

/** The running bridges. */
export interface BridgeDirectory {
  list(): readonly BridgeEntryView[];
  find(name: string): BridgeEntryView | null;
  setEnabled(name: string, isOn: boolean): boolean;
  restart(name: string): Promise<BridgeStatusView | null>;
  settled(name: string): Promise<void>;
  probe(name: string, cfg: BridgeConfig): Promise<string | null>;
  resetCounters(name: string): void;
  forget(name: string): Promise<boolean>;
}

interface BridgeEntryView {
  readonly name: string;
  readonly config: BridgeConfig;
  readonly status: BridgeStatusView;
  readonly report: Readonly<Record<string, unknown>>;
}

export interface BridgesServiceDeps {
  readonly directory: BridgeDirectory;
  readonly configuration: Pick<Configuration, "change">;
  readonly store: Pick<ConfigStore, "stored" | "putPem">;
}

/** A bridge by the keys of the configuration; what is left out takes its default. */
export type BridgeValues = Readonly<Record<string, unknown>>;

/**
 * The bridges as the dialects show and change them. Every change is validated as a whole, stored, and
 * running when the promise resolves; the gateway does not restart.
 */
export interface BridgesService {
  list(): readonly BridgeView[];
  /** @throws GatewayError BRIDGE_NOT_FOUND */
  get(name: string): BridgeView;
  /**
   * Makes a bridge. @throws GatewayError BRIDGE_EXISTS, CONFIG_VALUE_INVALID, CONFIG_CHECK_FAILED,
   * CONFIG_WRITE_FAILED
   */
  create(name: string, values: BridgeValues): Promise<BridgeView>;
  /**
   * Changes a bridge to what `draft` makes of its stored configuration, in which secrets are masked; a
   * mask that comes back keeps the secret.
   * @throws as create, and BRIDGE_NOT_FOUND instead of BRIDGE_EXISTS, and whatever `draft` throws
   */
  change(name: string, draft: (stored: BridgeConfig) => BridgeValues): Promise<BridgeView>;
  /**
   * Stops and forgets a bridge and all that waits in it, also of one that is not configured any more.
   * @throws GatewayError BRIDGE_NOT_FOUND
   */
  remove(name: string): Promise<void>;
  /** Connects anew; the status once the attempt has ended. @throws GatewayError BRIDGE_NOT_FOUND */
  restart(name: string): Promise<BridgeStatusView>;
  /** Ends the link until the next restart or change. */
  stop(name: string): void;
  /** Resolves when the attempt to connect under way has ended. */
  settled(name: string): Promise<void>;
  /**
   * Whether a bridge of this configuration could connect: null, or why not in words. Masks stand for
   * the secrets of the stored bridge called `name`.
   * @throws GatewayError CONFIG_VALUE_INVALID
   */
  probe(name: string, values: BridgeValues): Promise<string | null>;
  /** @throws GatewayError BRIDGE_NOT_FOUND */
  resetCounters(name: string): void;
  /** Keeps PEM text in a file and returns its path. @throws GatewayError CONFIG_CHECK_FAILED */
  keepPem(kind: "ca" | "cert" | "key", pem: string): Promise<string>;
}

export function createBridgesService(deps: BridgesServiceDeps): BridgesService {
  const { directory, configuration, store } = deps;

  function get(name: string): BridgeView {
    const entry = directory.find(name);
    if (entry === null) throw new GatewayError("BRIDGE_NOT_FOUND", { name });
    return viewOf(entry);
  }

  async function write(draft: (stored: Config) => Record<string, BridgeValues | null>) {
    await configuration.change(
      async (stored) => ({ patch: { bridges: draft(stored) }, pems: {} }),
      { force: false },
    );
  }

  const storedBridge = (stored: Config, name: string): BridgeConfig | undefined =>
    Object.hasOwn(stored.bridges, name) ? stored.bridges[name] : undefined;

  return {
    list: () => directory.list().map(viewOf),
    get,

    async create(name, values) {
      await write((stored) => {
        if (storedBridge(stored, name) !== undefined) {
          throw new GatewayError("BRIDGE_EXISTS", { name });
        }
        return { [name]: values };
      });
      return get(name);
    },

    async change(name, draft) {
      await write((stored) => {
        const before = storedBridge(stored, name);
        if (before === undefined) throw new GatewayError("BRIDGE_NOT_FOUND", { name });
        return { [name]: draft(maskedBridge(before)) };
      });
      return get(name);
    },

    async remove(name) {
      if (await directory.forget(name)) return;
      await write((stored) => {
        if (storedBridge(stored, name) === undefined) {
          throw new GatewayError("BRIDGE_NOT_FOUND", { name });
        }
        return { [name]: null };
      });
    },

    async restart(name) {
      const status = await directory.restart(name);
      if (status === null) throw new GatewayError("BRIDGE_NOT_FOUND", { name });
      return status;
    },

    stop(name) {
      directory.setEnabled(name, false);
    },

    settled: (name) => directory.settled(name),

    async probe(name, values) {
      const given = unmasked(values, storedBridge(store.stored(), name));
      const fault = bridgeValueFaults(given, `bridges.${name}`)[0];
      if (fault !== undefined) {
        const { value, expected } = fault;
        throw new GatewayError("CONFIG_VALUE_INVALID", {
          key: fault.key,
          value,
          source: "the probe",
          expected,
        });
      }
      return directory.probe(name, completeBridge(given));
    },

    resetCounters(name) {
      get(name);
      directory.resetCounters(name);
    },

    keepPem: (kind, pem) => store.putPem(kind, pem),
  };
}

function viewOf({ name, config, status, report }: BridgeEntryView): BridgeView {
  return { name, config: maskedBridge(config), status, report };
}

function unmasked(values: BridgeValues, stored: BridgeConfig | undefined): BridgeValues {
  const show = (secret: unknown, kept: string | null | undefined) =>
    secret === MASK ? (kept ?? null) : secret;
  const { tls } = values;
  return {
    ...values,
    password: show(values["password"] ?? null, stored?.password),
    ...(typeof tls === "object" &&
      tls !== null &&
      "key_password" in tls && {
        tls: { ...tls, key_password: show(tls.key_password, stored?.tls.key_password) },
      }),
  };
}
