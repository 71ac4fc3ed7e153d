import { parseShare, topic, topicFilter } from "../mqtt/index.ts";
import { linearRegex } from "../regex/index.ts";
import type { MemberFault } from "./collections.ts";

/** What is wrong with a rewrite rule; its source filter has been checked. */
export function rewriteRuleFaults(rule: {
  readonly action: "publish" | "subscribe" | "all";
  readonly re: string;
  readonly dest_topic: string;
}): MemberFault[] {
  const filled = rule.dest_topic.replace(/\$(?:\{(?:clientid|username)\}|\d{1,2})/g, "x");
  if (rule.action === "subscribe") {
    return isAccepted(topicFilter, filled) ? [] : [targetFault("a topic filter")];
  }
  // Published to, and nobody publishes to a filter.
  return isAccepted(topic, filled) ? [] : [targetFault("a topic without wildcards")];
}

/** Whether `value` is a regular expression that can be searched for in linear time. */
export function isLinearRegex(value: string): boolean {
  return isAccepted(linearRegex, value);
}

/** Whether `value` is a filter once its placeholders are filled in. */
export function isAutoFilter(value: string): boolean {
  return isAccepted(topicFilter, filledFilter(value));
}

/** What is wrong with a subscription whose filter has been checked. */
export function autoSubscriptionFaults(row: {
  readonly topic: string;
  readonly nl: 0 | 1;
}): MemberFault[] {
  // [MQTT-3.8.3-4]
  return row.nl === 1 && parseShare(topicFilter(filledFilter(row.topic))) !== null
    ? [{ member: "nl", expected: "0, because the subscription is shared" }]
    : [];
}

function filledFilter(value: string): string {
  return value.replace(/\$\{(?:clientid|username|host|port)\}/g, "x");
}

function targetFault(what: string): MemberFault {
  return { member: "dest_topic", expected: `${what} when its placeholders are filled in` };
}

function isAccepted(parse: (raw: string) => unknown, raw: string): boolean {
  try {
    parse(raw);
    return true;
  } catch {
    return false;
  }
}
