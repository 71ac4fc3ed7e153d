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

/** The clients a rule is about. */
export interface Who {
  /** The only client id, or user name, it can be about; null where it may be about others. */
  readonly clientId: string | null;
  readonly username: string | null;
  fits(client: Client): boolean;
}

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
    conditions.push(anyOf(rule.or.map((who, i) => allOf(memberOf(who, `${key}.or[${i}]`)))));
  }
  return conditions.length === 0 ? null : allOf(conditions);
}

/** Those who fit every one of the conditions. */
export function allOf(conditions: readonly Who[]): Who {
  const [only] = conditions;
  if (only !== undefined && conditions.length === 1) return only;
  return {
    clientId: conditions.find(({ clientId }) => clientId !== null)?.clientId ?? null,
    username: conditions.find(({ username }) => username !== null)?.username ?? null,
    fits: (client) => conditions.every((condition) => condition.fits(client)),
  };
}

/** Those who fit one of the conditions. */
export function anyOf(conditions: readonly Who[]): Who {
  const [only] = conditions;
  if (only !== undefined && conditions.length === 1) return only;
  return {
    clientId: null,
    username: null,
    fits: (client) => conditions.some((condition) => condition.fits(client)),
  };
}

export function withClientId(clientId: string): Who {
  return { clientId, username: null, fits: (client) => client.clientId === clientId };
}

export function withUsername(username: string): Who {
  return { clientId: null, username, fits: (client) => client.username === username };
}

/** Those whose address is `text` or in the block `text`; null when it is neither. */
export function fromAddress(text: string): Who | null {
  const [address = "", length, ...rest] = text.split("/");
  const family = isIP(address) === 4 ? "ipv4" : "ipv6";
  const maxLength = family === "ipv4" ? 32 : 128;
  const prefixLength = length === undefined ? maxLength : Number(length);
  const isLength = length === undefined || /^\d{1,3}$/.test(length);
  if (isIP(address) === 0 || rest.length > 0 || !isLength || prefixLength > maxLength) return null;
  const list = new BlockList();
  list.addSubnet(address, prefixLength, family);
  const fits = (client: Client) => {
    // A link-local peer carries its interface: fe80::1%eth0.
    const plain = client.address.split("%", 1)[0] ?? "";
    return isIP(plain) !== 0 && list.check(plain, isIPv4(plain) ? "ipv4" : "ipv6");
  };
  return { clientId: null, username: null, fits };
}

export const ADDRESS_EXPECTED = "expected an IP address or a block such as 192.0.2.0/24";

export function checkFailed(key: string, value: unknown, reason: string): GatewayError {
  return new GatewayError("CONFIG_CHECK_FAILED", { key, value, reason });
}

function memberOf(who: WhoConfig, key: string): Who[] {
  if (who.ipaddr === null && who.username === null && who.clientid === null) {
    throw checkFailed(key, who, "it names no address, user or client");
  }
  const conditions = conditionsOf(who, key);
  // "#" alone is anybody, and says so.
  return conditions.length === 0 ? [EVERYBODY] : conditions;
}

export const EVERYBODY: Who = { clientId: null, username: null, fits: () => true };

function conditionsOf({ ipaddr, username, clientid }: WhoConfig, key: string): Who[] {
  const conditions: Who[] = [];
  if (ipaddr !== null) {
    const who = fromAddress(ipaddr);
    if (who === null) throw checkFailed(`${key}.ipaddr`, ipaddr, ADDRESS_EXPECTED);
    conditions.push(who);
  }
  for (const [name, value, condition] of [
    ["username", username, withUsername],
    ["clientid", clientid, withClientId],
  ] as const) {
    if (value === "") throw checkFailed(`${key}.${name}`, value, "the name is empty");
    if (value !== null && value !== ANYBODY) conditions.push(condition(value));
  }
  return conditions;
}
