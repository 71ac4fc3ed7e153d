import type { BridgeConfig, Fault } from "../config/index.ts";
import { MAX_STRING_BYTES } from "../mqtt/index.ts";
import { type TopicRule, targetFault } from "./mapping.ts";

/**
 * What is wrong with a bridge's configuration that its schema does not see. `key` is the bridge's
 * own key, such as `bridges.default`. Loops are found by `findLoop`, and certificate files are
 * judged with those of the listeners. No secret is among the values.
 */
export function bridgeFaults(cfg: BridgeConfig, key: string): Fault[] {
  const found: Fault[] = [];
  const add = (name: string, value: unknown, expected: string) =>
    found.push({ kind: "value", key: `${key}.${name}`, value, expected });

  if (cfg.password !== null && cfg.username === null && cfg.proto_ver !== 5) {
    // [MQTT-3.1.2-22] of 3.1.1; MQTT 5.0 allows it.
    add("username", null, "a user name beside the password, or proto_ver 5");
  }
  for (const [index, rule] of cfg.forwards.entries()) {
    const at = `forwards[${index}]`;
    if (rule.local_topic === "" || rule.local_topic.startsWith("$")) {
      const expected =
        "a filter for topics that do not start with $, which never leave the gateway";
      add(`${at}.local_topic`, rule.local_topic, expected);
      continue;
    }
    const mapped = { ...rule, pattern: rule.local_topic, target: rule.remote_topic };
    const expected = targetFault(mapped) ?? lengthFault(mapped);
    if (expected !== null) add(`${at}.remote_topic`, rule.remote_topic, expected);
    else if (rule.prefix === "" && rule.remote_topic.startsWith("$share/")) {
      add(`${at}.remote_topic`, rule.remote_topic, "a topic, which $share/ does not begin");
    }
  }
  for (const [index, rule] of cfg.subscription.entries()) {
    const at = `subscription[${index}]`;
    if (rule.remote_topic === "") {
      add(`${at}.remote_topic`, "", "a filter to subscribe to at the cloud");
      continue;
    }
    const mapped = { ...rule, pattern: rule.remote_topic, target: rule.local_topic };
    const expected = targetFault(mapped) ?? lengthFault(mapped);
    if (expected !== null) add(`${at}.local_topic`, rule.local_topic, expected);
    else if ((rule.prefix || rule.local_topic).startsWith("$")) {
      const name = rule.prefix === "" ? "local_topic" : "prefix";
      add(`${at}.${name}`, rule[name], "a topic that does not start with $");
    }
  }
  return found;
}

function lengthFault(rule: TopicRule): string | null {
  const bytes = Buffer.byteLength(rule.prefix + rule.target + rule.suffix);
  return bytes > MAX_STRING_BYTES
    ? `at most ${MAX_STRING_BYTES} bytes with prefix and suffix`
    : null;
}
