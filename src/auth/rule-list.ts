import type { Rule } from "./acl-rule.ts";
import type { Client } from "./acl-who.ts";

/** Rules of one origin, in order; the first that fits decides. */
export interface RuleSource {
  /** How many rules there are. */
  readonly size: number;
  /** Those about anybody, in order. */
  readonly general: readonly Rule[];
  /** Those about this client and not everybody, in order. */
  personalOf(client: Client): readonly Rule[];
}

/**
 * A fixed list. Rules that name one client id or one user name are found by that name, so a list
 * with a rule for each device costs each device only its own.
 */
export class RuleList implements RuleSource {
  readonly size: number;
  readonly general: readonly Rule[];
  readonly #byClientId = new Map<string, Rule[]>();
  readonly #byUsername = new Map<string, Rule[]>();
  readonly #others: Rule[] = [];

  constructor(rules: readonly Rule[]) {
    this.size = rules.length;
    this.general = rules.filter(({ who }) => who === null);
    for (const rule of rules) {
      if (rule.who === null) continue;
      const { clientId, username } = rule.who;
      if (clientId !== null) append(this.#byClientId, clientId, rule);
      else if (username !== null) append(this.#byUsername, username, rule);
      else this.#others.push(rule);
    }
  }

  personalOf(client: Client): readonly Rule[] {
    const named = [
      ...(this.#byClientId.get(client.clientId) ?? []),
      ...((client.username === null ? null : this.#byUsername.get(client.username)) ?? []),
    ];
    const fitting = [...named, ...this.#others].filter((rule) => rule.who?.fits(client));
    return fitting.sort((left, right) => left.order - right.order);
  }
}

function append(map: Map<string, Rule[]>, name: string, rule: Rule): void {
  const list = map.get(name);
  if (list === undefined) map.set(name, [rule]);
  else list.push(rule);
}
