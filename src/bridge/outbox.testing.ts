import type { Clock } from "../time/index.ts";
import type { OutboundMessage, Outbox, OutboxEntry, OutboxGap, OutboxStatus } from "./outbox.ts";

/** An outbox without bounds that is lost with the process: the order and the face of the real one. */
export class TestOutbox implements Outbox {
  readonly #clock: Clock;
  readonly #entries = new Map<number, OutboxEntry>();
  gapList: OutboxGap[] = [];
  /** Appended as urgent. */
  urgent = 0;
  #nextSeq = 1 + Math.floor(Math.random() * 60_000);
  #takenSeq = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  append(message: OutboundMessage, isUrgent = false): Promise<void> {
    if (isUrgent) this.urgent++;
    const seq = this.#nextSeq++;
    const appendedAtMs = this.#clock.monotonicMs();
    this.#entries.set(seq, { seq, message, appendedAtMs, isReceived: false });
    return Promise.resolve();
  }

  take(afterSeq: number, limit: number): Promise<readonly OutboxEntry[]> {
    const after = [...this.#entries.values()].filter(({ seq }) => seq > afterSeq);
    const taken = after.slice(0, limit);
    this.#takenSeq = Math.max(this.#takenSeq, taken.at(-1)?.seq ?? 0);
    return Promise.resolve(taken);
  }

  setReceived(seq: number, isReceived: boolean): Promise<void> {
    const entry = this.#entries.get(seq);
    if (entry !== undefined) this.#entries.set(seq, { ...entry, isReceived });
    return Promise.resolve();
  }

  remove(seq: number): void {
    this.#entries.delete(seq);
  }

  gaps(): readonly OutboxGap[] {
    return this.gapList;
  }

  report(messages: readonly OutboundMessage[]): void {
    for (const message of messages) void this.append(message);
    this.gapList = [];
  }

  get waiting(): number {
    return [...this.#entries.keys()].filter((seq) => seq > this.#takenSeq).length;
  }

  status(): OutboxStatus {
    const entries = [...this.#entries.values()];
    const [oldest] = entries;
    return {
      messages: entries.length,
      bytes: entries.reduce((sum, { message }) => sum + sizeOf(message), 0),
      oldestAgeMs: oldest === undefined ? null : this.#clock.monotonicMs() - oldest.appendedAtMs,
      dropped: { queue_full: 0, too_large: 0, too_old: 0, store_full: 0 },
    };
  }
}

function sizeOf({ topic, payload }: OutboundMessage): number {
  return Buffer.byteLength(topic) + payload.length;
}

/** Outboxes by the name of their bridge, which outlive bridges that are built anew. */
export function testOutboxes(clock: Clock) {
  const outboxes = new Map<string, TestOutbox>();
  return {
    openOutbox: (name: string): Outbox => {
      const outbox = outboxes.get(name) ?? new TestOutbox(clock);
      outboxes.set(name, outbox);
      return outbox;
    },
    dropOutbox: (name: string): void => void outboxes.delete(name),
  };
}
