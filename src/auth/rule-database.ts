import { GatewayError, isGatewayError, reasonOf } from "../errors/index.ts";
import type { Log } from "../log/index.ts";
import {
  filterTopic,
  literalTopic,
  publishBit,
  type Rule,
  subscribeBit,
  usesOf,
} from "./acl-rule.ts";
import type { Client } from "./acl-who.ts";
import { gradually, type RecordTable } from "./record-table.ts";
import type { RuleSource } from "./rule-list.ts";

/** A rule of the built-in database. */
export interface DatabaseRule {
  /** A filter, with `${clientid}` and `${username}`; `eq x` means x literally. */
  readonly topic: string;
  readonly permission: "allow" | "deny";
  readonly action: "publish" | "subscribe" | "all";
  /** QoS it is about. */
  readonly qos: readonly (0 | 1 | 2)[];
  /** Retain flag of the messages it is about. */
  readonly retain: "all" | boolean;
}

/** Whose rules: one client's, one user's. */
export type RuleOwner = "clients" | "users";

export interface OwnedRules {
  readonly name: string;
  readonly rules: readonly DatabaseRule[];
}

/** The rules of the built-in database; changes count at once and are durable when they resolve. */
export interface RuleDatabase {
  /** Null when there are none of that name. */
  get(owner: RuleOwner, name: string): readonly DatabaseRule[] | null;
  /** In a stable order; rules are read when they are looked at. */
  list(owner: RuleOwner): Iterable<OwnedRules>;
  /** How many names have rules. */
  count(owner: RuleOwner): number;
  /** The rules about everybody. */
  all(): readonly DatabaseRule[];
  /**
   * Adds rules for names that have none yet, all of them or none.
   * @throws GatewayError ACL_RULES_EXIST, ACL_RULES_FULL, PARAMETER_INVALID for a name, a filter or
   * the number of rules, STORE_FULL, STORE_WRITE_FAILED
   */
  create(owner: RuleOwner, entries: readonly OwnedRules[]): Promise<void>;
  /** Replaces the rules of a name, or adds them. @throws GatewayError as `create` */
  put(owner: RuleOwner, entry: OwnedRules): Promise<void>;
  /** @throws GatewayError ACL_RULES_NOT_FOUND, STORE_FULL, STORE_WRITE_FAILED */
  delete(owner: RuleOwner, name: string): Promise<void>;
  /** Replaces the rules about everybody. @throws GatewayError as `create` */
  putAll(rules: readonly DatabaseRule[]): Promise<void>;
  /** Deletes every rule. @throws GatewayError STORE_FULL, STORE_WRITE_FAILED */
  clear(): Promise<void>;
}

const MAX_NAMES = 250_000;
const MAX_NAME_BYTES = 1024;
const DEFAULT_MAX_RULES = 100;
const LITERAL_PREFIX = "eq ";
const ALL_KEY = "a:";
const KEY_PREFIX = { clients: "c:", users: "u:" } as const;

interface Deps {
  readonly log: Log;
  /** Usable from `load` on. */
  table(): RecordTable;
  /** Decisions made so far may not hold any more. */
  onChange(): void;
}

/**
 * All rules in memory as text, some 100 bytes each, and in the store. They are compiled for a client
 * when it is first asked about, so rules of clients that are away cost nothing.
 */
