import type { Config } from "../config/index.ts";
import { reasonOf } from "../errors/index.ts";
import { topicFilter } from "../mqtt/index.ts";
import { type Client, checkFailed, compileWho, type Who } from "./acl-who.ts";
import { covers, FilterPattern, overlapping, type PatternValues } from "./filter-pattern.ts";

type RuleConfig = Config["acl"]["rules"][number];

/** One element of a rule's topics: literal text, or a filter. */
export type RuleTopic =
  | {
      readonly kind: "literal";
      readonly text: string;
      /** Null for text with wildcards, which stands for nothing but itself. */
      readonly levels: readonly string[] | null;
    }
  | {
      readonly kind: "filter";
      readonly pattern: FilterPattern;
      readonly usesClientId: boolean;
      readonly usesUsername: boolean;
    };

/** Uses of a value in a rule, and faults of a client's value: where they meet, the rule denies. */
const CLIENT_ID_INSIDE = 1;
const USERNAME_INSIDE = 2;
const CLIENT_ID_IN_FRONT = 4;
const USERNAME_IN_FRONT = 8;

const SHARE_PREFIX = "$share/";

/** A bit for each kind of PUBLISH, by QoS and Retain. */
export function publishBit(qos: 0 | 1 | 2, retain: boolean): number {
  return 1 << (retain ? qos + 3 : qos);
}

/** A bit for each QoS of a subscription. */
export function subscribeBit(qos: 0 | 1 | 2): number {
  return 1 << qos;
}

export const EVERY_PUBLISH = 0b11_1111;
export const EVERY_SUBSCRIBE = 0b111;

/** A rule, ready to be asked. */
export interface Rule {
  /** Its place among the rules of its list. */
  readonly order: number;
  readonly isAllow: boolean;
  /** The kinds of PUBLISH it is about, and the QoS of subscriptions: see `publishBit`. */
  readonly publishes: number;
  readonly subscribes: number;
  /** Null: every topic. */
  readonly topics: readonly RuleTopic[] | null;
  readonly uses: number;
  /** Null: anybody. */
  readonly who: Who | null;
}

/** What is known of a client's values once for all of its requests. */
export interface Values extends Client {
  readonly values: PatternValues;
  readonly faults: number;
}

export function valuesOf({ clientId, username, address }: Client): Values {
  return {
    clientId,
    username,
    address,
    values: { clientid: clientId, username: username ?? "" },
    faults: faultsOf(clientId, username ?? ""),
  };
}

/** The filter of a SUBSCRIBE, taken apart. */
export interface Requested {
  readonly filter: string;
  readonly levels: readonly string[];
}

export function requestedFilter(text: string): Requested {
  const filter = withoutShare(text);
  return { filter, levels: filter.split("/") };
}

/**
 * What a rule makes of a topic, or of a filter to subscribe to: its decision, or null when it is
 * not about it.
 */
export function decision(
  rule: Rule,
  client: Values,
  topic: string,
  requested: Requested | null,
): boolean | null {
  if ((rule.uses & client.faults) !== 0) return false;
  if (rule.topics === null) return rule.isAllow;
  for (const entry of rule.topics) {
    const fits =
      requested === null
        ? publishFits(entry, topic, client)
        : subscribeFits(entry, rule.isAllow, requested, client);
    if (fits) return rule.isAllow;
  }
  return null;
}

/** @throws GatewayError CONFIG_CHECK_FAILED */
export function compileConfigRule(rule: RuleConfig, index: number): Rule {
  const key = `acl.rules[${index}]`;
  const topics = rule.topics.map((text, at) => {
    const place = `${key}.topics[${at}]`;
    const isLiteral = text.startsWith("@");
    return isLiteral ? literalTopic(text.slice(1), place) : filterTopic(text, place);
  });
  return {
    order: index,
    isAllow: rule.permit === "allow",
    publishes: rule.action === "subscribe" ? 0 : EVERY_PUBLISH,
    subscribes: rule.action === "publish" ? 0 : EVERY_SUBSCRIBE,
    topics: topics.length === 0 ? null : topics,
    uses: usesOf(topics),
    who: compileWho(rule, key),
  };
}

