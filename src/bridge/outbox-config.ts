import type { BridgeConfig } from "../config/index.ts";

/** How much an outbox keeps; bytes are those of topic and payload. */
export interface OutboxBounds {
  readonly maxMessages: number;
  readonly maxBytes: number;
}

/** Fewer are sent in a moment: nothing needs to go past them … */
const BACKLOG_MESSAGES = 100;
/** … nor past what is sent within this time where messages are paced. */
const BACKLOG_S = 0.05;

/** How much of a bridge's messages is kept, and what is given up beyond that. */
export function outboxConfig(bridge: BridgeConfig) {
  const { drain_max_messages_per_s: pace } = bridge;
  return {
    maxMessages: bridge.outbox_max_messages,
    maxBytes: bridge.outbox_max_bytes,
    maxAgeMs: bridge.outbox_max_age_s * 1000,
    policy: bridge.outbox_policy,
    backlogMessages: pace === 0 ? BACKLOG_MESSAGES : Math.min(BACKLOG_MESSAGES, pace * BACKLOG_S),
  };
}
