import { type Topic, type TopicFilter, topic } from "../mqtt/index.ts";
import type { Access, Identity } from "./access.ts";
import type { DelayedMessages, Renamed, TopicRewrite } from "./ports.ts";

const PREFIX = "$delayed/";
const DOLLAR = 0x24;
/** Delays below this are relative, s; absolute times lie at most this far away. */
const MAX_DELAY_S = 42_949_670;

/** Where a message goes. */
export interface Way {
  /** The topic its sender named, without the prefix of a delay. */
  readonly real: Topic;
  /** The topic it is for. */
  readonly topic: Topic;
  /** How long it waits, null for not at all. */
  readonly delayMs: number | null;
}

/** The way of a client's last message, so that a topic is rewritten once. */
export interface KnownWay extends Way {
  readonly asked: Topic;
  readonly revision: number;
}

/** What topics may pass through on their way in. */
export interface DetourPorts {
  readonly rewrite: TopicRewrite | null;
  readonly delayed: DelayedMessages | null;
}

/**
 * Topics that are not routed as they come: those that rules rewrite, and
 * `$delayed/{seconds}/{topic}`, where numbers from 42,949,670 on are a moment (s since 1970). A
 * sender needs the right to the topic it named, without the prefix, and to the one that becomes.
 */
export class Detour {
  readonly delayed: DelayedMessages | null;
  readonly rewrite: TopicRewrite | null;
  readonly #maxLevels: number;

  constructor({ rewrite, delayed }: DetourPorts, maxLevels: number) {
    this.rewrite = rewrite;
    this.delayed = delayed;
    this.#maxLevels = maxLevels;
  }

  /** False for every message that is routed as it comes while there are no rules: two reads. */
  mayConcern(topicBytes: Buffer): boolean {
    return topicBytes[0] === DOLLAR || this.rewrite?.hasPublishRules === true;
  }

  /** Whether a message to `name` may take another way. */
  concerns(name: Topic): boolean {
    return (
      this.rewrite?.hasPublishRules === true ||
      (name.charCodeAt(0) === DOLLAR && this.#isDelayed(name))
    );
  }

  /**
   * The way of a message, `"bad_delay"` for a delay that is none. `known` is the answer of last
   * time, for a client that repeats itself; `nowMs` is the wall clock.
   */
  wayOf(who: Renamed, name: Topic, known: KnownWay | null, nowMs: number): KnownWay | "bad_delay" {
    const revision = this.rewrite?.revision ?? 0;
    if (known !== null && known.asked === name && known.revision === revision) {
      // A moment comes nearer.
      if (known.delayMs === null) return known;
    }
    let way: Way = { real: name, topic: name, delayMs: null };
    if (this.#isDelayed(name)) {
      const delayed = this.#delayOf(name, nowMs);
      if (delayed === null) return "bad_delay";
      way = delayed;
    }
    if (this.rewrite?.hasPublishRules === true) way = this.#renamed(who, way, nowMs);
    return { ...way, asked: name, revision };
  }

  /** The filter that `filter` becomes. */
  filter(who: Renamed, filter: TopicFilter): TopicFilter {
    return this.rewrite?.hasSubscribeRules === true ? this.rewrite.filter(who, filter) : filter;
  }

  /** Rules may make an ordinary topic a delayed one, but not a delayed one another. */
  #renamed(who: Renamed, way: Way, nowMs: number): Way {
    const to = this.rewrite?.topic(who, way.real) ?? way.real;
    if (!this.#isDelayed(to)) return this.#hasDepth(to) ? { ...way, topic: to } : way;
    const later = way.delayMs === null ? this.#delayOf(to, nowMs) : null;
    return later === null ? way : { ...later, real: way.real };
  }

  #isDelayed(name: Topic): boolean {
    return this.delayed?.isEnabled === true && name.startsWith(PREFIX);
  }

  #delayOf(name: Topic, nowMs: number): Way | null {
    const [, digits, rest] = /^\$delayed\/(\d{1,12})\/(.+)$/su.exec(name) ?? [];
    if (digits === undefined || rest === undefined || !this.#hasDepth(rest)) return null;
    const real = topic(rest);
    const seconds = Number(digits);
    if (seconds < MAX_DELAY_S) return { real, topic: real, delayMs: seconds * 1000 };
    const delayMs = seconds * 1000 - nowMs;
    if (Math.abs(delayMs) > MAX_DELAY_S * 1000) return null;
    return { real, topic: real, delayMs: Math.max(0, delayMs) };
  }

  #hasDepth(name: string): boolean {
    return name.split("/").length <= this.#maxLevels;
  }
}

/** Whether `who` may publish a message along `way`. */
export function mayGo(
  access: Access,
  who: Identity,
  { real, topic: to }: Way,
  { qos, retain }: { readonly qos: 0 | 1 | 2; readonly retain: boolean },
): boolean {
  if (!access.mayPublish(who, real, qos, retain)) return false;
  return to === real || access.mayPublish(who, to, qos, retain);
}
