import type { DropReason, MessageCounters } from "../mqtt/index.ts";

/** Counts messages since the process started; the gateway's own `$SYS` traffic never gets here. */
export class Counters {
  #received = 0;
  #sent = 0;
  readonly #dropped: Record<DropReason, number> = {
    no_subscriber: 0,
    queue_full: 0,
    expired: 0,
    too_large: 0,
    rejected: 0,
  };

  received(): void {
    this.#received += 1;
  }

  sent(): void {
    this.#sent += 1;
  }

  dropped(reason: DropReason): void {
    this.#dropped[reason] += 1;
  }

  snapshot(): MessageCounters {
    return { received: this.#received, sent: this.#sent, dropped: { ...this.#dropped } };
  }
}
