import type {
  Outbox,
  OutboxEntry,
  OutboxGap,
  OutboxMessage,
  OutboxStatus,
  Topic,
} from "../mqtt/index.ts";
import type { Clock } from "../time/index.ts";

/** An outbox without bounds that is lost with the process: the order and the face of the real one. */
export class TestOutbox implements Outbox {
  readonly #clock: Clock;
  readonly #entries = new Map<number, OutboxEntry>();
  gapList: OutboxGap[] = [];
  /** Appended as urgent. */
  urgent = 0;
  #nextSeq = 1 + Math.floor(Math.random() * 60_000);
  readonly #taken = new Set<number>();
  /** The lanes of topics that go past what waits while there is a link. */
  readonly shortcuts = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  append(message: OutboxMessage, patienceMs = 1, isLive = false): Promise<void> {
    if (patienceMs === 0) this.urgent++;
    const seq = this.#nextSeq++;
    const lane = this.laneFor(message.topic, isLive);
    const appendedAtMs = this.#clock.monotonicMs();
    this.#entries.set(seq, { seq, lane, message, appendedAtMs, isReceived: false });
    return Promise.resolve();
  }

  laneFor(topic: Topic, isLive: boolean): number {
    return isLive ? (this.shortcuts.get(topic) ?? 0) : 0;
  }

  take(afterSeq: number, limit: number, lane = 0): Promise<readonly OutboxEntry[]> {
    const after = [...this.#entries.values()].filter(
      (entry) => entry.lane === lane && entry.seq > afterSeq,
    );
    const taken = after.slice(0, limit);
    for (const { seq } of taken) this.#taken.add(seq);
    return Promise.resolve(taken);
  }

  depth(lane: number): number {
    return [...this.#entries.values()].filter((entry) => entry.lane === lane).length;
  }

  isWaiting(topic: Topic): boolean {
    return [...this.#entries.values()].some(
      ({ seq, message }) => message.topic === topic && !this.#taken.has(seq),
    );
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

  report(messages: readonly OutboxMessage[]): void {
    for (const message of messages) void this.append(message);
    this.gapList = [];
  }

  get waiting(): number {
    return [...this.#entries.keys()].filter((seq) => !this.#taken.has(seq)).length;
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

function sizeOf({ topic, payload }: OutboxMessage): number {
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
    dropOutbox: async (name: string): Promise<void> => void outboxes.delete(name),
    waiting: () =>
      [...outboxes].flatMap(([name, outbox]) => {
        const { messages, bytes } = outbox.status();
        return messages > 0 ? [{ name, messages, bytes }] : [];
      }),
  };
}
