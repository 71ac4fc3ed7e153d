import { BlockList, isIP, isIPv4 } from "node:net";
import type { Config } from "../config/index.ts";
import { GatewayError } from "../errors/index.ts";

type RuleConfig = Config["acl"]["rules"][number];
type WhoConfig = RuleConfig["and"][number];

/** The client that a rule may be about. */
export interface Client {
  readonly clientId: string;
  readonly username: string | null;
  readonly address: string;
}

/** Whether a rule is about this client. */
export type Who = (client: Client) => boolean;

/** What stands for anybody where a name is expected. */
const ANYBODY = "#";

/**
 * The clients a rule is about: those that fit all of its conditions. Null when it is about anybody.
 *
 * @param key where the rule stands in the configuration, for errors
 * @throws GatewayError CONFIG_CHECK_FAILED for an address that is none, an empty name, or a member of
 *   `and` or `or` without a condition: each would silently turn into nobody or everybody
 */
export function compileWho(rule: RuleConfig, key: string): Who | null {
  const conditions = [
    ...conditionsOf(rule, key),
    ...rule.and.flatMap((who, index) => memberOf(who, `${key}.and[${index}]`)),
  ];
  if (rule.or.length > 0) {
    const choices = rule.or.map((who, index) => allOf(memberOf(who, `${key}.or[${index}]`)));
    conditions.push((client) => choices.some((fits) => fits(client)));
  }
  return conditions.length === 0 ? null : allOf(conditions);
}

function allOf(conditions: readonly Who[]): Who {
  return (client) => conditions.every((fits) => fits(client));
}

function memberOf(who: WhoConfig, key: string): Who[] {
  if (who.ipaddr === null && who.username === null && who.clientid === null) {
    throw checkFailed(key, who, "it names no address, user or client");
  }
  return conditionsOf(who, key);
}

function conditionsOf({ ipaddr, username, clientid }: WhoConfig, key: string): Who[] {
  const conditions: Who[] = [];
  if (ipaddr !== null) conditions.push(fromAddress(ipaddr, `${key}.ipaddr`));
  for (const [name, value, read] of [
    ["username", username, (client: Client) => client.username],
    ["clientid", clientid, (client: Client) => client.clientId],
  ] as const) {
    if (value === "") throw checkFailed(`${key}.${name}`, value, "the name is empty");
    if (value === null || value === ANYBODY) continue;
    conditions.push((client) => read(client) === value);
  }
  return conditions;
}

function fromAddress(text: string, key: string): Who {
  const [address = "", length, ...rest] = text.split("/");
  const family = isIP(address) === 4 ? "ipv4" : "ipv6";
  const maxLength = family === "ipv4" ? 32 : 128;
  const prefixLength = length === undefined ? maxLength : Number(length);
  const isLength = length === undefined || /^\d{1,3}$/.test(length);
  if (isIP(address) === 0 || rest.length > 0 || !isLength || prefixLength > maxLength) {
    throw checkFailed(key, text, "expected an IP address or a block such as 192.0.2.0/24");
  }
  const list = new BlockList();
  list.addSubnet(address, prefixLength, family);
  return (client) => {
    // A link-local peer carries its interface: fe80::1%eth0.
    const plain = client.address.split("%", 1)[0] ?? "";
    return isIP(plain) !== 0 && list.check(plain, isIPv4(plain) ? "ipv4" : "ipv6");
  };
}

export function checkFailed(key: string, value: unknown, reason: string): GatewayError {
  return new GatewayError("CONFIG_CHECK_FAILED", { key, value, reason });
}
