import type { BridgeConfig } from "../config/index.ts";
import { type Bus, matches, type Origin, type QoS } from "../mqtt/index.ts";
import type { Clock } from "../time/index.ts";
import type { InboundMessage } from "./connection.ts";
import { CopyFilter } from "./copy-filter.ts";
import type { LoopBreaker } from "./loop-breaker.ts";
import { isProbe, mapProbe } from "./loop-probe.ts";
import { createMapping, plainFilter, type TopicMapping } from "./mapping.ts";
import { journeyOf } from "./marks.ts";
import type { Meter, Rates } from "./meter.ts";
import { lowerQos } from "./qos-order.ts";
import { ruleKey, ruleNames } from "./rule-names.ts";
import { type PlannedFilter, planSubscriptions } from "./subscription-plan.ts";
import type { RuleTally, Tallies } from "./tally.ts";
import { reasonCodeInWords } from "./words.ts";

/** Why a message from the cloud was not published here. */
export type IngressDropReason =
  | "duplicate"
  | "invalid_topic"
  | "loop"
  | "no_rule"
  | "system_topic"
  | "too_large";

/** As much of a connection as subscribing needs. */
export interface SubscribingConnection {
  readonly isSessionPresent: boolean;
  readonly limits: { readonly hasSubscriptionIds: boolean };
  subscribe(
    filters: readonly string[],
    options: { qos: QoS; noLocal: boolean; id: number | null },
  ): Promise<readonly number[] | null>;
  unsubscribe(filters: readonly string[]): void;
  fail(reason: string): void;
}

export interface IngressDeps {
  readonly clock: Clock;
  readonly bus: Bus;
  readonly tallies: Tallies;
  readonly breaker: LoopBreaker;
  /** Counts what was published here. */
  readonly in: Meter;
  /** A subscription the cloud refused, in words. */
  onRefused(reason: string): void;
}

export interface IngressConfig {
  readonly name: string;
  readonly protocolVersion: 3 | 4 | 5;
  readonly rules: BridgeConfig["subscription"];
  /** This gateway in the marks of messages. */
  readonly me: string;
}

interface CompiledRule {
  readonly name: string;
  readonly tally: RuleTally;
  readonly filter: string;
  readonly remoteTopic: string;
  readonly map: TopicMapping;
  readonly qos: QoS;
  readonly retain: boolean | null;
}

/** Filters in one SUBSCRIBE: servers bound them. */
const BATCH = 50;

const SUBACK_TIMEOUT_MS = 30_000;

