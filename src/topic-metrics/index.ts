export type {
  TopicCount,
  TopicCounts,
  TopicMetrics,
  TopicMetricsDeps,
  TopicReport,
} from "./topic-metrics.ts";
export { createTopicMetrics, TOPIC_COUNTS } from "./topic-metrics.ts";
