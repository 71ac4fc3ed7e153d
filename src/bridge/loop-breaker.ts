import { randomBytes } from "node:crypto";
import type { Message, Topic } from "../mqtt/index.ts";
import type { Clock, Timer } from "../time/index.ts";
import { type Copies, CopyTable } from "./copy-table.ts";
import {
  asksAbout,
  mapProbe,
  type ProbeName,
  probeName,
  probePayload,
  probeTopics,
} from "./loop-probe.ts";
import type { TopicMapping } from "./mapping.ts";

export interface LoopBreakerDeps {
  readonly clock: Clock;
  /** A rule goes round in circles: it is to forward nothing more. */
  onCut(rule: string, topic: string): void;
  /**
   * Equal messages come only after one was forwarded, and no probe shows more: a loop of brokers that
   * pass this one topic on, or applications that answer each other. Nothing is done about it.
   */
  onSuspected(rule: string, topic: string): void;
  /** A message of a rule that is cut was given up. */
  onDropped(rule: string): void;
  /** Sends a probe to the cloud at once, QoS 0, and counts it nowhere; it may be lost. */
  sendProbe(topic: Topic, payload: Buffer): void;
}

export interface LoopBreakerConfig {
  /** Ask where nothing in a message tells; else only marked messages are looked at. */
  readonly isAsking: boolean;
}

/** As much of a forward rule as is needed to follow a message. */
export interface LoopRule {
  readonly name: string;
  readonly filter: string;
  readonly map: TopicMapping;
}

/** Sends a message that was held back on its way. */
export type Forward = () => void | Promise<void>;

/** When equal messages are many enough, or come fast enough, to be asked about. */
const SUSPECT = {
  /** By a bridge, as every loop of bridges that say so does. */
  bridge: [
    { count: 16, gapMs: 2000 },
    { count: 50, gapMs: Number.POSITIVE_INFINITY },
  ],
  /** By any other client: sensors repeat themselves too, and slower. */
  client: [{ count: 30, gapMs: 200 }],
} as const;

/** How long a topic is not asked about again after no probe came back: ever longer. */
const PEACE_MS = {
  bridge: [30_000, 600_000, 3_600_000],
  client: [3_600_000, 86_400_000],
} as const;

/** So much faster than when it was last asked about, it is another matter. */
const FASTER = 5;

/** How long what comes by a bridge is held back while a probe is under way. */
const MIN_HOLD_MS = 1000;
const MAX_HOLD_MS = 5000;

/** How often a question is asked anew because another gateway's went first. */
const MAX_ROUNDS = 8;

/** Questions in a row that met with silence, after which the rule is suspected. */
const SILENCES = 2;

/** Held by one bridge in all; what comes above that is not held. */
const MAX_HELD = 2000;
const MAX_HELD_BYTES = 8 * 1024 * 1024;

/** Questions a rule may ask at once, and after how long another one. */
const QUESTIONS = 10;
const QUESTION_MS = 15_000;

/** Probes remembered: their return shows a loop however late it is. */
const MAX_SENT = 1024;

/** Probes of others remembered, and how often a rule passes each of them on. */
const MAX_PASSED = 4096;
const MAX_PASSES = 12;

const MAX_PEACEFUL = 1024;

/** Returns of marked messages after which the rule is cut, within a minute. */
const MARKED_RETURNS = 20;
const MARKED_PERIOD_MS = 60_000;

type Source = keyof typeof SUSPECT;

interface Held {
  readonly rule: string;
  readonly bytes: number;
  readonly forward: Forward;
  readonly done: PromiseWithResolvers<void>;
}

interface Probe {
  readonly rule: string;
  readonly topic: string;
  /** Another gateway of the same loop asks too, and goes first. */
  isYielded: boolean;
}

/** One topic that is asked about. */
interface Question {
  readonly source: Source;
  readonly gapMs: number;
  readonly waitMs: number;
  timer: Timer;
  /** The rules that ask. */
  readonly rules: Map<string, LoopRule>;
  /** Another gateway went first; how often that was so already. */
  isYielded: boolean;
  rounds: number;
  readonly beganMs: number;
  newestMs: number;
  readonly held: Held[];
}