/** Cloud → here: subscribes at the cloud and publishes on the local bus what comes. */
export class Ingress {
  readonly #deps: IngressDeps;
  readonly #cfg: IngressConfig;
  readonly #origin: Origin;
  readonly #rules: readonly CompiledRule[];
  /** Rules in use, as configured. */
  readonly #asked: BridgeConfig["subscription"];
  readonly #copies: CopyFilter;
  readonly #dropped: Record<IngressDropReason, number> = {
    duplicate: 0,
    invalid_topic: 0,
    loop: 0,
    no_rule: 0,
    system_topic: 0,
    too_large: 0,
  };
  /** What the cloud has granted, with the identifier given to it. */
  #granted: readonly { readonly filter: string; readonly id: number }[] = [];

  constructor(deps: IngressDeps, cfg: IngressConfig) {
    this.#deps = deps;
    this.#cfg = cfg;
    this.#origin = { kind: "bridge", bridge: cfg.name };
    this.#copies = new CopyFilter(deps.clock);
    const names = ruleNames(cfg.name, "subscription", cfg.rules);
    const used = cfg.rules.flatMap((rule, index) =>
      rule.enable ? [{ ...rule, name: ruleKey("subscription", names[index] ?? "") }] : [],
    );
    this.#asked = used;
    this.#rules = used.map((rule) => ({
      name: rule.name,
      tally: deps.tallies.of(rule.name),
      filter: plainFilter(rule.remote_topic),
      remoteTopic: rule.remote_topic,
      map: createMapping({ ...rule, pattern: rule.remote_topic, target: rule.local_topic }),
      qos: rule.qos,
      retain: rule.retain,
    }));
  }

  get received(): number {
    return this.#deps.in.total;
  }

  rates(): Rates {
    return this.#deps.in.rates();
  }

  get dropped(): Readonly<Record<IngressDropReason, number>> {
    return this.#dropped;
  }

  drop(reason: IngressDropReason): void {
    this.#dropped[reason] += 1;
  }

  /**
   * Subscribes to all rules, also when the session is present: its subscriptions may be those of
   * an older configuration. What a refused filter covered is then asked for by itself.
   */
  async subscribe(connection: SubscribingConnection): Promise<void> {
    const refused = new Set<string>();
    const granted = new Map<string, PlannedFilter>();
    for (;;) {
      const plan = planSubscriptions(this.#asked, refused);
      const missing = plan.filters.filter((it) => !granted.has(it.filter));
      if (missing.length === 0) {
        if (connection.isSessionPresent && plan.covered.length > 0) {
          connection.unsubscribe(plan.covered);
        }
        return;
      }
      this.#granted = plan.filters.map(({ filter }) => ({
        filter: plainFilter(filter),
        id: this.#idOf(filter),
      }));
      for (const batch of batches(missing, connection.limits.hasSubscriptionIds && this.#isV5)) {
        const codes = await this.#ask(connection, batch);
        if (codes === null) return;
        for (const [index, planned] of batch.entries()) {
          const code = codes[index] ?? 0x80;
          granted.set(planned.filter, planned);
          if (code >= 0x80) this.#refuse(planned.filter, code, refused);
        }
      }
    }
  }

  /** Publishes a message here; resolves when it is safe, or was dropped and counted. */
  async deliver(message: InboundMessage): Promise<void> {
    const rule = this.#rules.find((it) => matches(it.filter, message.topic));
    if (rule === undefined) {
      this.drop("no_rule");
      return;
    }
    if (this.#isCopy(message)) {
      this.drop("duplicate");
      return;
    }
    rule.tally.match();
    if (this.#isOurs(rule, message)) {
      this.drop("loop");
      rule.tally.drop();
      return;
    }
    const isAsking = isProbe(message.topic);
    const name = isAsking
      ? mapProbe(rule.filter, rule.map, message.topic)
      : rule.map(message.topic);
    if (name === null || name.startsWith("$")) {
      rule.tally.drop();
      this.drop(name === null ? "invalid_topic" : "system_topic");
      return;
    }
    this.#deps.in.mark();
    rule.tally.pass();
    await this.#deps.bus.publish({
      topic: name,
      payload: message.payload,
      // A wider filter may have asked for more than this rule does.
      qos: lowerQos(message.qos, rule.qos),
      retain: rule.retain ?? message.retain,
      ...(message.properties !== undefined && { properties: message.properties }),
      origin: this.#origin,
    });
  }

  /** It started here, or has been here: what comes back by a rule too often ends that rule. */
  #isOurs(rule: CompiledRule, message: InboundMessage): boolean {
    const { breaker } = this.#deps;
    if (breaker.isCut(rule.name)) return true;
    if (journeyOf(message.properties, this.#cfg.me) === "new") return false;
    breaker.returned(rule.name, message.topic);
    return true;
  }

  get #isV5(): boolean {
    return this.#cfg.protocolVersion === 5;
  }

  /** From 1; the identifier of a filter is the place of its first rule. */
  #idOf(filter: string): number {
    return this.#rules.findIndex((rule) => rule.remoteTopic === filter) + 1;
  }

  #isCopy(message: InboundMessage): boolean {
    const senders = this.#granted.filter((it) => matches(it.filter, message.topic));
    if (senders.length < 2) return false;
    const known = senders.filter((it) => message.subscriptionIds.includes(it.id));
    if (known.length > 0) return known[0] !== senders[0];
    return this.#copies.isCopy(message, senders.length);
  }

  async #ask(
    connection: SubscribingConnection,
    batch: readonly PlannedFilter[],
  ): Promise<readonly number[] | null> {
    const [first] = batch;
    if (first === undefined) return null;
    const timer = this.#deps.clock.after(SUBACK_TIMEOUT_MS, () =>
      connection.fail("the server did not answer SUBSCRIBE"),
    );
    try {
      return await connection.subscribe(
        batch.map((it) => it.filter),
        {
          qos: first.qos,
          noLocal: !first.isShared,
          id:
            this.#isV5 && connection.limits.hasSubscriptionIds && first.isOverlapping
              ? this.#idOf(first.filter)
              : null,
        },
      );
    } finally {
      timer.cancel();
    }
  }

  #refuse(filter: string, code: number, refused: Set<string>): void {
    refused.add(filter);
    this.#granted = this.#granted.filter((it) => it.id !== this.#idOf(filter));
    const reason = reasonCodeInWords(code);
    this.#deps.onRefused(`subscription to ${filter} refused by the cloud: ${reason}`);
  }
}

/** Filters that fit one SUBSCRIBE: of one QoS, no-local or not, and with the same identifier. */
function batches(
  filters: readonly PlannedFilter[],
  withIds: boolean,
): readonly (readonly PlannedFilter[])[] {
  const groups = new Map<string, PlannedFilter[][]>();
  for (const planned of filters) {
    const alone = withIds && planned.isOverlapping;
    const key = alone ? `id ${planned.filter}` : `${planned.qos} ${planned.isShared}`;
    const lists = groups.get(key) ?? [];
    const last = lists.at(-1);
    if (last === undefined || last.length >= BATCH) lists.push([planned]);
    else last.push(planned);
    groups.set(key, lists);
  }
  return [...groups.values()].flat();
}
