import { Random } from "./random.ts";

/** What a ledger found out. */
export interface Verdict {
  readonly sent: number;
  readonly acknowledged: number;
  /** The gateway said that it does not take them. */
  readonly refused: number;
  /** Neither acknowledged nor refused. */
  readonly pending: number;
  /** First copies that arrived, at all receivers. */
  readonly delivered: number;
  /** Further copies, which QoS 1 allows. */
  readonly repeats: number;
  /** Acknowledged and not delivered; each names receiver, topic and number. */
  readonly lost: readonly string[];
  /** Arrived behind a later message of the same publisher and topic. */
  readonly disordered: readonly string[];
  /** Further copies where both sides asked for QoS 2. */
  readonly duplicated: readonly string[];
  /** Not what was sent under that number, or never sent. */
  readonly falsified: readonly string[];
}

/** Findings kept as text, of each kind. */
const MAX_FINDINGS = 20;

interface TopicRecord {
  readonly topic: string;
  readonly qos: number;
  /** Messages are numbered from 1. */
  lastSent: number;
  /** Sent and not acknowledged. */
  readonly pending: Set<number>;
  readonly refused: Set<number>;
  lastAcknowledged: number;
}

interface Arrivals {
  last: number;
  /** Numbers below `last` that have not come. */
  readonly missing: Set<number>;
}

/**
 * Keeps account of what publishers sent, what was acknowledged and what receivers got. Each topic
 * has one publisher, which numbers its messages; every receiver is to get every topic.
 */
export class Ledger {
  readonly #topics = new Map<string, TopicRecord>();
  readonly #receivers: Receiver[] = [];
  /** Messages acknowledged so far. */
  acknowledgements = 0;
  readonly #findings = { disordered: findings(), duplicated: findings(), falsified: findings() };

  /** The next message of a topic. */
  next(topic: string, qos: number): { readonly number: number; readonly payload: Buffer } {
    let record = this.#topics.get(topic);
    if (record === undefined) {
      record = {
        ...{ topic, qos, lastSent: 0, lastAcknowledged: 0 },
        pending: new Set(),
        refused: new Set(),
      };
      this.#topics.set(topic, record);
    }
    const number = ++record.lastSent;
    record.pending.add(number);
    return { number, payload: payloadOf(topic, number) };
  }

  acknowledged(topic: string, number: number): void {
    const record = this.#record(topic);
    this.acknowledgements++;
    record.pending.delete(number);
    record.lastAcknowledged = Math.max(record.lastAcknowledged, number);
  }

  /** The gateway said that it does not take the message. */
  refused(topic: string, number: number): void {
    const record = this.#record(topic);
    record.pending.delete(number);
    record.refused.add(number);
  }

