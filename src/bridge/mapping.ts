import { MAX_STRING_BYTES, parseShare, type Topic, topic, topicFilter } from "../mqtt/index.ts";

/**
 * One direction of a rule. Upwards the pattern is `local_topic` and the target `remote_topic`,
 * downwards the other way round.
 */
export interface TopicRule {
  /** The filter that selects the messages. */
  readonly pattern: string;
  /** Empty, a topic, or a piece of the pattern that holds wildcards. */
  readonly target: string;
  /** Put before and after the result as they are; no slash is added. */
  readonly prefix: string;
  readonly suffix: string;
}

/** Maps a topic that matches the pattern; null when the result is not a valid topic. */
export type TopicMapping = (name: string) => Topic | null;

/** Which levels of a real topic a wildcard target keeps. */
interface Slice {
  readonly skip: number;
  /** Null keeps everything up to the end. */
  readonly keep: number | null;
}

/**
 * What is wrong with a rule's target, or null. A target with wildcards must be a piece of the
 * pattern, since the real topic's levels are taken from that place.
 */
export function targetFault(rule: TopicRule): string | null {
  if (!hasWildcard(rule.target)) return null;
  return sliceOf(rule) === null ? `a piece of ${rule.pattern}, a topic, or nothing` : null;
}

/**
 * Prepares the topic rule (the current NanoMQ's): an empty target keeps the topic, one without
 * wildcards replaces it, one with wildcards keeps the levels it stands for in the pattern; then
 * prefix and suffix are joined on. A rule whose target is at fault keeps the original topic.
 */
export function createMapping(rule: TopicRule): TopicMapping {
  const base = baseOf(rule);
  return (name) => validTopic(rule.prefix + base(name) + rule.suffix);
}

/** The filter a pattern selects by: a shared subscription's own filter, or the pattern itself. */
export function plainFilter(pattern: string): string {
  return parseShare(topicFilter(pattern))?.filter ?? pattern;
}

/** The target as a filter, before prefix and suffix: what the mapped topics have in common. */
export function targetFilter(rule: TopicRule): string {
  return rule.target === "" || targetFault(rule) !== null ? plainFilter(rule.pattern) : rule.target;
}

function baseOf(rule: TopicRule): (name: string) => string {
  if (rule.target === "") return (name) => name;
  if (!hasWildcard(rule.target)) return () => rule.target;
  const slice = sliceOf(rule);
  if (slice === null) return (name) => name;
  const end = slice.keep === null ? undefined : slice.skip + slice.keep;
  return (name) => name.split("/").slice(slice.skip, end).join("/");
}

function sliceOf(rule: TopicRule): Slice | null {
  const pattern = plainFilter(rule.pattern);
  const at = alignedIndex(pattern, rule.target) ?? textIndex(pattern, rule.target);
  if (at === null) return null;
  const reachesEnd = at + rule.target.length === pattern.length;
  return {
    skip: countSlashes(pattern.slice(0, at)),
    keep: reachesEnd ? null : countSlashes(rule.target) + 1,
  };
}

/** Where the target stands in the pattern level by level: `a/+` is at the end of `xa/+/a/+`. */
function alignedIndex(pattern: string, target: string): number | null {
  const found = `/${pattern}/`.indexOf(`/${target}/`);
  return found < 0 ? null : found;
}

function textIndex(pattern: string, target: string): number | null {
  const found = pattern.indexOf(target);
  return found < 0 ? null : found;
}

function countSlashes(text: string): number {
  return text.split("/").length - 1;
}

function hasWildcard(text: string): boolean {
  return /[+#]/.test(text);
}

/** Null for what is no topic to publish to. */
export function validTopic(raw: string): Topic | null {
  if (raw === "" || raw.length > MAX_STRING_BYTES || hasWildcard(raw)) return null;
  try {
    return topic(raw);
  } catch {
    return null;
  }
}