interface Peace {
  /** How often in a row nothing came while everything was held. */
  readonly silences: number;
  readonly untilMs: number;
  readonly times: number;
  readonly gapMs: number;
}

/**
 * Finds the rule that sends messages round and round, where nothing in the message tells: over links
 * of MQTT 3.1.1, through brokers that drop user properties, and through bridges that do not say that
 * they are one. Equal messages that keep coming are no proof: sensors repeat themselves, and two
 * applications may answer each other with the same words for hours. So a question is sent along, a
 * probe: a message with a name of its own on a topic beside the suspect one, which brokers and bridges
 * pass on as they do the suspect. Only a loop brings it back to the rule that sent it, and only then is
 * the rule cut.
 *
 * Other gateways on the way pass a probe on, once for each rule. Where several ask at once, the one
 * with the lowest epoch goes on and the others leave it the field, so that one rule is cut, not all.
 */
export class LoopBreaker {
  readonly #deps: LoopBreakerDeps;
  readonly #cfg: LoopBreakerConfig;
  readonly #epoch = randomBytes(8).toString("hex");
  readonly #copies = new CopyTable();
  readonly #questions = new Map<string, Question>();
  readonly #peace = new Map<string, Peace>();
  readonly #sent = new Map<number, Probe>();
  readonly #passed = new Map<string, number>();
  /** By rule: when its questions of late would have been asked, one after the other. */
  readonly #askedMs = new Map<string, number>();
  readonly #cut = new Set<string>();
  readonly #marked = new Map<string, { sinceMs: number; count: number }>();
  /** The arrival counted last: each rule that selects it asks about it. */
  #last: { readonly message: Message; readonly copies: Copies } | null = null;
  #heldMessages = 0;
  #heldBytes = 0;
  #probes = 0;
  #isStopped = false;

  constructor(deps: LoopBreakerDeps, cfg: LoopBreakerConfig) {
    this.#deps = deps;
    this.#cfg = cfg;
  }

  isCut(rule: string): boolean {
    return this.#cut.has(rule);
  }

  /** A message came back that says itself that it was here before. */
  returned(rule: string, topic: string): void {
    const nowMs = this.#deps.clock.monotonicMs();
    const known = this.#marked.get(rule);
    const isRecent = known !== undefined && nowMs - known.sinceMs < MARKED_PERIOD_MS;
    const count = isRecent ? known.count + 1 : 1;
    this.#marked.set(rule, { sinceMs: isRecent ? known.sinceMs : nowMs, count });
    if (count >= MARKED_RETURNS) this.#sever(rule, topic);
  }