  /** Adds a receiver whose subscription to every topic was granted with `qos`. */
  receiver(name: string, qos: number): Receiver {
    const receiver = new Receiver(name, qos, this.#topics, this.#findings);
    this.#receivers.push(receiver);
    return receiver;
  }

  /** Topics, with the newest number sent and acknowledged. */
  topics(): Iterable<Readonly<Pick<TopicRecord, "topic" | "lastSent" | "lastAcknowledged">>> {
    return this.#topics.values();
  }

  get pending(): number {
    let count = 0;
    for (const { pending } of this.#topics.values()) count += pending.size;
    return count;
  }

  /** Acknowledged and not delivered so far. */
  get owed(): number {
    return this.#receivers.reduce((sum, receiver) => sum + receiver.owed().length, 0);
  }

  verdict(): Verdict {
    const lost = findings();
    let sent = 0;
    let refused = 0;
    for (const record of this.#topics.values()) {
      sent += record.lastSent;
      refused += record.refused.size;
    }
    const { pending } = this;
    for (const receiver of this.#receivers) for (const text of receiver.owed()) lost.add(text);
    const sum = (of: (receiver: Receiver) => number) =>
      this.#receivers.reduce((total, receiver) => total + of(receiver), 0);
    return {
      sent,
      acknowledged: this.acknowledgements,
      refused,
      pending,
      delivered: sum(({ delivered }) => delivered),
      repeats: sum(({ repeats }) => repeats),
      lost: lost.texts(),
      disordered: this.#findings.disordered.texts(),
      duplicated: this.#findings.duplicated.texts(),
      falsified: this.#findings.falsified.texts(),
    };
  }

  #record(topic: string): TopicRecord {
    const record = this.#topics.get(topic);
    if (record === undefined) throw new Error(`nothing was sent to ${topic}`);
    return record;
  }
}

/** One receiver's side of a ledger. */
export class Receiver {
  readonly name: string;
  readonly #qos: number;
  readonly #topics: ReadonlyMap<string, TopicRecord>;
  readonly #findings: Record<"disordered" | "duplicated" | "falsified", Findings>;
  readonly #arrivals = new Map<string, Arrivals>();
  delivered = 0;
  repeats = 0;

  constructor(
    name: string,
    qos: number,
    topics: ReadonlyMap<string, TopicRecord>,
    found: Record<"disordered" | "duplicated" | "falsified", Findings>,
  ) {
    this.name = name;
    this.#qos = qos;
    this.#topics = topics;
    this.#findings = found;
  }

  received(topic: string, payload: Buffer): void {
    const record = this.#topics.get(topic);
    const number = numberOf(payload);
    const what = `${this.name}: ${topic} ${number}`;
    if (record === undefined || number < 1 || number > record.lastSent) {
      this.#findings.falsified.add(what);
      return;
    }
    if (!payload.equals(payloadOf(topic, number))) this.#findings.falsified.add(what);
    const arrivals = this.#arrivalsOf(topic);
    if (number > arrivals.last) {
      for (let n = arrivals.last + 1; n < number; n++) arrivals.missing.add(n);
      arrivals.last = number;
      this.delivered++;
    } else if (arrivals.missing.delete(number)) {
      this.#findings.disordered.add(`${what} behind ${arrivals.last}`);
      this.delivered++;
    } else {
      this.repeats++;
      if (Math.min(record.qos, this.#qos) === 2) this.#findings.duplicated.add(what);
    }
  }

  /** Acknowledged and not delivered to this receiver, as text. */
  owed(): string[] {
    const owed: string[] = [];
    for (const { topic, qos, lastSent, pending, refused } of this.#topics.values()) {
      if (Math.min(qos, this.#qos) === 0) continue;
      const { last, missing } = this.#arrivalsOf(topic);
      const owes = (n: number) => {
        if (!pending.has(n) && !refused.has(n)) owed.push(`${this.name}: ${topic} ${n}`);
      };
      for (const n of missing) owes(n);
      for (let n = last + 1; n <= lastSent; n++) owes(n);
    }
    return owed;
  }

  #arrivalsOf(topic: string): Arrivals {
    let arrivals = this.#arrivals.get(topic);
    if (arrivals === undefined) {
      arrivals = { last: 0, missing: new Set() };
      this.#arrivals.set(topic, arrivals);
    }
    return arrivals;
  }
}

/** The number a payload carries; NaN when it carries none. */
export function numberOf(payload: Buffer): number {
  return Number.parseInt(payload.toString("latin1", 0, 16), 10);
}

/** What no compression makes smaller; the same in every run. */
const NOISE = new Random(1).bytes(1 << 18);

/** Number and topic, and noise of a length that tells neighbours apart: 256 bytes on average. */
function payloadOf(topic: string, number: number): Buffer {
  const start = Math.imul(number, 0x9e3779b1) >>> 14;
  const noise = NOISE.subarray(start, start + ((number * 37) % 480));
  return Buffer.concat([Buffer.from(`${number} ${topic} `), noise]);
}

interface Findings {
  add(text: string): void;
  texts(): readonly string[];
}

function findings(): Findings {
  const kept: string[] = [];
  let count = 0;
  return {
    add(text) {
      count++;
      if (kept.length < MAX_FINDINGS) kept.push(text);
    },
    texts: () => (count > kept.length ? [...kept, `… ${count} in all`] : kept),
  };
}
