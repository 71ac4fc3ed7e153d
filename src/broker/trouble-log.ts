import type { Log } from "../log/index.ts";
import type { Clock } from "../time/index.ts";

const PERIOD_MS = 60_000;
/** Kinds told apart; what a hostile client makes up beyond that is counted together. */
const MAX_KINDS = 64;

/**
 * Trouble that clients cause, kept from filling the log: the first of a kind is a line, the rest of
 * its minute is one more.
 */
export class TroubleLog {
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #repeats = new Map<string, number>();

  constructor(log: Log, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
  }

  report(kind: string, fields: Readonly<Record<string, unknown>>): void {
    const known = this.#repeats.has(kind) || this.#repeats.size < MAX_KINDS ? kind : "other";
    const repeats = this.#repeats.get(known);
    if (repeats !== undefined) {
      this.#repeats.set(known, repeats + 1);
      return;
    }
    this.#repeats.set(known, 0);
    this.#log.warn({ ...fields, reason: kind }, "client trouble");
    this.#clock.after(PERIOD_MS, () => this.#sumUp(known));
  }

  #sumUp(kind: string): void {
    const repeats = this.#repeats.get(kind) ?? 0;
    this.#repeats.delete(kind);
    if (repeats > 0) this.#log.warn({ reason: kind, repeats }, "client trouble, repeated");
  }
}
