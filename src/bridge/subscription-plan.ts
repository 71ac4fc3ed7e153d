import type { BridgeConfig } from "../config/index.ts";
import { parseShare, type QoS, topicFilter } from "../mqtt/index.ts";
import { plainFilter } from "./mapping.ts";
import { higherQos } from "./qos-order.ts";

/** One filter to subscribe to at the cloud. */
export interface PlannedFilter {
  readonly filter: string;
  readonly qos: QoS;
  /** Shared subscriptions take no no-local ([MQTT-3.8.3-4]). */
  readonly isShared: boolean;
  /** Another planned filter can match the same topic, so a server may send two copies. */
  readonly isOverlapping: boolean;
}

/** What to subscribe to for a list of rules. */
export interface SubscriptionPlan {
  readonly filters: readonly PlannedFilter[];
  /** Filters of rules that another planned filter serves; a kept session may still hold them. */
  readonly covered: readonly string[];
}

/** A filter in pieces, so that a thousand of them are compared in milliseconds. */
interface Candidate {
  readonly filter: string;
  /** Of the filter behind `$share/group/`. */
  readonly levels: readonly string[];
  readonly isShared: boolean;
  readonly isWild: boolean;
  readonly qos: QoS;
}

/**
 * Leaves out every filter that another one covers: the cloud then sends one copy, whatever it does
 * about overlapping subscriptions (MQTT 5.0 §3.3.4 leaves it open). The wider filter asks for the
 * highest QoS of those it serves. `refused` filters are not asked for and cover nothing.
 */
export function planSubscriptions(
  rules: readonly Pick<BridgeConfig["subscription"][number], "remote_topic" | "qos">[],
  refused: ReadonlySet<string> = new Set(),
): SubscriptionPlan {
  const candidates = candidatesOf(rules, refused);
  const wild = candidates.filter((it) => it.isWild);
  const covered = new Set(
    candidates.filter((it) => wild.some((wide) => covers(wide, it))).map((it) => it.filter),
  );
  const kept = candidates.filter((it) => !covered.has(it.filter));
  const keptWild = kept.filter((it) => it.isWild);
  const filters = kept.map((it): PlannedFilter => {
    const served = it.isWild ? candidates.filter((other) => covers(it, other)) : [];
    const rivals = it.isWild ? kept : keptWild;
    return {
      filter: it.filter,
      qos: served.reduce((high, other) => higherQos(high, other.qos), it.qos),
      isShared: it.isShared,
      isOverlapping: rivals.some((other) => other !== it && crosses(it, other)),
    };
  });
  return { filters, covered: [...covered] };
}

function candidatesOf(
  rules: readonly { readonly remote_topic: string; readonly qos: QoS }[],
  refused: ReadonlySet<string>,
): readonly Candidate[] {
  const byFilter = new Map<string, QoS>();
  for (const { remote_topic: filter, qos } of rules) {
    if (!refused.has(filter)) byFilter.set(filter, higherQos(qos, byFilter.get(filter) ?? 0));
  }
  return [...byFilter].map(([filter, qos]) => ({
    filter,
    levels: plainFilter(filter).split("/"),
    isShared: parseShare(topicFilter(filter)) !== null,
    isWild: /[+#]/.test(filter),
    qos,
  }));
}

/** Whether `wide` matches every topic that `narrow` matches; false for equal filters. */
function covers(wide: Candidate, narrow: Candidate): boolean {
  if (wide === narrow || wide.isShared || narrow.isShared) return false;
  for (let i = 0; ; i++) {
    const x = wide.levels[i];
    const y = narrow.levels[i];
    if (i === 0 && (x === "+" || x === "#") && y?.startsWith("$")) return false;
    if (x === "#") return true;
    if (x === undefined || y === undefined) return x === y;
    if (y === "#" || (x !== "+" && x !== y)) return false;
  }
}

/** Whether some topic matches both. */
function crosses(a: Candidate, b: Candidate): boolean {
  for (let i = 0; ; i++) {
    const x = a.levels[i];
    const y = b.levels[i];
    const isWild = x === "+" || x === "#" || y === "+" || y === "#";
    if (i === 0 && isWild && (x?.startsWith("$") || y?.startsWith("$"))) return false;
    if (x === "#" || y === "#") return true;
    if (x === undefined || y === undefined) return x === y;
    if (!isWild && x !== y) return false;
  }
}
