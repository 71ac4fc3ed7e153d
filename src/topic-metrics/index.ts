export type {
  TopicCount,
  TopicCounts,
  TopicMetrics,
  TopicMetricsDeps,
  TopicReport,
} from "./topic-metrics.ts";
export { createTopicMetrics } from "./topic-metrics.ts";
