export type { Step } from "./history.ts";
export type { MonitorTable } from "./journal.ts";
export type { Monitor, MonitorDeps, Rates } from "./monitor.ts";
export { createMonitor } from "./monitor.ts";
export type { Sample } from "./sample.ts";
