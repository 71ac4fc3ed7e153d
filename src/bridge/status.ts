import type { LinkCertificate } from "./certificates.ts";
import type { LinkState } from "./link.ts";
import type { Rates } from "./meter.ts";
import type { RuleDirection } from "./rule-names.ts";
import type { RuleCounters } from "./tally.ts";

/** One rule of a bridge. */
export interface RuleStatus extends RuleCounters {
  readonly name: string;
  readonly direction: RuleDirection;
  /** `cut`: the loop breaker stopped it; it starts anew with the bridge. */
  readonly state: "active" | "disabled" | "cut";
}

/** A bridge as every API, the `$SYS` topic and the metrics show it. */
export interface BridgeStatus {
  readonly name: string;
  readonly state: LinkState;
  /** In words, null while all is well. */
  readonly lastError: string | null;
  /** Wall clock, ms: since when the state holds. */
  readonly sinceMs: number;
  /** `host:port` of the server in use or dialled; null without one. */
  readonly server: string | null;
  /** Dials after the first. */
  readonly reconnects: number;
  /** Messages, and bytes of topic and payload, that wait for the cloud. */
  readonly depthMessages: number;
  readonly depthBytes: number;
  /** How long the oldest of them has waited; null when none does, or it is not known. */
  readonly oldestAgeS: number | null;
  /** The fuller of the two bounds, 0 to 100. */
  readonly fillPercent: number;
  /** When the outbox is full at the rate of the last minutes; null while it does not fill. */
  readonly fullInS: number | null;
  /** Sent and not acknowledged yet; among those that wait. */
  readonly inflight: number;
  /** Messages the cloud has taken, and messages from it published here, since the start. */
  readonly forwarded: number;
  readonly received: number;
  /** Messages sent again after a connection broke. */
  readonly retried: number;
  /** Messages per second, of `forwarded` and `received`. */
  readonly outRate: Rates;
  readonly inRate: Rates;
  /**
   * Messages not delivered, by reason. Upwards: `queue_full`, `too_large` and `too_old` (outbox
   * bounds), `store_full` (QoS 0), `outbox_failed`, `link_down` and `link_slow` (QoS 0), `expired`, `refused`,
   * `server_packet_size`. Downwards: `duplicate`, `no_rule`, `system_topic`. Both ways:
   * `invalid_topic`, and `too_large` (downwards: over `max_packet_size_bytes`).
   */
  readonly dropped: Readonly<Record<string, number>>;
  readonly certificates: readonly LinkCertificate[];
  readonly rules: readonly RuleStatus[];
}
