export type { Label, Metric, MetricValue, Unit } from "./metric.ts";
export { METRICS } from "./metrics.ts";
export type {
  TelemetryPublisher,
  TelemetryPublisherConfig,
  TelemetryPublisherDeps,
} from "./publisher.ts";
export { createTelemetryPublisher } from "./publisher.ts";
export type { StoreFigures, WriteFigures } from "./store.ts";
export { renderMetricTable } from "./table.ts";
export type { Telemetry, TelemetryConfig, TelemetryDeps } from "./telemetry.ts";
export { createTelemetry } from "./telemetry.ts";