/** @throws GatewayError CONFIG_CHECK_FAILED for text that is no filter */
export function literalTopic(text: string, key: string): RuleTopic {
  checkFilter(text, text, key);
  const levels = /[+#]/.test(text) ? null : text.split("/");
  return { kind: "literal", text, levels };
}

/** @throws GatewayError CONFIG_CHECK_FAILED for text that is no filter, or an unknown placeholder */
export function filterTopic(text: string, key: string): RuleTopic {
  const pattern = new FilterPattern(text);
  checkFilter(text, pattern.levels({ clientid: "x", username: "x" }).join("/"), key);
  return {
    kind: "filter",
    pattern,
    usesClientId: pattern.placeholders.has("clientid"),
    usesUsername: pattern.placeholders.has("username"),
  };
}

/** The client's values that stand in the topics, for {@link Rule.uses}. */
export function usesOf(topics: readonly RuleTopic[]): number {
  return topics.reduce((uses, entry) => uses | usesOfOne(entry), 0);
}

function publishFits(entry: RuleTopic, topic: string, client: Values): boolean {
  if (entry.kind === "literal") return entry.text === topic;
  return hasValues(entry, client) && entry.pattern.matches(topic, client.values);
}

function subscribeFits(
  entry: RuleTopic,
  isAllow: boolean,
  requested: Requested,
  client: Values,
): boolean {
  const fits = (levels: readonly string[]) =>
    isAllow ? covers(levels, requested.levels) : overlapping(levels, requested.levels);
  if (entry.kind === "filter") {
    return hasValues(entry, client) && fits(entry.pattern.levels(client.values));
  }
  return entry.levels === null ? entry.text === requested.filter : fits(entry.levels);
}

/** A filter made of a value that the client does not have is about nobody's topics. */
function hasValues(entry: RuleTopic & { kind: "filter" }, { values }: Values): boolean {
  if (entry.usesClientId && values.clientid === "") return false;
  return !(entry.usesUsername && values.username === "");
}

function faultsOf(clientId: string, username: string): number {
  return (
    (isStructural(clientId) ? CLIENT_ID_INSIDE : 0) |
    (isStructural(username) ? USERNAME_INSIDE : 0) |
    (clientId.startsWith("$") ? CLIENT_ID_IN_FRONT : 0) |
    (username.startsWith("$") ? USERNAME_IN_FRONT : 0)
  );
}

/** Whether a value would change the structure of a filter: a client could name itself `#`. */
function isStructural(value: string): boolean {
  return /[+#/]/.test(value);
}

/** The filter of a shared subscription (MQTT 5.0 §4.8.2), any other as it is. */
function withoutShare(filter: string): string {
  if (!filter.startsWith(SHARE_PREFIX)) return filter;
  const slash = filter.indexOf("/", SHARE_PREFIX.length);
  return slash < 0 ? filter : filter.slice(slash + 1);
}

/** A rule whose filter can never match would protect nothing, without a word. */
function checkFilter(text: string, filter: string, key: string): void {
  if (filter.startsWith(SHARE_PREFIX)) {
    throw checkFailed(key, text, "shared subscriptions are decided by their filter");
  }
  if (filter.includes("${")) {
    throw checkFailed(key, text, "only ${clientid} and ${username} can be put in");
  }
  try {
    topicFilter(filter);
  } catch (err) {
    throw checkFailed(key, text, reasonOf(err));
  }
}

function usesOfOne(entry: RuleTopic): number {
  if (entry.kind === "literal") return 0;
  const { leading } = entry.pattern;
  return (
    (entry.usesClientId ? CLIENT_ID_INSIDE : 0) |
    (entry.usesUsername ? USERNAME_INSIDE : 0) |
    (leading === "clientid" ? CLIENT_ID_IN_FRONT : 0) |
    (leading === "username" ? USERNAME_IN_FRONT : 0)
  );
}
