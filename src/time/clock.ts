/**
 * The gateway's view of time. Deadlines, periods and back-off use `monotonicMs`, which never jumps;
 * `nowMs` is the wall clock, for stamps that leave the device (a board without a clock chip may
 * start in 1970).
 */
export interface Clock {
  /** Wall clock, milliseconds since 1970-01-01T00:00:00Z. */
  nowMs(): number;
  /** Milliseconds since an arbitrary start, never decreasing. */
  monotonicMs(): number;
  /** Calls `task` once after `delayMs`; does not keep the process alive. */
  after(delayMs: number, task: () => void): Timer;
  /** Calls `task` every `periodMs`; does not keep the process alive. */
  every(periodMs: number, task: () => void): Timer;
}

/** A scheduled task. */
export interface Timer {
  /** Forgets the task; harmless when it has already run. */
  cancel(): void;
}

/** The clock of the machine. */
export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(delayMs, task) {
    const timer = setTimeout(task, delayMs).unref();
    return { cancel: () => clearTimeout(timer) };
  },
  every(periodMs, task) {
    const timer = setInterval(task, periodMs).unref();
    return { cancel: () => clearInterval(timer) };
  },
};
