import type { BridgeConfig } from "../config/index.ts";

export type RuleDirection = "forward" | "subscription";

type Rules = readonly { readonly name: string | null }[];

/**
 * The names of a bridge's rules, in their order: its own, or the bridge's name, the direction and
 * the place, from 1, such as `cloud-forward-2`.
 */
export function ruleNames(bridge: string, direction: RuleDirection, rules: Rules): string[] {
  return rules.map((rule, index) => rule.name ?? `${bridge}-${direction}-${index + 1}`);
}

/** A rule among all of its bridge: names are unique in one direction only. */
export function ruleKey(direction: RuleDirection, name: string): string {
  return direction === "forward" ? name : `subscription:${name}`;
}

/** The names of all rules of one bridge, up and down. */
export function allRuleNames(
  bridge: string,
  cfg: Pick<BridgeConfig, "forwards" | "subscription">,
): { readonly forwards: string[]; readonly subscription: string[] } {
  return {
    forwards: ruleNames(bridge, "forward", cfg.forwards),
    subscription: ruleNames(bridge, "subscription", cfg.subscription),
  };
}
