import type { Clock, Timer } from "../time/index.ts";
import { remember } from "./remember.ts";

export interface LoopSuspectsDeps {
  readonly clock: Clock;
  onSuspected(rule: string, topic: string): void;
  /** None of the messages a rule was suspected for comes any more, or it was cut. */
  onCleared(rule: string): void;
}

/** Topics remembered. */
const MAX_TOPICS = 256;

/** A topic on which no equal messages have come for so long is beyond suspicion. */
const FORGET_MS = 60_000;

interface Suspect {
  readonly rule: string;
  seenMs: number;
}

/** The rules that may send messages round, for as long as those keep coming. */
export class LoopSuspects {
  readonly #deps: LoopSuspectsDeps;
  readonly #suspects = new Map<string, Suspect>();
  #timer: Timer | null = null;

  constructor(deps: LoopSuspectsDeps) {
    this.#deps = deps;
  }

  has(rule: string): boolean {
    return [...this.#suspects.values()].some((suspect) => suspect.rule === rule);
  }

  add(rule: string, topic: string): void {
    const { clock } = this.#deps;
    remember(this.#suspects, topic, { rule, seenMs: clock.monotonicMs() }, MAX_TOPICS);
    this.#timer ??= clock.every(FORGET_MS, () => this.#forget());
    this.#deps.onSuspected(rule, topic);
  }

  /** A message that has come often came again. */
  seen(topic: string): void {
    const suspect = this.#suspects.get(topic);
    if (suspect !== undefined) suspect.seenMs = this.#deps.clock.monotonicMs();
  }

  /** It was cut. */
  remove(rule: string): void {
    this.#clear((suspect) => suspect.rule === rule);
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  #forget(): void {
    const sinceMs = this.#deps.clock.monotonicMs() - FORGET_MS;
    this.#clear(({ seenMs }) => seenMs < sinceMs);
    if (this.#suspects.size === 0) this.stop();
  }

  #clear(test: (suspect: Suspect) => boolean): void {
    const rules = new Set<string>();
    for (const [topic, suspect] of this.#suspects) {
      if (!test(suspect)) continue;
      this.#suspects.delete(topic);
      rules.add(suspect.rule);
    }
    for (const rule of rules) if (!this.has(rule)) this.#deps.onCleared(rule);
  }
}
