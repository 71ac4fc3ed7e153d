import type { Config } from "../config/index.ts";
import type { Clock, Timer } from "../time/index.ts";
import {
  Acl,
  type AclCounts,
  type AclRequest,
  type AclSection,
  type CacheSettings,
  type RememberedDecision,
  type RuleCounts,
} from "./acl.ts";
import { compileConfigRule } from "./acl-rule.ts";
import { compileAclText } from "./acl-text.ts";
import { FilterPattern } from "./filter-pattern.ts";
import { RateMeter, type Rates } from "./rate-meter.ts";
import type { StoredRules } from "./rule-database.ts";
import { RuleList } from "./rule-list.ts";

type AclConfig = Config["acl"];
export type SourceType = AclConfig["sources"][number]["type"];

/** What the rules of one source did since the start. */
export interface SourceStatus extends RuleCounts {
  readonly rates: Rates;
}

interface Source {
  readonly counts: RuleCounts;
  readonly meter: RateMeter;
}

/**
 * All access rules in force: the configured ones, then the sources in their order. Every change
 * counts from the next request on.
 */
export class Rules {
  readonly #clock: Clock;
  readonly #database: StoredRules;
  readonly #configured: AclSection;
  readonly #sources: Readonly<Record<SourceType, Source>>;
  #file: { readonly text: string; readonly rules: RuleList } = {
    text: "",
    rules: new RuleList([]),
  };
  readonly #acl: Acl;
  #cfg: AclConfig;
  #revision = 0;
  #expiry: Timer | null = null;
  #isRunning = false;

  /** @throws GatewayError CONFIG_CHECK_FAILED */
  constructor(deps: { readonly clock: Clock; readonly database: StoredRules }, cfg: AclConfig) {
    this.#clock = deps.clock;
    this.#database = deps.database;
    this.#configured = {
      rules: new RuleList(cfg.rules.map(compileConfigRule)),
      counts: newCounts(),
    };
    this.#sources = { file: this.#newSource(), built_in_database: this.#newSource() };
    this.#cfg = cfg;
    this.#acl = new Acl(this.#settings(cfg), () => deps.clock.nowMs());
  }

  start(): void {
    this.#isRunning = true;
    for (const { meter } of Object.values(this.#sources)) meter.start();
    this.#expireLater();
  }

  stop(): void {
    this.#isRunning = false;
    this.#expiry?.cancel();
    for (const { meter } of Object.values(this.#sources)) meter.stop();
  }

  /** @throws GatewayError CONFIG_CHECK_FAILED, and everything stays as it was */
  reconfigure(cfg: AclConfig): void {
    this.#acl.replace(this.#settings(cfg));
    this.#cfg = cfg;
    this.#revision++;
    this.#expireLater();
  }

  /** Rules or superusers have changed: nothing remembered counts any more. */
  changed(): void {
    this.#acl.forget();
    this.#revision++;
  }

  /** Negative while decisions are not to be remembered. */
  revision(): number {
    return this.#cfg.cache.enable ? this.#revision : -1;
  }

  get denyAction(): AclConfig["deny_action"] {
    return this.#cfg.deny_action;
  }

  get configuredCount(): number {
    return this.#configured.rules.size;
  }

  authorize(request: AclRequest): boolean {
    return this.#acl.authorize(request);
  }

  /** What is remembered of one client goes, at its connection too. */
  forgetClient(clientId: string): void {
    this.#acl.forgetClient(clientId);
    this.#revision++;
  }

  remembered(clientId: string): Iterable<RememberedDecision> {
    return this.#acl.remembered(clientId);
  }

  counts(): AclCounts {
    return { ...this.#acl.counts };
  }

  status(type: SourceType): SourceStatus {
    const { counts, meter } = this.#sources[type];
    return { ...counts, rates: meter.rates() };
  }

  #settings(cfg: AclConfig) {
    const sections: AclSection[] = [this.#configured];
    for (const [index, source] of cfg.sources.entries()) {
      if (source.type === "file") this.#readFile(source.rules ?? "", `acl.sources[${index}].rules`);
      else this.#database.configure(source.max_rules);
      if (!source.enable) continue;
      sections.push({
        rules: source.type === "file" ? this.#file.rules : this.#database,
        counts: this.#sources[source.type].counts,
      });
    }
    return {
      sections,
      isAllowedByDefault: cfg.no_match === "allow",
      cache: cacheSettings(cfg.cache),
    };
  }

  #readFile(text: string, key: string): void {
    if (text === this.#file.text) return;
    this.#file = { text, rules: new RuleList(compileAclText(text, key)) };
  }

  #newSource(): Source {
    const counts = newCounts();
    const total = () => counts.allow + counts.deny + counts.nomatch;
    return { counts, meter: new RateMeter(this.#clock, total) };
  }

  #expireLater(): void {
    this.#expiry?.cancel();
    if (!this.#isRunning) return;
    this.#expiry = this.#clock.after(this.#cfg.cache.ttl_s * 1000, () => {
      this.changed();
      this.#expireLater();
    });
  }
}

/**
 * Whether rules of a configuration could work as they are written.
 * @throws GatewayError CONFIG_CHECK_FAILED for an address that is none, a filter against the grammar,
 * an empty name, a line of an ACL text that is no rule
 */
export function checkRules(cfg: AclConfig): void {
  cfg.rules.forEach(compileConfigRule);
  for (const [index, { rules }] of cfg.sources.entries()) {
    if (rules !== null) compileAclText(rules, `acl.sources[${index}].rules`);
  }
}

function cacheSettings(cfg: AclConfig["cache"]): CacheSettings {
  const excluded = cfg.excludes.map((filter) => new FilterPattern(filter));
  const values = { clientid: "", username: "" };
  return {
    isEnabled: cfg.enable,
    maxSize: cfg.max_size,
    isExcluded: (topic) => excluded.some((pattern) => pattern.matches(topic, values)),
  };
}

function newCounts(): RuleCounts {
  return { allow: 0, deny: 0, nomatch: 0 };
}
