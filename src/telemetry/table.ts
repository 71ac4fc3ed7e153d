import { METRICS } from "./metrics.ts";

/** The metrics as a Markdown table, for the README beside this file. */
export function renderMetricTable(): string {
  const rows = METRICS.map((metric) => [
    metric.label === null ? `\`${metric.name}\`` : `\`${metric.name}{${metric.label}}\``,
    metric.unit,
    metric.periodMs === null ? "once" : `${metric.periodMs / 1000} s`,
    metric.source,
    metric.isRaspberryPiOnly ? `${metric.doc} Raspberry Pi only.` : metric.doc,
  ]);
  const head = ["Metric", "Unit", "Period", "Source", "Meaning"];
  return [head, head.map(() => "---"), ...rows]
    .map((cells) => `| ${cells.join(" | ")} |`)
    .join("\n");
}
