import { type Outbox, type OutboxMessage, type QoS, topic } from "../../mqtt/index.ts";
import type { OutboxConfig } from "./outbox-config.ts";

export const UNBOUNDED: OutboxConfig = {
  maxMessages: 1_000_000,
  maxBytes: 536_870_912,
  maxAgeMs: 0,
  backlogMessages: 1000,
  policy: "drop_oldest",
};

/** A message whose payload begins with its number. */
export function outboxMessage(
  number: number,
  { qos = 1 as QoS, size = 20, name = `t/${number % 3}` } = {},
): OutboxMessage {
  const text = `${number}.`;
  return {
    topic: topic(name),
    payload: Buffer.alloc(Math.max(text.length, size), text),
    qos,
    retain: number % 2 === 0,
    ...(number % 5 === 0 ? { properties: { contentType: `n${number}` } } : undefined),
  };
}

/** Everything in an outbox, as whoever connects anew gets it. */
export async function contentOf(
  outbox: Outbox,
): Promise<{ readonly seq: number; readonly number: number; readonly topic: string }[]> {
  const found: { seq: number; number: number; topic: string }[] = [];
  let after = 0;
  for (;;) {
    const entries = await outbox.take(after, 100);
    for (const { seq, message } of entries) {
      const number = Number.parseInt(message.payload.toString("latin1"), 10);
      const { payload: _, ...rest } = message;
      const expected = outboxMessage(number, { qos: message.qos, name: message.topic });
      const { payload: __, ...wanted } = expected;
      if (JSON.stringify(rest) !== JSON.stringify(wanted)) throw new Error(`${number} has changed`);
      found.push({ seq, number, topic: message.topic });
      after = seq;
    }
    if (entries.length === 0) return found;
  }
}
