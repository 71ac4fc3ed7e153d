import type { AlarmBell } from "./certificates.ts";

/** Per cent of a bound at which the alarm is raised, and raised anew. */
const STEPS = [50, 80, 95] as const;

/** Per cent below a step at which it counts as left: a depth that sways does not ring each time. */
const HYSTERESIS = 5;

/** Says in time that an outbox fills up. */
export class OutboxAlarm {
  readonly #alarms: AlarmBell | undefined;
  readonly #bridge: string;
  #step = 0;

  constructor(alarms: AlarmBell | undefined, bridge: string) {
    this.#alarms = alarms;
    this.#bridge = bridge;
  }

  look(percent: number, fullInS: number | null): void {
    const reached = STEPS.findLast((it) => percent >= it) ?? 0;
    const kept = this.#step > 0 && percent >= this.#step - HYSTERESIS ? this.#step : 0;
    const step = Math.max(reached, kept);
    if (step === this.#step) return;
    if (this.#step > 0) this.#alarms?.clear(this.#name);
    this.#step = step;
    if (step === 0) return;
    const soon = fullInS === null ? "" : `, full in ${inWords(fullInS)} at this rate`;
    this.#alarms?.raise(
      this.#name,
      `the outbox of bridge ${this.#bridge} is ${step} % full${soon}`,
      { bridge: this.#bridge, percent: step, ...(fullInS !== null && { full_in_s: fullInS }) },
    );
  }

  clear(): void {
    if (this.#step > 0) this.#alarms?.clear(this.#name);
    this.#step = 0;
  }

  get #name(): string {
    return `bridge_outbox_${this.#bridge}`;
  }
}

/** A span for people: `31 h`, `12 min`, `40 s`. */
function inWords(seconds: number): string {
  if (seconds >= 7200) return `${Math.round(seconds / 3600)} h`;
  return seconds >= 120 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds)} s`;
}
