import type { BridgeConfig } from "../config/index.ts";

export interface BridgeRates {
  readonly now: number;
  readonly last5m: number;
  readonly max: number;
}

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

/** A bridge; secrets in its configuration are masked. */
export interface BridgeView {
  readonly name: string;
  readonly config: BridgeConfig;
  readonly status: BridgeStatusView;
  /** The status as the `$SYS` topic tells it. */
  readonly report: Readonly<Record<string, unknown>>;
}

/** A bridge by the keys of the configuration; what is left out takes its default. */
export type BridgeValues = Readonly<Record<string, unknown>>;

/** Bridges; changes are stored and running once the promise resolves. Refusals are GatewayErrors. */
export interface BridgesApi {
  list(): readonly BridgeView[];
  get(name: string): BridgeView;
  create(name: string, values: BridgeValues): Promise<BridgeView>;
  change(name: string, draft: (stored: BridgeConfig) => BridgeValues): Promise<BridgeView>;
  remove(name: string): Promise<void>;
  restart(name: string): Promise<BridgeStatusView>;
  /** Ends the link until the next restart or change; a bridge that is unknown stays so. */
  stop(name: string): void;
  settled(name: string): Promise<void>;
  probe(name: string, values: BridgeValues): Promise<string | null>;
  resetCounters(name: string): void;
  keepPem(kind: "ca" | "cert" | "key", pem: string): Promise<string>;
}
