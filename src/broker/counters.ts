import type { DropReason, MessageCounters } from "../mqtt/index.ts";

/** Running totals since the process started. */
export class Counters {
  received = 0;
  sent = 0;
  readonly #dropped: Record<DropReason, number> = {
    no_subscriber: 0,
    queue_full: 0,
    expired: 0,
    too_large: 0,
    rejected: 0,
  };

  drop(reason: DropReason): void {
    this.#dropped[reason]++;
  }

  snapshot(): MessageCounters {
    return { received: this.received, sent: this.sent, dropped: { ...this.#dropped } };
  }
}
