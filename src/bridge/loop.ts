import type { BridgeConfig } from "../config/index.ts";
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
  const ups = cfg.forwards.map((rule) => ({
    name: rule.local_topic,
    from: levelsOf(plainFilter(rule.local_topic)),
    to: imageOf({ ...rule, pattern: rule.local_topic, target: rule.remote_topic }),
  }));
  const downs = cfg.subscription.map((rule) => ({
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
