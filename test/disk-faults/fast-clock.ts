import type { Clock } from "../../src/time/index.ts";

/** A clock that runs `factor` times as fast as the machine's. */
export function fastClock(factor: number): Clock {
  const startMs = performance.now();
  const wallMs = Date.now();
  const passedMs = () => (performance.now() - startMs) * factor;
  return {
    nowMs: () => wallMs + passedMs(),
    monotonicMs: passedMs,
    after(delayMs, task) {
      const timer = setTimeout(task, delayMs / factor).unref();
      return { cancel: () => clearTimeout(timer) };
    },
    every(periodMs, task) {
      const timer = setInterval(task, periodMs / factor).unref();
      return { cancel: () => clearInterval(timer) };
    },
  };
}
