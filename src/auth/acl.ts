import type { Config } from "../config/index.ts";
import { reasonOf } from "../errors/index.ts";
import { topicFilter } from "../mqtt/index.ts";
import { type Client, checkFailed, compileWho, type Who } from "./acl-who.ts";
import { covers, FilterPattern, overlapping, type PatternValues } from "./filter-pattern.ts";

type RuleConfig = Config["acl"]["rules"][number];

/** A PUBLISH to `topic`, or a SUBSCRIBE to the filter `topic`, by a client. */
export interface AclRequest extends Client {
  readonly action: "publish" | "subscribe";
  readonly topic: string;
}

/** One element of a rule's `topics`: `@text`, or a filter. */
type RuleTopic =
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

interface Rule {
  readonly index: number;
  readonly isAllow: boolean;
  readonly isForPublish: boolean;
  readonly isForSubscribe: boolean;
  /** Null: every topic. */
  readonly topics: readonly RuleTopic[] | null;
  readonly uses: number;
  readonly who: Who | null;
}

/** What is known of a client once for all of its requests. */
interface View extends Client {
  /** The rules that name clients, users or addresses and are about this one. */
  readonly personal: readonly Rule[];
  readonly values: PatternValues;
  readonly faults: number;
  /** Recent publish decisions by topic. */
  readonly publishes: Map<string, boolean>;
}

/**
 * What may be kept in all views together: clients, personal rules and decisions, at most some 300
 * bytes each. Beyond it everything is worked out anew.
 */
const MAX_KEPT = 150_000;
/** Decisions kept for a client: devices publish to few topics, and a long one is not kept. */
const MAX_REMEMBERED = 32;
const MAX_REMEMBERED_LENGTH = 256;
/** With fewer rules than this, deciding anew is as fast as looking up. */
const MIN_RULES_TO_REMEMBER = 4;

const SHARE_PREFIX = "$share/";

/**
 * The access rules, compiled once. `createAuth` documents what they mean. Which rules are about a
 * client is worked out once per client, so a list with a rule per device costs each device only its
 * own.
 */
export class Acl {
  readonly #isAllowedByDefault: boolean;
  /** In order; `#general` are those about anybody, `#selective` the rest. */
  readonly #general: readonly Rule[];
  readonly #selective: readonly Rule[];
  /** By client id. */
  readonly #views = new Map<string, View>();
  #kept = 0;

  /** @throws GatewayError CONFIG_CHECK_FAILED */
  constructor(cfg: Pick<Config["acl"], "no_match" | "rules">) {
    this.#isAllowedByDefault = cfg.no_match === "allow";
    const rules = cfg.rules.map(compile);
    this.#general = rules.filter((rule) => rule.who === null);
    this.#selective = rules.filter((rule) => rule.who !== null);
  }

  authorize(request: AclRequest): boolean {
    const ruleCount = this.#general.length + this.#selective.length;
    if (ruleCount === 0) return this.#isAllowedByDefault;
    const view = this.#viewOf(request);
    if (request.action === "subscribe") return this.#decideSubscribe(view, request.topic);
    const { topic } = request;
    const remembered = view.publishes.get(topic);
    if (remembered !== undefined) return remembered;
    const isAllowed = this.#decide(view, "publish", (entry) => publishFits(entry, topic, view));
    if (ruleCount >= MIN_RULES_TO_REMEMBER && topic.length <= MAX_REMEMBERED_LENGTH) {
      if (view.publishes.size >= MAX_REMEMBERED) view.publishes.clear();
      view.publishes.set(topic, isAllowed);
      this.#keep(1);
    }
    return isAllowed;
  }

