import { isGatewayError, reasonOf } from "../errors/index.ts";
import { type LinearRegex, linearRegex } from "../regex/index.ts";
import {
  EVERY_PUBLISH,
  EVERY_SUBSCRIBE,
  filterTopic,
  literalTopic,
  publishBit,
  type Rule,
  type RuleTopic,
  subscribeBit,
  usesOf,
} from "./acl-rule.ts";
import {
  ADDRESS_EXPECTED,
  allOf,
  anyOf,
  type Client,
  checkFailed,
  EVERYBODY,
  fromAddress,
  type Who,
  withClientId,
  withUsername,
} from "./acl-who.ts";
import { readTerms, type Term, TextFault } from "./erlang-terms.ts";

/** Every expression is tried on every client that connects, so there are few, and they are short. */
const MAX_EXPRESSIONS = 100;
const MAX_EXPRESSION_LENGTH = 256;
/** A longer name is not tried: it fits what denies and does not fit what allows. */
const MAX_MATCHED_LENGTH = 256;
const MAX_SHOWN = 120;

const LITERAL_PREFIX = "eq ";
const QOS = [0, 1, 2] as const;

/**
 * Reads EMQX's ACL text (`acl.conf`): `{allow|deny, who, action, [topics]}.` or `{allow|deny, all}.`
 *
 * - who: `all`, `{username|user, "x"}`, `{clientid|client, "x"}`, either with `{re, "^x"}`,
 *   `{ipaddr, "192.0.2.0/24"}`, `{ipaddrs, […]}`, `{'and', […]}`, `{'or', […]}`; expressions are
 *   RE2's, which take linear time
 * - action: `publish`, `subscribe`, `all`, or `{action, [{qos, 1}, {qos, [0, 1]}, {retain, true}]}`
 * - topics: filters with `${clientid}` and `${username}`, `{eq, "a/#"}` or `"eq a/#"` literally
 *
 * @param key where the text stands in the configuration, for errors
 * @throws GatewayError CONFIG_CHECK_FAILED with the line as value, and its number in the reason
 */
export function compileAclText(text: string, key: string): readonly Rule[] {
  try {
    const compiler = new Compiler();
    return readTerms(text).map((term, index) => compiler.rule(term, index));
  } catch (err) {
    if (!(err instanceof TextFault)) throw err;
    const line = text.slice(0, err.at).split("\n").length;
    const shown = (text.split("\n")[line - 1] ?? "").trim().slice(0, MAX_SHOWN);
    throw checkFailed(key, shown, `line ${line}: ${err.message}`);
  }
}

interface Action {
  readonly publishes: number;
  readonly subscribes: number;
}

class Compiler {
  #expressions = 0;

  rule(term: Term, order: number): Rule {
    const [permission, who, action, topics, ...rest] = tuple(term, "a rule is a tuple");
    const isAllow = atomOf(permission) === "allow";
    if (!isAllow && atomOf(permission) !== "deny") {
      throw fault(permission ?? term, "a rule starts with allow or deny");
    }
    const isShort = action === undefined && atomOf(who) === "all";
    if (isShort) {
      const everything = { publishes: EVERY_PUBLISH, subscribes: EVERY_SUBSCRIBE };
      return { order, isAllow, ...everything, topics: null, uses: 0, who: null };
    }
    if (who === undefined || action === undefined || topics === undefined || rest.length > 0) {
      throw fault(term, "a rule is {allow or deny, who, action, [topics]} or {allow or deny, all}");
    }
    const list = listOf(topics, "topics are a list").map(topicOf);
    return {
      order,
      isAllow,
      ...actionOf(action),
      topics: list,
      uses: usesOf(list),
      who: atomOf(who) === "all" ? null : this.#who(who, isAllow),
    };
  }

  #who(term: Term, isAllow: boolean): Who {
    if (atomOf(term) === "all") return EVERYBODY;
    const [kind, value] = pair(term, 'who is all or a tuple such as {username, "x"}');
    const among = (item: Term) => this.#who(item, isAllow);
    switch (atomOf(kind) ?? "") {
      case "user":
      case "username":
        return this.#named(value, isAllow, withUsername, ({ username }) => username);
      case "client":
      case "clientid":
        return this.#named(value, isAllow, withClientId, ({ clientId }) => clientId);
      case "ipaddr":
        return addressOf(value);
      case "ipaddrs":
        return anyOf(listOf(value, "ipaddrs are a list").map(addressOf));
      case "and":
        return allOf(conditions(value).map(among));
      case "or":
        return anyOf(conditions(value).map(among));
      default:
        throw fault(kind, "who is all, username, clientid, ipaddr, ipaddrs, 'and' or 'or'");
    }
  }

  #named(
    term: Term,
    isAllow: boolean,
    equal: (name: string) => Who,
    read: (client: Client) => string | null,
  ): Who {
    if (term.kind === "string") {
      if (term.value === "") throw fault(term, "the name is empty");
      return equal(term.value);
    }
    const [kind, pattern] = pair(term, 'a name is "x" or {re, "^x"}');
    if (atomOf(kind) !== "re") throw fault(kind, 'a name is "x" or {re, "^x"}');
    const expression = this.#expression(pattern);
    const fits = (client: Client) => {
      const name = read(client);
      if (name === null) return false;
      return name.length > MAX_MATCHED_LENGTH ? !isAllow : expression.test(name);
    };
    return { clientId: null, username: null, fits };
  }

  #expression(term: Term): LinearRegex {
    const pattern = textOf(term, "an expression is text");
    if (++this.#expressions > MAX_EXPRESSIONS) {
      throw fault(term, `there are more than ${MAX_EXPRESSIONS} expressions`);
    }
    if (pattern.length > MAX_EXPRESSION_LENGTH) {
      throw fault(term, `the expression is longer than ${MAX_EXPRESSION_LENGTH} characters`);
    }
    try {
      return linearRegex(pattern);
    } catch (err) {
      throw fault(term, reasonOf(err));
    }
  }
}

