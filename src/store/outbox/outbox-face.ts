import { GatewayError } from "../../errors/index.ts";
import type {
  Outbox,
  OutboxEntry,
  OutboxGap,
  OutboxMessage,
  OutboxStatus,
  Topic,
} from "../../mqtt/index.ts";
import type { LanedOutbox } from "./laned-outbox.ts";
import type { OutboxConfig } from "./outbox-config.ts";

/** What an outbox looks like before the store is open, or after. */
const CLOSED: OutboxStatus = {
  messages: 0,
  bytes: 0,
  oldestAgeMs: null,
  dropped: { queue_full: 0, too_large: 0, too_old: 0, store_full: 0 },
};

/** An outbox that can be handed to its user before the store is open. */
export class OutboxFace implements Outbox {
  readonly #core: () => { outbox(name: string): LanedOutbox } | null;
  readonly #name: string;
  readonly #cfg: OutboxConfig;
  #found: LanedOutbox | null = null;

  constructor(
    core: () => { outbox(name: string): LanedOutbox } | null,
    name: string,
    cfg: OutboxConfig,
  ) {
    this.#core = core;
    this.#name = name;
    this.#cfg = cfg;
  }

  async append(message: OutboxMessage, patienceMs = 1, isLive = false): Promise<void> {
    await this.#outbox.append(message, patienceMs, isLive);
  }

  laneFor(topic: Topic, isLive: boolean): number {
    return this.#core() === null ? 0 : this.#outbox.laneFor(topic, isLive);
  }

  async take(afterSeq: number, limit: number, lane = 0): Promise<readonly OutboxEntry[]> {
    return this.#outbox.take(afterSeq, limit, lane);
  }

  depth(lane: number): number {
    return this.#core() === null ? 0 : this.#outbox.depth(lane);
  }

  isWaiting(topic: Topic): boolean {
    return this.#core() !== null && this.#outbox.isWaiting(topic);
  }

  async setReceived(seq: number, isReceived: boolean): Promise<void> {
    await this.#outbox.setReceived(seq, isReceived);
  }

  remove(seq: number): void {
    this.#outbox.remove(seq);
  }

  gaps(): readonly OutboxGap[] {
    return this.#outbox.gaps();
  }

  report(messages: readonly OutboxMessage[]): void {
    this.#outbox.report(messages);
  }

  get waiting(): number {
    return this.#core() === null ? 0 : this.#outbox.waiting;
  }

  status(): OutboxStatus {
    return this.#core() === null ? CLOSED : this.#outbox.status();
  }

  get #outbox(): LanedOutbox {
    if (this.#found !== null) return this.#found;
    const core = this.#core();
    if (core === null) {
      throw new GatewayError("STORE_WRITE_FAILED", { reason: "the store is not open" });
    }
    this.#found = core.outbox(this.#name);
    this.#found.configure(this.#cfg);
    return this.#found;
  }
}
