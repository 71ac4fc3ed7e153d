import type { GatewayError } from "../../errors/index.ts";
import {
  OUTBOX_DROP_REASONS,
  OUTBOX_LANES,
  type Outbox,
  type OutboxEntry,
  type OutboxGap,
  type OutboxMessage,
  type OutboxStatus,
  type Topic,
} from "../../mqtt/index.ts";
import { MAX_GAP_TOPICS } from "./gaps.ts";
import type { LaneKin } from "./lane-kin.ts";
import type { OutboxConfig } from "./outbox-config.ts";
import type { OutboxHost } from "./outbox-host.ts";
import { StoredOutbox } from "./stored-outbox.ts";
import { TopicPlaces } from "./topic-places.ts";

/** While older messages cannot be dropped fast enough, so much above its bound the new one is. */
const OVERSHOOT_SHARE = 1.1;
const OVERSHOOT_MESSAGES = 1000;

/** Stands between the name of an outbox and the number of a lane in the names of its rows. */
const LANE_MARK = "\x02lane";

/** Which lane of which outbox has rows of this name. */
export function laneOfRows(rowName: string): { readonly name: string; readonly lane: number } {
  const at = rowName.lastIndexOf(LANE_MARK);
  const lane = at < 0 ? 0 : Number(rowName.slice(at + LANE_MARK.length));
  const isLane = Number.isInteger(lane) && lane > 0 && lane < OUTBOX_LANES;
  return isLane ? { name: rowName.slice(0, at), lane } : { name: rowName, lane: 0 };
}

/**
 * An outbox as one queue that can be overtaken. Lane 0 is all there is until it holds a backlog and
 * somebody takes from it again; what comes then, of topics of which nothing waits, goes to another
 * lane. All that waits of one topic is in one lane, also after a crash: a topic goes back only when the
 * removal of what it had in the other is durable.
 */
export class LanedOutbox implements Outbox {
  readonly name: string;
  readonly #lanes: readonly StoredOutbox[];
  readonly #places = new TopicPlaces();
  #cfg: OutboxConfig;
  #nextSeq = 1;
  #messages = 0;
  #bytes = 0;

