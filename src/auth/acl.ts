import {
  decision,
  publishBit,
  type Requested,
  type Rule,
  requestedFilter,
  subscribeBit,
  type Values,
  valuesOf,
} from "./acl-rule.ts";
import type { Client } from "./acl-who.ts";
import type { RuleSource } from "./rule-list.ts";

/** A PUBLISH to `topic`, or a SUBSCRIBE to the filter `topic`, by a client. */
export interface AclRequest extends Client {
  readonly action: "publish" | "subscribe";
  readonly topic: string;
  readonly qos: 0 | 1 | 2;
  /** Of a PUBLISH. */
  readonly retain: boolean;
  /** Its account was found to be a superuser's when it connected. */
  readonly isSuperuser: boolean;
}

/** How often rules of one origin decided, and how often none fitted. */
export interface RuleCounts {
  allow: number;
  deny: number;
  nomatch: number;
}

/** Rules of one origin, and what they did. */
export interface AclSection {
  readonly rules: RuleSource;
  readonly counts: RuleCounts;
}

/** What may be remembered of decisions. */
export interface CacheSettings {
  readonly isEnabled: boolean;
  /** Topics of one client. */
  readonly maxSize: number;
  isExcluded(topic: string): boolean;
}

export interface AclSettings {
  /** In the order in which they are asked. */
  readonly sections: readonly AclSection[];
  readonly isAllowedByDefault: boolean;
  readonly cache: CacheSettings;
}

/** A remembered decision on publishing. */
export interface RememberedDecision {
  readonly topic: string;
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
  readonly isAllowed: boolean;
  /** When the newest decision on this topic was made, wall clock, ms. */
  readonly atMs: number;
}

/** Outcomes of all checks that were not answered from a connection's own memory. */
export interface AclCounts {
  allow: number;
  deny: number;
  /** Of these, decided because no rule fitted. */
  nomatch: number;
  superuser: number;
  remembered: number;
  /** Decided by a rule. */
  matchedAllow: number;
  matchedDeny: number;
  /** Decided anew, superusers left out. */
  decided: number;
}

/** What is known of a client once for all of its requests. */
interface View extends Values {
  /** By section, the rules that name clients, users or addresses and are about this one. */
  readonly personal: readonly (readonly Rule[])[];
  /** Recent decisions by topic. */
  readonly publishes: Map<string, Decisions>;
}

/** Decisions on one topic. */
interface Decisions {
  /** Which kinds of PUBLISH are known, and of these which are allowed. */
  readonly bits: number;
  readonly atMs: number;
}

/**
 * What may be kept in all views together: clients, personal rules and decisions, at most some 300
 * bytes each. Beyond it everything is worked out anew.
 */
const MAX_KEPT = 150_000;
const MAX_REMEMBERED_LENGTH = 256;
/** With fewer rules than this, deciding anew is as fast as looking up. */
const MIN_RULES_TO_REMEMBER = 4;
/** Where the known kinds of PUBLISH stand above the allowed ones. */
const KNOWN_SHIFT = 6;

/**
 * The access rules. `createAuth` documents what they mean. Which rules are about a client is worked
 * out once per client, so a list with a rule per device costs each device only its own.
 */
export class Acl {
  #settings: AclSettings;
  readonly #nowMs: () => number;
  /** By client id. */
  readonly #views = new Map<string, View>();
  #kept = 0;
  readonly counts: AclCounts = {
    allow: 0,
    deny: 0,
    nomatch: 0,
    superuser: 0,
    remembered: 0,
    matchedAllow: 0,
    matchedDeny: 0,
    decided: 0,
  };

  /** @param nowMs the wall clock */
  constructor(settings: AclSettings, nowMs: () => number) {
    this.#settings = settings;
    this.#nowMs = nowMs;
  }

  replace(settings: AclSettings): void {
    this.#settings = settings;
    this.forget();
  }

  /** Nothing that was worked out so far counts any more. */
  forget(): void {
    this.#views.clear();
    this.#kept = 0;
  }

  forgetClient(clientId: string): void {
    this.#views.delete(clientId);
  }

