import type { OutboxGap, OutboxMessage, Topic } from "../mqtt/index.ts";

/** Gaps in one message: it stays small enough for any broker. */
const GAPS_PER_MESSAGE = 50;

/**
 * The messages that tell the cloud what it will never get, QoS 1:
 *
 *     {"device", "bridge", "gaps": [{"topic", "from", "to", "count"}]}
 *
 * `topic` is the remote topic, null for topics beyond the bound on their number together; `from` and
 * `to` are when the first and the last of `count` messages came, wall clock, ms.
 */
export function gapReports(
  gaps: readonly OutboxGap[],
  { topic, device, bridge }: { topic: Topic; device: string; bridge: string },
): OutboxMessage[] {
  const reports: OutboxMessage[] = [];
  for (let at = 0; at < gaps.length; at += GAPS_PER_MESSAGE) {
    const some = gaps
      .slice(at, at + GAPS_PER_MESSAGE)
      .map((gap) => ({ topic: gap.topic, from: gap.fromMs, to: gap.toMs, count: gap.count }));
    const payload = Buffer.from(JSON.stringify({ device, bridge, gaps: some }));
    reports.push({ topic, payload, qos: 1, retain: false });
  }
  return reports;
}