export class StoredRules implements RuleDatabase, RuleSource {
  readonly #deps: Deps;
  readonly #texts = { clients: new Map<string, string>(), users: new Map<string, string>() };
  #all: readonly DatabaseRule[] = [];
  #general: readonly Rule[] = [];
  #maxRules = DEFAULT_MAX_RULES;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  configure(maxRules: number | null): void {
    this.#maxRules = maxRules ?? DEFAULT_MAX_RULES;
  }

  async load(): Promise<void> {
    let damaged = 0;
    for await (const records of this.#deps.table().entries()) {
      for (const [key, value] of records) if (!this.#load(key, value.toString())) damaged++;
    }
    if (damaged > 0) this.#deps.log.error({ count: damaged }, "access rules could not be read");
    this.#deps.onChange();
  }

  get size(): number {
    return this.#texts.clients.size + this.#texts.users.size + this.#general.length;
  }

  get general(): readonly Rule[] {
    return this.#general;
  }

  /** The client's own, then its user's: all of them come before those about everybody. */
  personalOf({ clientId, username }: Client): readonly Rule[] {
    const own = this.get("clients", clientId) ?? [];
    const users = username === null ? [] : (this.get("users", username) ?? []);
    return [...own, ...users].map((rule) => compileRule(rule, -1));
  }

  get(owner: RuleOwner, name: string): readonly DatabaseRule[] | null {
    const text = this.#texts[owner].get(name);
    return text === undefined ? null : parseRules(text);
  }

  *list(owner: RuleOwner): Iterable<OwnedRules> {
    for (const [name, text] of this.#texts[owner]) yield new LazyRules(name, text);
  }

  count(owner: RuleOwner): number {
    return this.#texts[owner].size;
  }

  all(): readonly DatabaseRule[] {
    return this.#all;
  }

  async create(owner: RuleOwner, entries: readonly OwnedRules[]): Promise<void> {
    const ready = new Map<string, string>();
    await gradually(entries.entries(), ([index, entry]) => {
      const { name } = entry;
      this.#check(entry, `[${index}].`);
      if (this.#texts[owner].has(name) || ready.has(name)) {
        throw new GatewayError("ACL_RULES_EXIST", { kind: owner, name });
      }
      ready.set(name, textOf(entry.rules));
    });
    if (this.#texts[owner].size + ready.size > MAX_NAMES) {
      throw new GatewayError("ACL_RULES_FULL", { max: MAX_NAMES });
    }
    await this.#write(owner, [...ready]);
  }

  async put(owner: RuleOwner, entry: OwnedRules): Promise<void> {
    this.#check(entry, "");
    if (!this.#texts[owner].has(entry.name) && this.#texts[owner].size >= MAX_NAMES) {
      throw new GatewayError("ACL_RULES_FULL", { max: MAX_NAMES });
    }
    await this.#write(owner, [[entry.name, textOf(entry.rules)]]);
  }

  async delete(owner: RuleOwner, name: string): Promise<void> {
    if (!this.#texts[owner].has(name)) {
      throw new GatewayError("ACL_RULES_NOT_FOUND", { kind: owner, name });
    }
    await this.#write(owner, [[name, null]]);
  }

  async putAll(rules: readonly DatabaseRule[]): Promise<void> {
    this.#checkRules(rules, "rules");
    const before = this.#all;
    this.#recordAll(rules);
    this.#deps.onChange();
    await this.#committed(async () => this.#recordAll(before));
  }

  async clear(): Promise<void> {
    await this.putAll([]);
    for (const owner of ["clients", "users"] as const) {
      await this.#write(
        owner,
        [...this.#texts[owner].keys()].map((name) => [name, null]),
      );
    }
  }

  /** Counts at once; taken back when it does not last. */
  async #write(
    owner: RuleOwner,
    changes: readonly (readonly [name: string, text: string | null])[],
  ): Promise<void> {
    if (changes.length === 0) return;
    const texts = this.#texts[owner];
    const before: [string, string | null][] = [];
    await gradually(changes, ([name, text]) => {
      before.push([name, texts.get(name) ?? null]);
      this.#record(owner, name, text);
    });
    this.#deps.onChange();
    await this.#committed(() =>
      gradually(before, ([name, text]) => this.#record(owner, name, text)),
    );
  }

  /** A change that does not last is taken back. */
  async #committed(takeBack: () => Promise<void>): Promise<void> {
    try {
      await this.#deps.table().committed();
    } catch (err) {
      await takeBack();
      this.#deps.onChange();
      throw err;
    }
  }

  #record(owner: RuleOwner, name: string, text: string | null): void {
    const table = this.#deps.table();
    const key = KEY_PREFIX[owner] + name;
    if (text === null) {
      this.#texts[owner].delete(name);
      table.delete(key);
    } else {
      this.#texts[owner].set(name, text);
      table.put(key, Buffer.from(text));
    }
  }

  #recordAll(rules: readonly DatabaseRule[]): void {
    const table = this.#deps.table();
    if (rules.length === 0) table.delete(ALL_KEY);
    else table.put(ALL_KEY, Buffer.from(textOf(rules)));
    this.#setAll(rules);
  }

  #setAll(rules: readonly DatabaseRule[]): void {
    this.#all = rules;
    this.#general = rules.map(compileRule);
  }

  #load(key: string, text: string): boolean {
    try {
      const rules = parseRules(text);
      rules.forEach(compileRule);
      if (key === ALL_KEY) this.#setAll(rules);
      else if (key.startsWith(KEY_PREFIX.clients)) this.#texts.clients.set(key.slice(2), text);
      else this.#texts.users.set(key.slice(2), text);
      return true;
    } catch (err) {
      this.#deps.log.debug({ err: reasonOf(err) }, "a record of access rules is damaged");
      return false;
    }
  }

  #check({ name, rules }: OwnedRules, place: string): void {
    const bytes = Buffer.byteLength(name);
    if (bytes === 0 || bytes > MAX_NAME_BYTES || !name.isWellFormed() || name.includes("\0")) {
      const expected = `text of 1 to ${MAX_NAME_BYTES} bytes without U+0000`;
      throw invalid(`${place}name`, name.slice(0, 64), expected);
    }
    this.#checkRules(rules, `${place}rules`);
  }

  #checkRules(rules: readonly DatabaseRule[], place: string): void {
    if (rules.length > this.#maxRules) {
      throw invalid(place, `${rules.length} rules`, `at most ${this.#maxRules} rules`);
    }
    for (const [index, rule] of rules.entries()) {
      try {
        compileRule(rule, index);
      } catch (err) {
        if (!isGatewayError(err, "CONFIG_CHECK_FAILED")) throw err;
        const expected = `a topic filter: ${err.details.reason}`;
        throw invalid(`${place}[${index}].topic`, rule.topic, expected);
      }
    }
  }
}