  /** What is remembered of one client. */
  *remembered(clientId: string): Iterable<RememberedDecision> {
    for (const [topic, { bits, atMs }] of this.#views.get(clientId)?.publishes ?? []) {
      for (const retain of [false, true]) {
        for (const qos of [0, 1, 2] as const) {
          const bit = publishBit(qos, retain);
          if ((bits & (bit << KNOWN_SHIFT)) === 0) continue;
          yield { topic, qos, retain, isAllowed: (bits & bit) !== 0, atMs };
        }
      }
    }
  }

  authorize(request: AclRequest): boolean {
    const { counts } = this;
    let isAllowed: boolean;
    if (request.isSuperuser) {
      counts.superuser++;
      isAllowed = true;
    } else {
      isAllowed =
        request.action === "subscribe" ? this.#maySubscribe(request) : this.#mayPublish(request);
    }
    if (isAllowed) counts.allow++;
    else counts.deny++;
    return isAllowed;
  }

  #mayPublish(request: AclRequest): boolean {
    const { topic } = request;
    const bit = publishBit(request.qos, request.retain);
    const view = this.#viewOf(request);
    const known = view.publishes.get(topic)?.bits ?? 0;
    if ((known & (bit << KNOWN_SHIFT)) !== 0) {
      this.counts.remembered++;
      return (known & bit) !== 0;
    }
    const isAllowed = this.#decide(view, bit, topic, null);
    if (this.#isRemembered(topic)) {
      const { publishes } = view;
      if (known === 0) {
        if (publishes.size >= this.#settings.cache.maxSize) publishes.clear();
        this.#keep(1);
      }
      const bits = known | (bit << KNOWN_SHIFT) | (isAllowed ? bit : 0);
      publishes.set(topic, { bits, atMs: this.#nowMs() });
    }
    return isAllowed;
  }

  #maySubscribe(request: AclRequest): boolean {
    const requested = requestedFilter(request.topic);
    return this.#decide(
      this.#viewOf(request),
      subscribeBit(request.qos),
      requested.filter,
      requested,
    );
  }

  /** The first rule that fits decides, section by section. */
  #decide(view: View, bit: number, topic: string, requested: Requested | null): boolean {
    this.counts.decided++;
    const { sections, isAllowedByDefault } = this.#settings;
    for (let i = 0; i < sections.length; i++) {
      const section = sections[i];
      if (section === undefined) break;
      const { rules, counts } = section;
      if (rules.size === 0) continue;
      const answer = firstFit(rules.general, view.personal[i] ?? [], view, bit, topic, requested);
      if (answer === null) {
        counts.nomatch++;
        continue;
      }
      if (answer) {
        counts.allow++;
        this.counts.matchedAllow++;
      } else {
        counts.deny++;
        this.counts.matchedDeny++;
      }
      return answer;
    }
    this.counts.nomatch++;
    return isAllowedByDefault;
  }

  #isRemembered(topic: string): boolean {
    const { sections, cache } = this.#settings;
    if (!cache.isEnabled || topic.length > MAX_REMEMBERED_LENGTH) return false;
    let rules = 0;
    for (const section of sections) rules += section.rules.size;
    return rules >= MIN_RULES_TO_REMEMBER && !cache.isExcluded(topic);
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
    const personal = this.#settings.sections.map(({ rules }) => rules.personalOf(client));
    const view: View = { ...valuesOf(client), personal, publishes: new Map() };
    this.#keep(personal.reduce((sum, rules) => sum + rules.length, 1));
    this.#views.set(client.clientId, view);
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

/** Walks the two ordered lists as one. Null when no rule fits. */
function firstFit(
  general: readonly Rule[],
  personal: readonly Rule[],
  client: Values,
  bit: number,
  topic: string,
  requested: Requested | null,
): boolean | null {
  let g = 0;
  let p = 0;
  for (;;) {
    const next = general[g];
    const own = personal[p];
    let rule: Rule;
    if (own !== undefined && (next === undefined || own.order < next.order)) {
      rule = own;
      p++;
    } else if (next !== undefined) {
      rule = next;
      g++;
    } else {
      return null;
    }
    if (((requested === null ? rule.publishes : rule.subscribes) & bit) === 0) continue;
    const answer = decision(rule, client, topic, requested);
    if (answer !== null) return answer;
  }
}
