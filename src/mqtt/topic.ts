import { GatewayError } from "../errors/index.ts";

declare const topicBrand: unique symbol;
declare const filterBrand: unique symbol;

/** A valid Topic Name (MQTT 5.0 §4.7). */
export type Topic = string & { readonly [topicBrand]: true };

/** A valid Topic Filter, `$share/…` included (MQTT 5.0 §4.7, §4.8.2). */
export type TopicFilter = string & { readonly [filterBrand]: true };

/** Longest UTF-8 Encoded String, in bytes (MQTT 5.0 §1.5.4). */
export const MAX_STRING_BYTES = 65_535;

/** @throws GatewayError MQTT_TOPIC_INVALID when empty, over 65 535 UTF-8 bytes, or holding + # U+0000 ([MQTT-3.3.2-2], [MQTT-4.7.3-1..3]). */
export function topic(raw: string): Topic {
  const reason = stringFault(raw) ?? (/[+#]/.test(raw) ? "it holds a wildcard (+ or #)" : null);
  if (reason !== null) throw new GatewayError("MQTT_TOPIC_INVALID", { value: raw, reason });
  return raw as Topic;
}

/** @throws GatewayError MQTT_FILTER_INVALID when the string breaks the filter grammar ([MQTT-4.7.1-1], [MQTT-4.7.1-2], [MQTT-4.8.2-1], [MQTT-4.8.2-2]). */
export function topicFilter(raw: string): TopicFilter {
  const reason = stringFault(raw) ?? filterFault(raw);
  if (reason !== null) throw new GatewayError("MQTT_FILTER_INVALID", { value: raw, reason });
  return raw as TopicFilter;
}

/** A shared subscription's parts (MQTT 5.0 §4.8.2), or null for an ordinary filter. */
export function parseShare(filter: TopicFilter): { group: string; filter: TopicFilter } | null {
  if (!filter.startsWith(SHARE_PREFIX)) return null;
  const slash = filter.indexOf("/", SHARE_PREFIX.length);
  return {
    group: filter.slice(SHARE_PREFIX.length, slash),
    filter: filter.slice(slash + 1) as TopicFilter,
  };
}

/**
 * Whether `name` matches `filter` (MQTT 5.0 §4.7.1). A filter that starts with a wildcard does not
 * match a topic that starts with `$` ([MQTT-4.7.2-1]). Linear in the length of both.
 */
export function matches(filter: string, name: string): boolean {
  if (name.startsWith("$") && (filter.startsWith("+") || filter.startsWith("#"))) return false;
  let f = 0;
  let t = 0;
  for (;;) {
    if (filter[f] === "#") return true;
    const fEnd = endOfLevel(filter, f);
    const tEnd = endOfLevel(name, t);
    const isPlus = fEnd === f + 1 && filter[f] === "+";
    if (!isPlus && (fEnd - f !== tEnd - t || !filter.startsWith(name.slice(t, tEnd), f)))
      return false;
    const filterDone = fEnd === filter.length;
    const nameDone = tEnd === name.length;
    if (nameDone) return filterDone || filter.slice(fEnd) === "/#";
    if (filterDone) return false;
    f = fEnd + 1;
    t = tEnd + 1;
  }
}

const SHARE_PREFIX = "$share/";

function endOfLevel(text: string, from: number): number {
  const slash = text.indexOf("/", from);
  return slash < 0 ? text.length : slash;
}

function stringFault(raw: string): string | null {
  if (raw === "") return "it is empty";
  if (raw.includes("\0")) return "it holds U+0000";
  if (!raw.isWellFormed()) return "it is not valid Unicode";
  const bytes = Buffer.byteLength(raw);
  return bytes > MAX_STRING_BYTES ? `it has ${bytes} bytes, at most ${MAX_STRING_BYTES}` : null;
}

function filterFault(raw: string): string | null {
  let plain = raw;
  if (raw.startsWith(SHARE_PREFIX)) {
    const slash = raw.indexOf("/", SHARE_PREFIX.length);
    const group = slash < 0 ? "" : raw.slice(SHARE_PREFIX.length, slash);
    if (group === "") return "a shared subscription is $share/group/filter";
    if (/[+#]/.test(group)) return "the share name holds a wildcard";
    plain = raw.slice(slash + 1);
    if (plain === "") return "a shared subscription is $share/group/filter";
  }
  const levels = plain.split("/");
  for (const [index, level] of levels.entries()) {
    if (level.includes("#") && (level !== "#" || index !== levels.length - 1)) {
      return "# must be the last level and stand alone";
    }
    if (level.includes("+") && level !== "+") return "+ must stand alone in its level";
  }
  return null;
}
