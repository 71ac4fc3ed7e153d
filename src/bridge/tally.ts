import type { Clock } from "../time/index.ts";
import { Meter, type Rates } from "./meter.ts";

/** What one rule has done since its bridge was built, or since the counters were reset. */
export interface RuleCounters {
  /** Messages the rule selected. */
  readonly matched: number;
  /** Upwards: taken by the cloud; downwards: published here. */
  readonly passed: number;
  /** Refused by the cloud, or not taken by the outbox. */
  readonly failed: number;
  /** Given up before: no valid topic, expired, cut, no link (QoS 0). */
  readonly dropped: number;
  /** Of the messages matched. */
  readonly rates: Rates;
}

/** Counts for one rule. */
export class RuleTally {
  readonly #clock: Clock;
  #matched: Meter;
  #passed = 0;
  #failed = 0;
  #dropped = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#matched = new Meter(clock);
  }

  match(): void {
    this.#matched.mark();
  }

  pass(): void {
    this.#passed += 1;
  }

  fail(): void {
    this.#failed += 1;
  }

  drop(): void {
    this.#dropped += 1;
  }

  reset(): void {
    this.#matched = new Meter(this.#clock);
    this.#passed = 0;
    this.#failed = 0;
    this.#dropped = 0;
  }

  counters(): RuleCounters {
    return {
      matched: this.#matched.total,
      passed: this.#passed,
      failed: this.#failed,
      dropped: this.#dropped,
      rates: this.#matched.rates(),
    };
  }
}

/** The tallies of a bridge's rules, by name. */
export class Tallies {
  readonly #clock: Clock;
  readonly #byName = new Map<string, RuleTally>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  of(rule: string): RuleTally {
    const known = this.#byName.get(rule);
    if (known !== undefined) return known;
    const tally = new RuleTally(this.#clock);
    this.#byName.set(rule, tally);
    return tally;
  }

  /** Of a rule that exists; what waited for a rule that is gone is nobody's. */
  find(rule: string | undefined): RuleTally | undefined {
    return rule === undefined ? undefined : this.#byName.get(rule);
  }

  reset(): void {
    for (const tally of this.#byName.values()) tally.reset();
  }
}
