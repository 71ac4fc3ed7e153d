import { topic, topicFilter } from "../mqtt/index.ts";
import { isHost } from "./checks.ts";
import { checkedText, int, text } from "./format.ts";

/** A TCP port; 0 picks a free one. */
export const port = int(0, 65_535);

/** The path of a file. */
export const path = text(4096, 1);

/** Where something listens, or is. */
export const host = checkedText(
  "host",
  'an IP address or host name ("::" = every IPv4 and IPv6 address)',
  isHost,
);

/** A topic filter. */
export const filter = checkedText("filter", "a valid MQTT topic filter", (value) =>
  accepts(topicFilter, value),
);

/** A topic. */
export const topicName = checkedText("topic", "a topic without wildcards", (value) =>
  accepts(topic, value),
);

/** A password, or its hash. */
export const secret = text(4096);

/** Whether `parse` takes `value`. */
export function accepts(parse: (value: string) => unknown, value: string): boolean {
  try {
    parse(value);
    return true;
  } catch {
    return false;
  }
}
