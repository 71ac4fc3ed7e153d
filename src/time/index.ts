export type { Backoff, BackoffOptions } from "./backoff.ts";
export { createBackoff } from "./backoff.ts";
export type { Clock, Timer } from "./clock.ts";
export { systemClock } from "./clock.ts";
export { ManualClock } from "./manual-clock.ts";
export type { Stamp, Stamper, StamperDeps } from "./stamp.ts";
export { createStamper } from "./stamp.ts";
