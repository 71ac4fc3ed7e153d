import { randomBytes } from "node:crypto";
import type { Message, Topic, Unsubscribe } from "../mqtt/index.ts";
import type { Clock, Timer } from "../time/index.ts";
import { HeldMessages, HoldBudget } from "./held-messages.ts";
import {
  asksAbout,
  mapProbe,
  type ProbeName,
  probeName,
  probePayload,
  probeTopics,
} from "./loop-probe.ts";
import { Strays } from "./loop-strays.ts";
import { LoopSuspects } from "./loop-suspects.ts";
import { type Look, type Source, Suspicion } from "./loop-suspicion.ts";
import { LoopTrial, type Verdict } from "./loop-trial.ts";
import type { TopicMapping } from "./mapping.ts";
import { remember } from "./remember.ts";

export interface LoopBreakerDeps {
  readonly clock: Clock;
  /** In [0, 1); a test passes its own. */
  readonly random?: () => number;
  /** A rule goes round in circles: it is to forward nothing more. */
  onCut(rule: string, topic: string): void;
  /**
   * Equal messages come only after one was forwarded, and neither a probe nor a trial shows more: a loop
   * of brokers that pass this one topic on, or applications that answer each other. Nothing is done
   * about it.
   */
  onSuspected(rule: string, topic: string): void;
  /** It is not suspected any more: none of those messages comes, or it was cut. */
  onCleared(rule: string): void;
  /** A message of a rule that is cut was given up. */
  onDropped(rule: string): void;
  /** Sends a probe to the cloud at once, QoS 0, and counts it nowhere; it may be lost. */
  sendProbe(topic: Topic, payload: Buffer): void;
  /** Hears every message of the broker, for as long as a trial takes. */
  watch(hear: (message: Message) => void): Unsubscribe;
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

/** How long what a bridge brings is held back while a probe is under way. */
const MIN_HOLD_MS = 1000;
const MAX_HOLD_MS = 5000;

/**
 * What comes later than that after the first one held was not under way: its publisher has a pace of its
 * own, and nothing of the topic is held any longer. With the round trip known, half as much again.
 */
const MIN_SETTLE_MS = 300;
const MAX_SETTLE_MS = 1000;

/** What comes further apart is not tried: it would have to be held for too long. */
const MAX_TRIAL_GAP_MS = 2000;

/** How often a question is asked anew because another gateway's went first. */
const MAX_ROUNDS = 8;

/** Questions in a row that met with silence, after which the rule is suspected. */
const SILENCES = 2;

/** Questions a rule may ask at once, and after how long another one. */
const QUESTIONS = 10;
const QUESTION_MS = 15_000;

/** Probes remembered: their return shows a loop however late it is. */
const MAX_SENT = 1024;

/** Probes of others remembered, and how often a rule passes each of them on. */
const MAX_PASSED = 4096;
const MAX_PASSES = 12;

/** Returns of marked messages after which the rule is cut, within a minute. */
const MARKED_RETURNS = 20;
const MARKED_PERIOD_MS = 60_000;

interface Probe {
  readonly rule: string;
  readonly topic: string;
  /** Another gateway of the same loop asks too, and goes first. */
  isYielded: boolean;
}

/** One topic that is asked about. */
interface Question {
  source: Source;
  /** Who brings the copies. */
  readonly sender: number;
  readonly gapMs: number;
  readonly waitMs: number;
  readonly settleMs: number;
  readonly strays: Strays;
  timer: Timer;
  /** The rules that ask. */
  readonly rules: Map<string, LoopRule>;
  /** Another gateway went first; how often that was so already. */
  isYielded: boolean;
  rounds: number;
  readonly beganMs: number;
  /** When the sender's newest message came. */
  newestMs: number;
  /** Nothing is held (any more). */
  isOpen: boolean;
  /** No probe has come back: what is held is let go one by one. */
  trial: LoopTrial | null;
  readonly held: HeldMessages;
}

/**
 * Finds the rule that sends messages round and round, where nothing in the message tells: over links
 * of MQTT 3.1.1, through brokers that drop user properties, and through bridges that do not say that
 * they are one. Equal messages that keep coming are no proof: sensors repeat themselves, and two
 * applications may answer each other with the same words for hours. So a question is sent along, a
 * probe: a message with a name of its own on a topic beside the suspect one, which brokers and bridges
 * pass on as they do the suspect. Only a loop brings it back to the rule that sent it, and then the rule
 * is cut.
 *
 * Where filters on the way leave one single topic, no probe comes back. What one client, or bridge, has
 * published and another brings again and again is then tried by time, see {@link LoopTrial}.
 *
 * Other gateways on the way pass a probe on, once for each rule. Where several ask at once, the one
 * with the lowest epoch goes on and the others leave it the field, so that one rule is cut, not all.
 */
export class LoopBreaker {
  readonly #deps: LoopBreakerDeps;
  readonly #cfg: LoopBreakerConfig;
  readonly #epoch = randomBytes(8).toString("hex");
  readonly #suspicion: Suspicion;
  readonly #budget = new HoldBudget();
  readonly #questions = new Map<string, Question>();
  readonly #sent = new Map<number, Probe>();
  readonly #passed = new Map<string, number>();
  /** By rule: when its questions of late would have been asked, one after the other. */
  readonly #askedMs = new Map<string, number>();
  readonly #cut = new Set<string>();
  readonly #suspects: LoopSuspects;
  readonly #marked = new Map<string, { sinceMs: number; count: number }>();
  /** The arrival that a trial was told of last: each rule that selects it comes here. */
  #tried: { readonly message: Message; readonly isPassedOn: boolean } | null = null;
  #probes = 0;
  #isStopped = false;

