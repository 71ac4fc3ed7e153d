/** One alarm as the APIs show it. */
export interface AlarmView {
  readonly name: string;
  readonly message: string;
  readonly details: Readonly<Record<string, number | string>>;
  /** Wall clock, ms since 1970; null while the alarm is active. */
  readonly activatedAtMs: number;
  readonly deactivatedAtMs: number | null;
  readonly durationMs: number;
}

/** What is wrong now, and what was; both newest first. */
export interface AlarmsService {
  active(): readonly AlarmView[];
  history(): readonly AlarmView[];
  clearHistory(): void;
  /** Ends an alarm at somebody's wish; false when it is not active. */
  forceClear(name: string): boolean;
}