function conditions(term: Term): readonly Term[] {
  const items = listOf(term, "'and' and 'or' take a list of conditions");
  if (items.length === 0) throw fault(term, "there is no condition in the list");
  return items;
}

function addressOf(term: Term): Who {
  const who = fromAddress(textOf(term, ADDRESS_EXPECTED));
  if (who === null) throw fault(term, ADDRESS_EXPECTED);
  return who;
}

function actionOf(term: Term): Action {
  const name = term.kind === "tuple" ? atomOf(term.items[0]) : atomOf(term);
  if (name !== "publish" && name !== "subscribe" && name !== "all") {
    throw fault(term, "an action is publish, subscribe or all");
  }
  let options: readonly Term[] = [];
  if (term.kind === "tuple") {
    const [, list] = pair(term, "an action with conditions is {publish, [{qos, 1}]}");
    options = listOf(list, "the conditions of an action are a list");
  }
  const wanted = conditionsOf(options, name);
  let publishes = 0;
  let subscribes = 0;
  for (const qos of wanted.qos) {
    for (const retain of wanted.retain) publishes |= publishBit(qos, retain);
    subscribes |= subscribeBit(qos);
  }
  return {
    publishes: name === "subscribe" ? 0 : publishes,
    subscribes: name === "publish" ? 0 : subscribes,
  };
}

function conditionsOf(options: readonly Term[], action: string) {
  const qos = new Set<0 | 1 | 2>();
  let retain: readonly boolean[] = [false, true];
  for (const option of options) {
    const [kind, value] = pair(option, "a condition is {qos, 1} or {retain, true}");
    if (atomOf(kind) === "qos") {
      for (const item of value.kind === "list" ? value.items : [value]) qos.add(qosOf(item));
    } else if (atomOf(kind) === "retain" && action !== "subscribe") {
      retain = retainOf(value);
    } else {
      throw fault(kind, "a condition is qos or, unless it is about subscribe alone, retain");
    }
  }
  return { qos: qos.size === 0 ? QOS : [...qos], retain };
}

function qosOf(term: Term): 0 | 1 | 2 {
  const qos = QOS.find((known) => term.kind === "integer" && term.value === known);
  if (qos === undefined) throw fault(term, "QoS is 0, 1 or 2");
  return qos;
}

function retainOf(term: Term): readonly boolean[] {
  const value = atomOf(term);
  if (value === "all") return [false, true];
  if (value !== "true" && value !== "false") throw fault(term, "retain is true, false or all");
  return [value === "true"];
}

function topicOf(term: Term): RuleTopic {
  if (term.kind === "tuple") {
    const [kind, value] = pair(term, 'a topic is "x" or {eq, "x"}');
    if (atomOf(kind) !== "eq") throw fault(kind, 'a topic is "x" or {eq, "x"}');
    return topicFrom(literalTopic, textOf(value, "a topic is text"), term);
  }
  const text = textOf(term, 'a topic is "x" or {eq, "x"}');
  return text.startsWith(LITERAL_PREFIX)
    ? topicFrom(literalTopic, text.slice(LITERAL_PREFIX.length), term)
    : topicFrom(filterTopic, text, term);
}

function topicFrom(
  compile: (text: string, key: string) => RuleTopic,
  text: string,
  term: Term,
): RuleTopic {
  try {
    return compile(text, "topic");
  } catch (err) {
    if (!isGatewayError(err, "CONFIG_CHECK_FAILED")) throw err;
    throw fault(term, `${text} cannot be used: ${err.details.reason}`);
  }
}

function fault(term: Term, reason: string): TextFault {
  return new TextFault(term.at, reason);
}

function atomOf(term: Term | undefined): string | null {
  return term?.kind === "atom" ? term.value : null;
}

function textOf(term: Term, reason: string): string {
  if (term.kind !== "string") throw fault(term, reason);
  return term.value;
}

function tuple(term: Term, reason: string): readonly Term[] {
  if (term.kind !== "tuple") throw fault(term, reason);
  return term.items;
}

function listOf(term: Term, reason: string): readonly Term[] {
  if (term.kind !== "list") throw fault(term, reason);
  return term.items;
}

function pair(term: Term, reason: string): readonly [Term, Term] {
  const [first, second, ...rest] = tuple(term, reason);
  if (first === undefined || second === undefined || rest.length > 0) throw fault(term, reason);
  return [first, second];
}