  /**
   * Sends a message on its way now, or later, or never; what it returns is what the publisher waits
   * for. Only what comes by a bridge is ever held back, for some seconds, and with it what follows on
   * its topic.
   */
  pass(rule: LoopRule, message: Message, forward: Forward): void | Promise<void> {
    const source = sourceOf(message);
    if (source === null || this.#isStopped || !this.#cfg.isAsking) return forward();
    const { topic } = message;
    const isSuspect = this.#isSuspect(source, message);
    if (isSuspect) this.#ask(rule, source, message);
    if (this.#cut.has(rule.name)) {
      this.#deps.onDropped(rule.name);
      return;
    }
    const question = this.#questions.get(topic);
    if (question === undefined) return forward();
    const isHeld = question.held.length > 0 || (isSuspect && source === "bridge");
    return isHeld ? this.#hold(question, topic, rule.name, message, forward) : forward();
  }

  /** A probe came here, ours or another gateway's. */
  probe(rule: LoopRule, message: Message): void {
    const { topic, payload } = message;
    const name = probeName(payload);
    if (name === null || this.#cut.has(rule.name) || this.#isStopped) return;
    if (name.epoch === this.#epoch) {
      const sent = this.#sent.get(name.number);
      if (sent === undefined || sent.isYielded) return;
      if (sent.rule === rule.name) {
        this.#sever(rule.name, sent.topic);
        return;
      }
    } else if (!this.#letPass(rule.name, topic, name)) return;
    const key = `${name.epoch}.${name.number} ${rule.name}`;
    const passes = (this.#passed.get(key) ?? 0) + 1;
    if (passes > MAX_PASSES) return;
    remember(this.#passed, key, passes, MAX_PASSED);
    this.#send(rule, topic, name);
  }

  /** Lets everything go that is held. */
  stop(): void {
    this.#isStopped = true;
    for (const topic of [...this.#questions.keys()]) this.#end(topic);
  }

  #isSuspect(source: Source, message: Message): boolean {
    const nowMs = this.#deps.clock.monotonicMs();
    if (this.#last?.message !== message) {
      const copies = this.#copies.count(message.topic, message.payload, nowMs);
      this.#last = { message, copies };
    }
    const { count, gapMs } = this.#last.copies;
    if (!SUSPECT[source].some((it) => count >= it.count && gapMs <= it.gapMs)) return false;
    const peace = this.#peace.get(message.topic);
    return peace === undefined || nowMs >= peace.untilMs || gapMs * FASTER < peace.gapMs;
  }

  #ask(rule: LoopRule, source: Source, { topic }: Message): void {
    const question = this.#questions.get(topic) ?? this.#begin(rule.name, source, topic);
    if (question === null || question.rules.has(rule.name)) return;
    question.rules.set(rule.name, rule);
    this.#sendProbes(rule, topic);
  }

  #sendProbes(rule: LoopRule, topic: string): void {
    const name = { epoch: this.#epoch, number: ++this.#probes };
    remember(this.#sent, name.number, { rule: rule.name, topic, isYielded: false }, MAX_SENT);
    for (const probe of probeTopics(rule.filter, topic)) this.#send(rule, probe, name);
  }

  #begin(rule: string, source: Source, topic: string): Question | null {
    const { clock } = this.#deps;
    const nowMs = clock.monotonicMs();
    const earliestMs = nowMs - QUESTIONS * QUESTION_MS;
    const askedMs = Math.max(this.#askedMs.get(rule) ?? earliestMs, earliestMs);
    if (askedMs + QUESTION_MS > nowMs) return null;
    this.#askedMs.set(rule, askedMs + QUESTION_MS);
    const gapMs = this.#last?.copies.gapMs ?? 0;
    const waitMs = Math.min(MAX_HOLD_MS, Math.max(MIN_HOLD_MS, 4 * gapMs));
    const question: Question = {
      source,
      gapMs,
      waitMs,
      timer: clock.after(waitMs, () => this.#answer(topic)),
      rules: new Map(),
      isYielded: false,
      rounds: 1,
      beganMs: nowMs,
      newestMs: nowMs,
      held: [],
    };
    this.#questions.set(topic, question);
    return question;
  }

  /** The time is up. Who left the field to another gateway asks again: its own loop may be another. */
  #answer(topic: string): void {
    const question = this.#questions.get(topic);
    if (question === undefined) return;
    const left = [...question.rules.values()].filter((rule) => !this.#cut.has(rule.name));
    if (!question.isYielded || left.length === 0 || question.rounds >= MAX_ROUNDS) {
      this.#end(topic, this.#wasSilent(question));
      return;
    }
    question.isYielded = false;
    question.rounds += 1;
    question.timer = this.#deps.clock.after(question.waitMs, () => this.#answer(topic));
    for (const rule of left) this.#sendProbes(rule, topic);
  }

  /** Nothing came back in time: what was held goes on, in order, and the topic is left in peace. */
  #end(topic: string, wasSilent = false): void {
    const question = this.#questions.get(topic);
    if (question === undefined) return;
    this.#questions.delete(topic);
    question.timer.cancel();
    const { source, gapMs } = question;
    const { times = 0, silences: before = 0 } = this.#peace.get(topic) ?? {};
    const silences = wasSilent ? before + 1 : 0;
    const [rule] = question.rules.keys();
    if (silences === SILENCES && rule !== undefined) this.#deps.onSuspected(rule, topic);
    const steps = PEACE_MS[source];
    const peaceMs = steps[Math.min(times, steps.length - 1)] ?? 0;
    const untilMs = this.#deps.clock.monotonicMs() + peaceMs;
    remember(this.#peace, topic, { untilMs, times: times + 1, gapMs, silences }, MAX_PEACEFUL);
    for (const held of question.held.splice(0)) {
      this.#letGo(held);
      if (this.#cut.has(held.rule)) {
        this.#deps.onDropped(held.rule);
        held.done.resolve();
      } else forwarded(held).then(held.done.resolve, held.done.reject);
    }
  }

  /** What was on its way came in, and then nothing, although a publisher would have gone on. */
  #wasSilent({ rounds, held, gapMs, waitMs, beganMs, newestMs }: Question): boolean {
    const isLong = waitMs >= 4 * gapMs;
    return rounds === 1 && held.length > 0 && isLong && newestMs - beganMs < waitMs / 2;
  }

  #hold(
    question: Question,
    topic: string,
    rule: string,
    message: Message,
    forward: Forward,
  ): void | Promise<void> {
    const bytes = message.payload.length;
    if (this.#heldMessages >= MAX_HELD || this.#heldBytes + bytes > MAX_HELD_BYTES) {
      this.#end(topic);
      return forward();
    }
    const done = Promise.withResolvers<void>();
    question.held.push({ rule, bytes, forward, done });
    question.newestMs = this.#deps.clock.monotonicMs();
    this.#heldMessages += 1;
    this.#heldBytes += bytes;
    return done.promise;
  }

  #letGo({ bytes }: Held): void {
    this.#heldMessages -= 1;
    this.#heldBytes -= bytes;
  }

  /** Whether a probe of another gateway goes on; of two that ask about the same, only one does. */
  #letPass(rule: string, topic: string, name: ProbeName): boolean {
    for (const probe of this.#sent.values()) {
      if (probe.rule !== rule || probe.isYielded || !asksAbout(topic, probe.topic)) continue;
      const question = this.#questions.get(probe.topic);
      if (question === undefined) continue;
      if (name.epoch > this.#epoch) return false;
      probe.isYielded = true;
      question.isYielded = true;
    }
    return true;
  }

  #send(rule: LoopRule, topic: string, name: ProbeName): void {
    const mapped = mapProbe(rule.filter, rule.map, topic);
    if (mapped !== null) this.#deps.sendProbe(mapped, probePayload(name));
  }

  #sever(rule: string, topic: string): void {
    if (this.#cut.has(rule)) return;
    this.#cut.add(rule);
    for (const question of this.#questions.values()) {
      for (const held of question.held.splice(0)) {
        if (held.rule !== rule) {
          question.held.push(held);
          continue;
        }
        // They go nowhere; who published them need not wait.
        this.#letGo(held);
        this.#deps.onDropped(rule);
        held.done.resolve();
      }
    }
    this.#deps.onCut(rule, topic);
  }
}

/** Where a message came from, as far as a loop could have brought it; null where none could. */
function sourceOf({ origin }: Message): Source | null {
  if (origin.kind === "bridge") return "bridge";
  if (origin.kind !== "client") return null;
  return origin.isBridge === true ? "bridge" : "client";
}

/** The newest entries of a map, at most `limit`. */
function remember<K, V>(map: Map<K, V>, key: K, value: V, limit: number): void {
  map.delete(key);
  if (map.size >= limit) {
    for (const oldest of map.keys()) {
      map.delete(oldest);
      break;
    }
  }
  map.set(key, value);
}

/** Sends a message; what fails at once fails as a promise. */
function forwarded({ forward }: Held): Promise<void> {
  return (async () => forward())();
}
