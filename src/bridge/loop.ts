import { type BridgeConfig, parseServerUrl } from "../config/index.ts";
import { plainFilter, type TopicRule, targetFilter } from "./mapping.ts";

/** The two filters of a bridge that would send a message round without end. */
export interface BridgeLoop {
  /** `local_topic` of the forward rule. */
  readonly forward: string;
  /** `remote_topic` of the subscription rule. */
  readonly subscription: string;
}

/**
 * Looks for a forward rule and a subscription that feed each other: what the first sends up can
 * match the second's remote filter, and what the second publishes here can match the first's local
 * filter. Text joined on behind a `#` is not looked at, so a pair may be named that only almost
 * loops. The work is bounded by rules × rules × levels.
 */
export function findLoop(cfg: Pick<BridgeConfig, "forwards" | "subscription">): BridgeLoop | null {
  const ups = cfg.forwards.filter(isUsed).map((rule) => ({
    name: rule.local_topic,
    from: levelsOf(plainFilter(rule.local_topic)),
    to: imageOf({ ...rule, pattern: rule.local_topic, target: rule.remote_topic }),
  }));
  const downs = cfg.subscription.filter(isUsed).map((rule) => ({
    name: rule.remote_topic,
    from: levelsOf(plainFilter(rule.remote_topic)),
    to: imageOf({ ...rule, pattern: rule.remote_topic, target: rule.local_topic }),
  }));
  for (const up of ups) {
    const down = downs.find((it) => meet(up.to, it.from) && meet(it.to, up.from));
    if (down !== undefined) return { forward: up.name, subscription: down.name };
  }
  return null;
}

function isUsed(rule: { readonly enable: boolean }): boolean {
  return rule.enable;
}

/** Rules of several bridges that would send a message round without end. */
export interface BridgeRing {
  /** The bridges in the order a message takes, the first again at the end: `a → b → a`. */
  readonly path: readonly string[];
  /** `local_topic` of the first bridge's forward rule. */
  readonly forward: string;
}

interface RingRule {
  readonly bridge: string;
  readonly name: string;
  readonly brokers: readonly string[];
  readonly from: readonly Level[];
  readonly to: readonly Level[];
}

/** Comparisons made at most: so many take some milliseconds. */
const MAX_COMPARISONS = 200_000;

/**
 * Looks for bridges that feed each other over brokers they share: one sends up what another brings
 * down and a third, or the first, sends up again. What goes round over brokers of other names, or over
 * links that are not ours, only shows when it runs. Very large sets of rules are looked at in part.
 */
export function findRing(
  bridges: Readonly<
    Record<
      string,
      Pick<BridgeConfig, "enable" | "server" | "servers" | "forwards" | "subscription">
    >
  >,
): BridgeRing | null {
  const ups: RingRule[] = [];
  const downs: RingRule[] = [];
  for (const [bridge, cfg] of Object.entries(bridges)) {
    if (!cfg.enable) continue;
    const brokers = brokersOf(cfg);
    for (const rule of cfg.forwards) {
      if (!rule.enable) continue;
      const pattern = rule.local_topic;
      const to = imageOf({ ...rule, pattern, target: rule.remote_topic });
      ups.push({ bridge, name: pattern, brokers, from: levelsOf(plainFilter(pattern)), to });
    }
    for (const rule of cfg.subscription) {
      if (!rule.enable) continue;
      const pattern = rule.remote_topic;
      const to = imageOf({ ...rule, pattern, target: rule.local_topic });
      downs.push({ bridge, name: pattern, brokers, from: levelsOf(plainFilter(pattern)), to });
    }
  }
  let left = MAX_COMPARISONS;
  /** The forward rules that take up again what `up` has sent and some bridge has brought down. */
  const next = (up: RingRule): RingRule[] =>
    downs.flatMap((down) => {
      left -= 1;
      // The bridge itself asks for no copy of its own (no-local, bridge bit).
      if (left < 0 || down.bridge === up.bridge || !shareBroker(up, down)) return [];
      if (!meet(up.to, down.from)) return [];
      left -= ups.length;
      return ups.filter((it) => it.bridge !== down.bridge && meet(down.to, it.from));
    });
  const done = new Set<RingRule>();
  const way: RingRule[] = [];
  const walk = (up: RingRule): BridgeRing | null => {
    const at = way.indexOf(up);
    if (at >= 0) {
      const ring = way.slice(at);
      const path = [...ring, up].map(({ bridge }) => bridge);
      return { path, forward: up.name };
    }
    if (done.has(up) || left < 0) return null;
    way.push(up);
    for (const following of next(up)) {
      const ring = walk(following);
      if (ring !== null) return ring;
    }
    way.pop();
    done.add(up);
    return null;
  };
  for (const up of ups) {
    const ring = walk(up);
    if (ring !== null) return ring;
  }
  return null;
}

