import type { Message, Unsubscribe } from "../mqtt/index.ts";
import type { Clock, Timer } from "../time/index.ts";
import type { Released } from "./held-messages.ts";
import { Strays } from "./loop-strays.ts";
import { Witness } from "./loop-witness.ts";

/**
 * How it ended: somebody publishes by himself; messages came back each time, but also each time after
 * somebody here could have been told; or what was let go did not come back.
 */
export type Verdict = "publisher" | "unclear" | "silence";

export interface LoopTrialDeps {
  readonly clock: Clock;
  /** In [0, 1). */
  random(): number;
  /** Sends the eldest of the messages that are held and no other; null when none is. */
  releaseOne(): Released | null;
  /** Hears every message of the broker. */
  watch(hear: (message: Message) => void): Unsubscribe;
  /** A rule goes round. The trial goes on for others that send the same. */
  onProven(rule: string): void;
  /** Nothing is held back any more. */
  onEnd(verdict: Verdict): void;
}

export interface LoopTrialConfig {
  readonly topic: string;
  /** The sender that brings the copies. */
  readonly returner: number;
  /** Between equal messages while nothing was held. */
  readonly gapMs: number;
}

/** So often a message of the rule must come back. */
const RETURNS = 6;

/** Windows in which a bridge told something of one topic, after which it is taken for an answer. */
const TELLING_WINDOWS = 3;

/** After so many, what comes while everything is held is put up with. */
const PATIENT_RETURNS = 2;

/** With other topics in between it may take longer; not for ever. */
const MAX_RETURNS = 12;

/** How long everything is held before one message is let go. */
const MIN_HOLD_MS = 300;
const MAX_HOLD_MS = 1300;

/**
 * On top of that, three times what a publisher at the pace seen would take: one who publishes at random
 * is silent for so long once in 20 times, and not five times in a row.
 */
const GAPS = 3;

/**
 * How long one that was let go may take: other gateways on the way may hold it as well. Two that wait
 * for each other do not give up at the same time; and the nearer it is to the proof, the longer it is
 * worth to wait.
 */
const MIN_RETURN_MS = 2500;
const MAX_RETURN_MS = 4500;
const MORE_PER_RETURN_MS = 1500;

/** The first one has that long: mostly it shows a publisher that waits for its acknowledgement. */
const FIRST_GAPS = 4;
const MIN_FIRST_MS = 300;
const MAX_FIRST_MS = 2000;

/**
 * Proves by timing that a rule goes round, where no probe can show it. While everything of the topic is
 * held for a random time, nothing may come by the returner; then one message is let go, without its
 * acknowledgement, and that very one must come back. A publisher with a pace of its own goes on during
 * the hold; one that waits for each acknowledgement has none yet; and of one that waits for an answer
 * the {@link Witness} hears. All of that several times in a row.
 */
export class LoopTrial {
  readonly #deps: LoopTrialDeps;
  readonly #cfg: LoopTrialConfig;
  readonly #witness: Witness;
  readonly #unsubscribe: Unsubscribe;
  readonly #returns = new Map<string, number>();
  #count = 0;
  readonly #strays: Strays;
  #released: Released | null = null;
  #timer: Timer | null = null;
  #isOver = false;

  /** Everything of the topic is held already, and nothing comes any more. */
  constructor(deps: LoopTrialDeps, cfg: LoopTrialConfig) {
    this.#deps = deps;
    this.#cfg = cfg;
    this.#witness = new Witness(cfg.topic, cfg.returner);
    this.#strays = new Strays(cfg.gapMs);
    this.#unsubscribe = deps.watch((message) => this.#witness.hear(message));
  }

  /** Lets the first one go. */
  start(): void {
    this.#release();
  }

  /**
   * A message of the topic came, and will be held; at most once each. Whether one is to be let go for it:
   * another gateway that tries as well waits for it, and holds what this one waits for.
   */
  arrived(sender: number, print: number): boolean {
    if (this.#isOver || sender !== this.#cfg.returner) return false;
    const released = this.#released;
    if (released?.print !== print) {
      this.#stray();
      return released !== null;
    }
    this.#timer?.cancel();
    this.#released = null;
    this.#strays.forget();
    this.#witness.close();
    released.acknowledge();
    this.#timer = this.#hold();
    this.#judge(released.rule);
    return false;
  }

  /** Ends it without a verdict. */
  stop(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#timer?.cancel();
    this.#unsubscribe();
    this.#released?.acknowledge();
  }

  #stray(): void {
    // Before two have come back, it need not be another gateway, and the publisher's window fills.
    const isEarly = this.#released === null && this.#count < PATIENT_RETURNS;
    if (this.#strays.add(this.#deps.clock.monotonicMs()) || isEarly) {
      this.#end("publisher");
    } else if (this.#released === null) {
      this.#timer?.cancel();
      this.#timer = this.#hold();
    }
  }

  #judge(rule: string): void {
    const returns = (this.#returns.get(rule) ?? 0) + 1;
    this.#returns.set(rule, returns);
    this.#count += 1;
    const { windows, isClear, isToldFromAfar } = this.#witness;
    if (returns >= RETURNS && isClear) this.#deps.onProven(rule);
    else if (windows >= TELLING_WINDOWS && isToldFromAfar) this.#end("unclear");
    else if (returns >= MAX_RETURNS) this.#end("unclear");
  }

  #hold(): Timer {
    const { clock, random } = this.#deps;
    const holdMs = MIN_HOLD_MS + random() * (MAX_HOLD_MS - MIN_HOLD_MS);
    return clock.after(GAPS * this.#cfg.gapMs + holdMs, () => this.#release());
  }

  #release(): void {
    this.#witness.open();
    // The first one did not come back: whoever published it waits for something else.
    const verdict = this.#count === 0 ? "publisher" : "silence";
    this.#timer = this.#deps.clock.after(this.#waitMs(), () => this.#end(verdict));
    this.#released = this.#deps.releaseOne();
    if (this.#released === null) this.#end("silence");
  }

  #waitMs(): number {
    if (this.#count === 0) {
      return Math.min(MAX_FIRST_MS, Math.max(MIN_FIRST_MS, FIRST_GAPS * this.#cfg.gapMs));
    }
    const randomMs = this.#deps.random() * (MAX_RETURN_MS - MIN_RETURN_MS);
    return MIN_RETURN_MS + randomMs + MORE_PER_RETURN_MS * this.#witness.windows;
  }

  #end(verdict: Verdict): void {
    if (this.#isOver) return;
    this.stop();
    this.#deps.onEnd(verdict);
  }
}
