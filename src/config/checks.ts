import { isIP, isIPv4 } from "node:net";
import { topic, topicFilter } from "../mqtt/index.ts";

/** Whether `value` is an IP address (IPv6 with or without a zone) or a DNS name (RFC 1123 §2.1). */
export function isHost(value: string): boolean {
  if (isIP(value) !== 0) return true;
  const labels = value.replace(/\.$/, "").split(".");
  return (
    value.length <= 253 &&
    labels.every((label) => /^[A-Za-z0-9_](?:[\w-]{0,61}[A-Za-z0-9_])?$/.test(label)) &&
    // "256.1.1.1" is a mistyped address, not a name: no top-level domain is a number.
    !/^\d+$/.test(labels.at(-1) ?? "")
  );
}

/** Whether `value` is an IP address, or one with a prefix length (RFC 4632 §3.1, RFC 4291 §2.3). */
export function isAddressBlock(value: string): boolean {
  const [, address = "", prefix] = /^([^/]*)(?:\/(\d{1,3}))?$/.exec(value) ?? [];
  if (isIP(address) === 0) return false;
  return prefix === undefined || Number(prefix) <= (isIPv4(address) ? 32 : 128);
}

/** Whether `value` may stand among an ACL rule's topics once its placeholders are filled in. */
export function isAclTopic(value: string): boolean {
  const filled = value.replaceAll("${clientid}", "x").replaceAll("${username}", "x");
  try {
    // "@" takes what follows literally, so it may also be a filter somebody subscribes to.
    if (filled.startsWith("@")) {
      const literal = filled.slice(1).replaceAll(/[+#]/g, "x");
      topic(literal);
    } else {
      topicFilter(filled);
    }
    return true;
  } catch {
    return false;
  }
}