function brokersOf(cfg: Pick<BridgeConfig, "server" | "servers">): readonly string[] {
  return [cfg.server ?? "", ...cfg.servers].flatMap((url) => {
    const server = parseServerUrl(url);
    return server === null ? [] : [`${server.host.toLowerCase()}:${server.tcpPort}`];
  });
}

function shareBroker(a: RingRule, b: RingRule): boolean {
  return a.brokers.some((broker) => b.brokers.includes(broker));
}

/** One level of a set of topics: any number of levels, or one that starts and ends as given. */
type Level = "#" | { readonly head: string; readonly tail: string; readonly isOpen: boolean };

/** The topics a rule can produce. */
function imageOf(rule: TopicRule): readonly Level[] {
  const levels = levelsOf(targetFilter(rule));
  const behind = levels.at(-1) === "#" ? levels : withSuffix(levels, rule.suffix);
  return withPrefix(behind, rule.prefix);
}

function levelsOf(filter: string): Level[] {
  return filter.split("/").map((level): Level => {
    if (level === "#") return "#";
    const isOpen = level === "+";
    return { head: isOpen ? "" : level, tail: "", isOpen };
  });
}

function withPrefix(levels: readonly Level[], prefix: string): readonly Level[] {
  const [first, ...rest] = levels;
  if (prefix === "" || first === undefined) return levels;
  const parts = prefix.split("/");
  const joined = parts.pop() ?? "";
  const before = parts.map((head): Level => ({ head, tail: "", isOpen: false }));
  if (first !== "#") return [...before, { ...first, head: joined + first.head }, ...rest];
  return joined === ""
    ? [...before, "#"]
    : [...before, { head: joined, tail: "", isOpen: true }, "#"];
}

function withSuffix(levels: readonly Level[], suffix: string): readonly Level[] {
  const last = levels.at(-1);
  if (suffix === "" || last === undefined || last === "#") return levels;
  const parts = suffix.split("/");
  const joined = parts.shift() ?? "";
  const ended: Level = last.isOpen
    ? { ...last, tail: joined }
    : { ...last, head: last.head + joined };
  const after = parts.map((head): Level => ({ head, tail: "", isOpen: false }));
  return [...levels.slice(0, -1), ended, ...after];
}

function meet(left: readonly Level[], right: readonly Level[]): boolean {
  for (let i = 0; ; i++) {
    const a = left[i];
    const b = right[i];
    if (a === "#" || b === "#") return i > 0 || !(isSystem(a) || isSystem(b));
    if (a === undefined || b === undefined) return a === b;
    if (i === 0 && ((isSystem(a) && isWild(b)) || (isSystem(b) && isWild(a)))) return false;
    if (!meetsLevel(a, b)) return false;
  }
}

function meetsLevel(a: Exclude<Level, "#">, b: Exclude<Level, "#">): boolean {
  if (!a.isOpen && !b.isOpen) return a.head === b.head;
  if (!a.isOpen) return fits(a.head, b);
  if (!b.isOpen) return fits(b.head, a);
  const heads = a.head.startsWith(b.head) || b.head.startsWith(a.head);
  return heads && (a.tail.endsWith(b.tail) || b.tail.endsWith(a.tail));
}

function fits(level: string, open: Exclude<Level, "#">): boolean {
  return (
    level.length >= open.head.length + open.tail.length &&
    level.startsWith(open.head) &&
    level.endsWith(open.tail)
  );
}

/** A wildcard in front does not match a topic that starts with `$` ([MQTT-4.7.2-1]). */
function isSystem(level: Level | undefined): boolean {
  return typeof level === "object" && level.head.startsWith("$");
}

function isWild(level: Level): boolean {
  return level === "#" || (level.isOpen && level.head === "");
}