  constructor(host: OutboxHost, name: string, cfg: OutboxConfig) {
    this.name = name;
    this.#cfg = cfg;
    const kin = this.#kin();
    this.#lanes = Array.from(
      { length: OUTBOX_LANES },
      (_, lane) =>
        new StoredOutbox(host, lane === 0 ? name : `${name}${LANE_MARK}${lane}`, kin, lane),
    );
  }

  configure(cfg: OutboxConfig): void {
    this.#cfg = cfg;
    this.trim();
  }

  lane(lane: number): StoredOutbox {
    const found = this.#lanes[lane];
    if (found === undefined) throw new RangeError(`an outbox has no lane ${lane}`);
    return found;
  }

  append(message: OutboxMessage, patienceMs = 1, isLive = false): Promise<void> {
    return this.lane(this.laneFor(message.topic, isLive)).append(message, patienceMs);
  }

  laneFor(topic: Topic, isLive: boolean): number {
    const wanted = isLive ? this.#shortcut() : 0;
    const { lane, seq } = this.#places.last(topic);
    return seq === 0 || lane === wanted || !this.lane(lane).mayHold(seq) ? wanted : lane;
  }

  take(afterSeq: number, limit: number, lane = 0): Promise<readonly OutboxEntry[]> {
    return this.lane(lane).take(afterSeq, limit);
  }

  depth(lane: number): number {
    return this.lane(lane).messages;
  }

  isWaiting(topic: Topic): boolean {
    const { lane, seq } = this.#places.last(topic);
    return this.lane(lane).isWaiting(seq);
  }

  remove(seq: number): void {
    for (const lane of this.#lanes) if (lane.messages > 0) lane.remove(seq);
  }

  async setReceived(seq: number, isReceived: boolean): Promise<void> {
    await Promise.all(this.#lanes.map((lane) => lane.setReceived(seq, isReceived)));
  }

  gaps(): readonly OutboxGap[] {
    const byTopic = new Map<string, OutboxGap>();
    for (const gap of this.#lanes.flatMap((lane) => lane.gaps())) {
      const known = byTopic.has(gap.topic ?? "");
      const topic = known || byTopic.size < MAX_GAP_TOPICS ? gap.topic : null;
      const before = byTopic.get(topic ?? "");
      byTopic.set(topic ?? "", {
        topic,
        fromMs: Math.min(before?.fromMs ?? gap.fromMs, gap.fromMs),
        toMs: Math.max(before?.toMs ?? gap.toMs, gap.toMs),
        count: (before?.count ?? 0) + gap.count,
      });
    }
    return [...byTopic.values()];
  }

  /** Reports wait in lane 0, behind the backlog they tell of. */
  report(messages: readonly OutboxMessage[]): void {
    this.lane(0).report(messages);
    for (const lane of this.#lanes) lane.forgetGaps();
  }

  get waiting(): number {
    return this.#lanes.reduce((sum, lane) => sum + lane.waiting, 0);
  }

  status(): OutboxStatus {
    const ages = this.#lanes.flatMap((lane) => lane.oldestAgeMs() ?? []);
    const dropped = { queue_full: 0, too_large: 0, too_old: 0, store_full: 0 };
    for (const reason of OUTBOX_DROP_REASONS) {
      for (const lane of this.#lanes) dropped[reason] += lane.dropped[reason];
    }
    return {
      messages: this.#messages,
      bytes: this.#bytes,
      oldestAgeMs: ages.length === 0 ? null : Math.max(...ages),
      dropped,
    };
  }

  /** Drops what is over a bound or too old. */
  trim(): void {
    let before: number;
    do {
      before = this.#messages;
      for (const lane of this.#lanes) lane.trim();
    } while (this.#isOver(0, 0) && this.#messages < before);
  }

  /** Resolves when nothing is being read to be dropped. */
  async idle(): Promise<void> {
    for (const lane of this.#lanes) await lane.idle();
  }

  /** Gives everything up, and what is noted of it. */
  async discard(): Promise<void> {
    for (const lane of this.#lanes) await lane.discard();
  }

  /** A group was settled with an error: who waits for an entry in it is told, and it is not kept. */
  failed(error: GatewayError): void {
    for (const lane of this.#lanes) lane.failed(error);
  }

  /** Where a message goes that has nothing to wait for. */
  #shortcut(): number {
    if (this.lane(0).waiting <= this.#cfg.backlogMessages) return 0;
    let shortest = 1;
    for (let lane = 2; lane < OUTBOX_LANES; lane++) {
      if (this.lane(lane).waiting < this.lane(shortest).waiting) shortest = lane;
    }
    return shortest;
  }

  #isOver(messages: number, bytes: number): boolean {
    const { maxMessages, maxBytes } = this.#cfg;
    return this.#messages + messages > maxMessages || this.#bytes + bytes > maxBytes;
  }

  #isFarOver(): boolean {
    const { maxMessages, maxBytes } = this.#cfg;
    return (
      this.#messages > maxMessages * OVERSHOOT_SHARE + OVERSHOOT_MESSAGES ||
      this.#bytes > maxBytes * OVERSHOOT_SHARE + OVERSHOOT_MESSAGES
    );
  }

  #isOldest(lane: number): boolean {
    if (this.lane(lane).messages === this.#messages) return true;
    const from = this.lane(lane).waitsFrom();
    return this.#lanes.every((other, index) => index === lane || other.waitsFrom() > from);
  }

  #kin(): LaneKin {
    const outbox = this;
    return {
      get cfg() {
        return outbox.#cfg;
      },
      get nextSeq() {
        return outbox.#nextSeq;
      },
      set nextSeq(seq) {
        outbox.#nextSeq = seq;
      },
      counted: (messages, bytes) => {
        this.#messages += messages;
        this.#bytes += bytes;
      },
      isOver: (messages, bytes) => this.#isOver(messages, bytes),
      isFarOver: () => this.#isFarOver(),
      isOldest: (lane) => this.#isOldest(lane),
      placed: (topic, seq, lane) => this.#places.note(topic, seq, lane),
      trim: () => this.trim(),
    };
  }
}
