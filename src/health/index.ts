export type { BridgeReport, BridgeReportDeps, ReportedBridge } from "./bridge-report.ts";
export { createBridgeReport } from "./bridge-report.ts";
export type { Health, HealthDeps, HealthStatus } from "./health.ts";
export { createHealth } from "./health.ts";
export type { Probe, ProbeDoors, ProbeTerms } from "./probe.ts";
export { createProbe, loopbackOf } from "./probe.ts";
export { notifyDescriptor, watchdogUs } from "./supervisor.ts";