  #decideSubscribe(view: View, requested: string): boolean {
    const filter = withoutShare(requested);
    const levels = filter.split("/");
    return this.#decide(view, "subscribe", (entry, { isAllow }) =>
      subscribeFits(entry, isAllow, { filter, levels }, view),
    );
  }

  /** Walks the two ordered lists as one; the first rule that fits decides. */
  #decide(
    view: View,
    action: AclRequest["action"],
    fits: (entry: RuleTopic, rule: Rule) => boolean,
  ): boolean {
    const general = this.#general;
    const { personal } = view;
    let g = 0;
    let p = 0;
    for (;;) {
      const next = general[g];
      const own = personal[p];
      let rule: Rule;
      if (own !== undefined && (next === undefined || own.index < next.index)) {
        rule = own;
        p++;
      } else if (next !== undefined) {
        rule = next;
        g++;
      } else {
        return this.#isAllowedByDefault;
      }
      if (action === "publish" ? !rule.isForPublish : !rule.isForSubscribe) continue;
      if ((rule.uses & view.faults) !== 0) return false;
      if (rule.topics === null) return rule.isAllow;
      for (const entry of rule.topics) if (fits(entry, rule)) return rule.isAllow;
    }
  }

  #viewOf(client: Client): View {
    const known = this.#views.get(client.clientId);
    if (
      known !== undefined &&
      known.username === client.username &&
      known.address === client.address
    ) {
      return known;
    }
    const { clientId, username, address } = client;
    const view: View = {
      clientId,
      username,
      address,
      personal: this.#selective.filter((rule) => rule.who?.(client)),
      values: { clientid: clientId, username: username ?? "" },
      faults: faultsOf(clientId, username ?? ""),
      publishes: new Map(),
    };
    this.#keep(1 + view.personal.length);
    this.#views.set(clientId, view);
    return view;
  }

  /** Counts what is kept; it is not counted down, so clients that come and go end in a fresh start. */
  #keep(count: number): void {
    this.#kept += count;
    if (this.#kept <= MAX_KEPT) return;
    this.#views.clear();
    this.#kept = count;
  }
}

function publishFits(entry: RuleTopic, topic: string, view: View): boolean {
  if (entry.kind === "literal") return entry.text === topic;
  return hasValues(entry, view) && entry.pattern.matches(topic, view.values);
}

function subscribeFits(
  entry: RuleTopic,
  isAllow: boolean,
  requested: { readonly filter: string; readonly levels: readonly string[] },
  view: View,
): boolean {
  const fits = (levels: readonly string[]) =>
    isAllow ? covers(levels, requested.levels) : overlapping(levels, requested.levels);
  if (entry.kind === "filter") {
    return hasValues(entry, view) && fits(entry.pattern.levels(view.values));
  }
  return entry.levels === null ? entry.text === requested.filter : fits(entry.levels);
}

/** A filter made of a value that the client does not have is about nobody's topics. */
function hasValues(entry: RuleTopic & { kind: "filter" }, { values }: View): boolean {
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

function compile(rule: RuleConfig, index: number): Rule {
  const key = `acl.rules[${index}]`;
  const topics = rule.topics.map((text, at) => compileTopic(text, `${key}.topics[${at}]`));
  return {
    index,
    isAllow: rule.permit === "allow",
    isForPublish: rule.action !== "subscribe",
    isForSubscribe: rule.action !== "publish",
    topics: topics.length === 0 ? null : topics,
    uses: topics.reduce((uses, entry) => uses | usesOf(entry), 0),
    who: compileWho(rule, key),
  };
}

function compileTopic(text: string, key: string): RuleTopic {
  if (text.startsWith("@")) {
    const literal = text.slice(1);
    checkFilter(literal, literal, key);
    const levels = /[+#]/.test(literal) ? null : literal.split("/");
    return { kind: "literal", text: literal, levels };
  }
  const pattern = new FilterPattern(text);
  checkFilter(text, pattern.levels({ clientid: "x", username: "x" }).join("/"), key);
  return {
    kind: "filter",
    pattern,
    usesClientId: pattern.placeholders.has("clientid"),
    usesUsername: pattern.placeholders.has("username"),
  };
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

function usesOf(entry: RuleTopic): number {
  if (entry.kind === "literal") return 0;
  const { leading } = entry.pattern;
  return (
    (entry.usesClientId ? CLIENT_ID_INSIDE : 0) |
    (entry.usesUsername ? USERNAME_INSIDE : 0) |
    (leading === "clientid" ? CLIENT_ID_IN_FRONT : 0) |
    (leading === "username" ? USERNAME_IN_FRONT : 0)
  );
}
