import type { Log } from "../log/index.ts";
import type { Clock, Timer } from "../time/index.ts";

/** Shortest time between two log lines about refused logins. */
const INTERVAL_MS = 10_000;

export type LoginFailure = "bad_credentials" | "overloaded";

/** Counts refused logins; logs the first at once and what follows as counts per interval. */
export class FailureLog {
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #totals: Record<LoginFailure, number> = { bad_credentials: 0, overloaded: 0 };
  #logged: Readonly<Record<LoginFailure, number>> = { ...this.#totals };
  #interval: Timer | null = null;

  constructor(log: Log, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
  }

  get totals(): Readonly<Record<LoginFailure, number>> {
    return { ...this.#totals };
  }

  count(reason: LoginFailure, address: string): void {
    this.#totals[reason]++;
    if (this.#interval !== null) return;
    this.#logged = this.totals;
    this.#log.warn({ reason, address }, "login refused");
    this.#interval = this.#clock.after(INTERVAL_MS, () => this.#endInterval());
  }

  /** Logs what is not logged yet and ends the timer. */
  flush(): void {
    this.#interval?.cancel();
    this.#interval = null;
    this.#report();
  }

  #endInterval(): void {
    this.#interval = this.#report()
      ? this.#clock.after(INTERVAL_MS, () => this.#endInterval())
      : null;
  }

  #report(): boolean {
    const counts = {
      bad_credentials: this.#totals.bad_credentials - this.#logged.bad_credentials,
      overloaded: this.#totals.overloaded - this.#logged.overloaded,
    };
    if (counts.bad_credentials + counts.overloaded === 0) return false;
    this.#logged = this.totals;
    this.#log.warn({ counts }, "logins refused");
    return true;
  }
}
