export type { Metric, MetricValue, Unit } from "./metric.ts";
export { METRICS } from "./metrics.ts";
export { renderMetricTable } from "./table.ts";
export type { Telemetry, TelemetryConfig, TelemetryDeps } from "./telemetry.ts";
export { createTelemetry } from "./telemetry.ts";