/** A row of a list, read only when it is on the page. */
class LazyRules implements OwnedRules {
  readonly name: string;
  readonly #text: string;

  constructor(name: string, text: string) {
    this.name = name;
    this.#text = text;
  }

  get rules(): readonly DatabaseRule[] {
    return parseRules(this.#text);
  }
}

/** @throws GatewayError CONFIG_CHECK_FAILED */
function compileRule(rule: DatabaseRule, order: number): Rule {
  const { topic, permission, action, qos, retain } = rule;
  const entry = topic.startsWith(LITERAL_PREFIX)
    ? literalTopic(topic.slice(LITERAL_PREFIX.length), "topic")
    : filterTopic(topic, "topic");
  let publishes = 0;
  let subscribes = 0;
  for (const one of qos) {
    if (retain !== true) publishes |= publishBit(one, false);
    if (retain !== false) publishes |= publishBit(one, true);
    subscribes |= subscribeBit(one);
  }
  return {
    order,
    isAllow: permission === "allow",
    publishes: action === "subscribe" ? 0 : publishes,
    subscribes: action === "publish" ? 0 : subscribes,
    topics: [entry],
    uses: usesOf([entry]),
    who: null,
  };
}

type Packed = readonly [
  topic: string,
  permission: DatabaseRule["permission"],
  action: DatabaseRule["action"],
  qos: DatabaseRule["qos"],
  retain: DatabaseRule["retain"],
];

function textOf(rules: readonly DatabaseRule[]): string {
  return JSON.stringify(
    rules.map((rule): Packed => [rule.topic, rule.permission, rule.action, rule.qos, rule.retain]),
  );
}

/** Only what `textOf` wrote; the store verifies its records. */
function parseRules(text: string): readonly DatabaseRule[] {
  const packed = JSON.parse(text) as readonly Packed[];
  return packed.map(([topic, permission, action, qos, retain]) => ({
    topic,
    permission,
    action,
    qos,
    retain,
  }));
}

function invalid(field: string, value: unknown, expected: string): GatewayError {
  return new GatewayError("PARAMETER_INVALID", { field, value, expected });
}
