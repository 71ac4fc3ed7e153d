import type { Log } from "../log/index.ts";
import {
  matches,
  parseShare,
  type Topic,
  type TopicFilter,
  topic,
  topicFilter,
} from "../mqtt/index.ts";
import { type LinearRegex, linearRegex, MAX_REGEX_INPUT } from "../regex/index.ts";

/** One rule: what `re` finds in a topic that `source_topic` matches becomes `dest_topic`. */
export interface RewriteRule {
  readonly action: "publish" | "subscribe" | "all";
  readonly source_topic: string;
  readonly re: string;
  /** `$1` … are the groups of `re`, `${clientid}` and `${username}` the client's. */
  readonly dest_topic: string;
}

/** Whose topic it is. */
export interface RewriteClient {
  readonly clientId: string;
  readonly username: string | null;
}

/**
 * Renames topics on their way in. Of the rules for the action, the last one whose `source_topic`
 * matches is the only one tried. A topic stays as it is when the rule's expression finds nothing in
 * it, when a value the target needs is missing or would add wildcards, when it is longer than 1,024
 * characters, and when what comes out is no valid topic or the gateway's own (`$SYS`).
 */
export interface Rewrite {
  /** Whether there are rules for each. */
  readonly hasPublishRules: boolean;
  readonly hasSubscribeRules: boolean;
  /** Changes with the rules. */
  readonly revision: number;
  topic(client: RewriteClient, name: Topic): Topic;
  /** Of a shared subscription what follows the group. */
  filter(client: RewriteClient, filter: TopicFilter): TopicFilter;
  /** Replaces the rules, which must be valid. */
  configure(rules: readonly RewriteRule[]): void;
}

interface Compiled {
  readonly rule: RewriteRule;
  readonly regex: LinearRegex;
}

const PLACEHOLDER = /\$(?:\{(clientid|username)\}|(\d{1,2}))/g;

export function createRewrite(deps: { readonly log: Log }, rules: readonly RewriteRule[]): Rewrite {
  const log = deps.log.child({ part: "rewrite" });
  let forPublish: readonly Compiled[] = [];
  let forSubscribe: readonly Compiled[] = [];
  // Plain members, because one of them is read for every message.
  const rewrite = {
    hasPublishRules: false,
    hasSubscribeRules: false,
    revision: 0,

    topic(client: RewriteClient, name: Topic): Topic {
      const target = rewritten(forPublish, client, name);
      return (target === null ? null : valid(topic, target)) ?? name;
    },

    filter(client: RewriteClient, filter: TopicFilter): TopicFilter {
      const share = parseShare(filter);
      const target = rewritten(forSubscribe, client, share?.filter ?? filter);
      if (target === null) return filter;
      const whole = share === null ? target : `$share/${share.group}/${target}`;
      return valid(topicFilter, whole) ?? filter;
    },

    configure(next: readonly RewriteRule[]): void {
      // The last rule that matches decides, so the search starts there.
      const compiled = next.map((rule) => ({ rule, regex: linearRegex(rule.re) })).reverse();
      forPublish = compiled.filter(({ rule }) => rule.action !== "subscribe");
      forSubscribe = compiled.filter(({ rule }) => rule.action !== "publish");
      rewrite.hasPublishRules = forPublish.length > 0;
      rewrite.hasSubscribeRules = forSubscribe.length > 0;
      rewrite.revision++;
      if (next.length > 0) log.info({ count: next.length }, "topics are rewritten");
    },
  };
  rewrite.configure(rules);
  return rewrite;
}

/** The new name as text, null when nothing changes. */
function rewritten(rules: readonly Compiled[], client: RewriteClient, name: string): string | null {
  if (name.length > MAX_REGEX_INPUT) return null;
  const found = rules.find(({ rule }) => matches(rule.source_topic, name));
  const groups = found?.regex.groups(name) ?? null;
  if (found === undefined || groups === null) return null;
  let isUsable = true;
  const target = found.rule.dest_topic.replace(
    PLACEHOLDER,
    (_, word: string | undefined, digits: string | undefined) => {
      if (digits !== undefined) return groups[Number(digits)] ?? "";
      const value = word === "clientid" ? client.clientId : client.username;
      // A client could otherwise choose a name that reads everybody's topics.
      if (value === null || /[+#/]/.test(value)) isUsable = false;
      return value ?? "";
    },
  );
  return isUsable ? target : null;
}

function valid<T extends string>(parse: (raw: string) => T, raw: string): T | null {
  if (raw === "$SYS" || raw.startsWith("$SYS/")) return null;
  try {
    return parse(raw);
  } catch {
    return null;
  }
}
