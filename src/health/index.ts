export type { Health, HealthDeps, HealthStatus } from "./health.ts";
export { createHealth } from "./health.ts";
export { notifyDescriptor, watchdogUs } from "./supervisor.ts";