  constructor(deps: LoopBreakerDeps, cfg: LoopBreakerConfig) {
    this.#deps = deps;
    this.#cfg = cfg;
    this.#suspicion = new Suspicion(deps.clock);
    this.#suspects = new LoopSuspects(deps);
  }

  isCut(rule: string): boolean {
    return this.#cut.has(rule);
  }

  /** It may send messages round, which was not proven. */
  isSuspected(rule: string): boolean {
    return this.#suspects.has(rule);
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
   * for. Only what comes by a bridge, or by another than brought it first, is ever held back, for some
   * seconds, and with it what follows on its topic.
   */
  pass(rule: LoopRule, message: Message, forward: Forward): void | Promise<void> {
    if (this.#isStopped || !this.#cfg.isAsking) return forward();
    const { topic } = message;
    const look = this.#suspicion.look(message);
    const { source, isSuspect } = look;
    if (look.isFrequent) this.#suspects.seen(topic);
    if (isSuspect && source !== null) this.#ask(rule, source, look, topic);
    this.#note(look, message);
    if (this.#cut.has(rule.name)) {
      this.#deps.onDropped(rule.name);
      return;
    }
    const question = this.#questions.get(topic);
    if (question === undefined || question.isOpen) return forward();
    const { held, trial } = question;
    if (held.isEmpty && trial === null && !isSuspect) return forward();
    const bytes = message.payload.length;
    if (!this.#budget.hasRoom(bytes)) {
      this.#end(topic);
      return forward();
    }
    const done = held.add({
      rule: rule.name,
      print: look.copies.print,
      bytes,
      forward: () => (this.#cut.has(rule.name) ? this.#deps.onDropped(rule.name) : forward()),
    });
    if (this.#tried?.message === message && this.#tried.isPassedOn) held.letOneGo()?.acknowledge();
    return done;
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
    this.#suspects.stop();
    for (const topic of [...this.#questions.keys()]) this.#end(topic);
  }

  #ask(rule: LoopRule, source: Source, look: Look, topic: string): void {
    const question = this.#questions.get(topic) ?? this.#begin(rule.name, source, look, topic);
    if (question === null) return;
    const isReturner = source === "returner" && look.copies.returner === question.sender;
    if (isReturner && question.source === "bridge") question.source = source;
    if (question.rules.has(rule.name)) return;
    question.rules.set(rule.name, rule);
    this.#sendProbes(rule, topic);
  }

  /** Whether an arrival shows that its publisher goes on by himself. */
  #note({ sender, copies, isSuspect }: Look, message: Message): void {
    const question = this.#questions.get(message.topic);
    if (question === undefined || question.isOpen || sender !== question.sender) return;
    if (question.trial !== null) {
      if (this.#tried?.message === message) return;
      const isPassedOn = question.trial.arrived(sender, copies.print);
      this.#tried = { message, isPassedOn };
      return;
    }
    const nowMs = this.#deps.clock.monotonicMs();
    question.newestMs = nowMs;
    const isLate = nowMs - question.beganMs > question.settleMs;
    if (!isSuspect || !isLate || question.isYielded || question.rounds > 1) return;
    if (question.source === "returner" && !question.strays.add(nowMs)) return;
    // Should a probe come back after all, the rule is cut.
    question.isOpen = true;
    question.held.letAllGo();
  }

  #sendProbes(rule: LoopRule, topic: string): void {
    const name = { epoch: this.#epoch, number: ++this.#probes };
    remember(this.#sent, name.number, { rule: rule.name, topic, isYielded: false }, MAX_SENT);
    for (const probe of probeTopics(rule.filter, topic)) this.#send(rule, probe, name);
  }

  #begin(rule: string, source: Source, look: Look, topic: string): Question | null {
    const { clock } = this.#deps;
    const nowMs = clock.monotonicMs();
    const earliestMs = nowMs - QUESTIONS * QUESTION_MS;
    const askedMs = Math.max(this.#askedMs.get(rule) ?? earliestMs, earliestMs);
    if (askedMs + QUESTION_MS > nowMs) return null;
    this.#askedMs.set(rule, askedMs + QUESTION_MS);
    const { gapMs, returner, roundTripMs } = look.copies;
    const isReturner = source === "returner";
    const settleMs = within(MIN_SETTLE_MS, isReturner ? 1.5 * roundTripMs : 0, MAX_SETTLE_MS);
    const waitMs = isReturner
      ? Math.min(settleMs + 1.5 * gapMs, MAX_HOLD_MS)
      : within(MIN_HOLD_MS, 4 * gapMs, MAX_HOLD_MS);
    const question: Question = {
      source,
      sender: isReturner ? returner : look.sender,
      gapMs,
      waitMs,
      settleMs,
      strays: new Strays(gapMs),
      timer: clock.after(waitMs, () => this.#answer(topic)),
      rules: new Map(),
      isYielded: false,
      rounds: 1,
      beganMs: nowMs,
      newestMs: nowMs,
      isOpen: source === "client",
      trial: null,
      held: new HeldMessages(this.#budget),
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
      if (isForTrial(question)) this.#try(topic, question);
      else this.#end(topic, wasSilentIn(question));
      return;
    }
    question.isYielded = false;
    question.rounds += 1;
    const waitMs = Math.max(question.waitMs, MIN_HOLD_MS);
    question.timer = this.#deps.clock.after(waitMs, () => this.#answer(topic));
    for (const rule of left) this.#sendProbes(rule, topic);
  }

  #try(topic: string, question: Question): void {
    const { sender: returner, gapMs } = question;
    const { clock, random = Math.random } = this.#deps;
    question.trial = new LoopTrial(
      {
        clock,
        random,
        releaseOne: () => question.held.letOneGo(),
        watch: (hear) => this.#deps.watch(hear),
        onProven: (rule) => this.#proven(topic, question, rule),
        onEnd: (verdict) => this.#judge(topic, question, verdict),
      },
      { topic, returner, gapMs },
    );
    question.trial.start();
  }

  #proven(topic: string, { held }: Question, rule: string): void {
    this.#sever(rule, topic);
    if (!held.isEmpty) return;
    this.#end(topic);
    // Another rule may send the same round.
    this.#suspicion.unrest(topic);
  }

  #judge(topic: string, { rules }: Question, verdict: Verdict): void {
    this.#end(topic, verdict === "silence", verdict === "unclear");
    const [rule] = rules.keys();
    if (verdict === "unclear" && rule !== undefined) this.#suspects.add(rule, topic);
  }

  /** Nothing was found: what was held goes on, in order, and the topic is left in peace. */
  #end(topic: string, wasSilent = false, isUnclear = false): void {
    const question = this.#questions.get(topic);
    if (question === undefined) return;
    this.#questions.delete(topic);
    question.timer.cancel();
    question.trial?.stop();
    const { source, gapMs, rules } = question;
    const silences = this.#suspicion.rest(topic, { source, gapMs, wasSilent, isUnclear });
    const [rule] = rules.keys();
    if (silences === SILENCES && rule !== undefined) this.#suspects.add(rule, topic);
    question.held.letAllGo();
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
    // What is held of it goes nowhere; who published it need not wait.
    for (const { held } of this.#questions.values()) held.letGo((it) => it.rule === rule);
    this.#suspects.remove(rule);
    this.#deps.onCut(rule, topic);
  }
}

/** What was on its way came in, and then nothing, although a publisher would have gone on. */
function wasSilentIn(question: Question): boolean {
  const { rounds, gapMs, waitMs, beganMs, newestMs } = question;
  const isLong = waitMs >= 4 * gapMs;
  return rounds === 1 && isHolding(question) && isLong && newestMs - beganMs < waitMs / 2;
}

function isForTrial(question: Question): boolean {
  const { source, gapMs, isYielded } = question;
  const isFast = gapMs <= MAX_TRIAL_GAP_MS;
  return source === "returner" && isHolding(question) && isFast && !isYielded;
}

function isHolding({ isOpen, held }: Question): boolean {
  return !isOpen && !held.isEmpty;
}

function within(min: number, value: number, max: number): number {
  return Math.min(max, Math.max(min, value));
}
