import { listOf } from "./collections.ts";
import { bool, int, nullable, oneOf, type SchemaTree } from "./format.ts";
import { key } from "./key.ts";
import { topicName } from "./schema-formats.ts";

/** A share at which an alarm is raised or ends. */
const watermark = (percent: number, what: string) =>
  key(int(1, 100), percent, `${what}, percent.`, { reload: "live" });

/** What is told on `$SYS`. */
export const sysTopics = {
  msg_interval_s: key(
    int(0, 86_400),
    60,
    "Seconds between two reports of version, stats and metrics on $SYS/brokers/<node>/…; 0 = none.",
    { reload: "live" },
  ),
  heartbeat_interval_s: key(
    int(0, 86_400),
    30,
    "Seconds between two reports of uptime and datetime there; 0 = none.",
    { reload: "live" },
  ),
} satisfies SchemaTree;

/** Topics whose messages are counted. */
export const topicMetrics = key(
  listOf(topicName, 512),
  [],
  "Topics whose messages are counted one by one, for /api/v5/mqtt/topic_metrics.",
  { reload: "live" },
);

/** What a slow subscription is. */
export const slowSubs = {
  enable: key(bool, false, "Find subscriptions that are delivered slowly.", { reload: "live" }),
  threshold_ms: key(int(0, 3_600_000), 500, "A delivery that takes longer is slow, ms.", {
    reload: "live",
  }),
  expire_interval_s: key(
    int(1, 86_400),
    300,
    "A slow subscription is forgotten after this long without another slow delivery, seconds.",
    { reload: "live" },
  ),
  top_k_num: key(int(1, 1000), 10, "Slow subscriptions kept, the slowest.", { reload: "live" }),
  stats_type: key(
    oneOf(["whole", "internal", "response"]),
    "whole",
    "What is timed: from a message's arrival to its acknowledgement, to its sending, or between these two.",
    { reload: "live" },
  ),
} satisfies SchemaTree;

/** Where alarms are told, and how long they are kept. */
export const alarm = {
  actions: key(
    listOf(oneOf(["log", "publish"]), 2),
    ["log", "publish"],
    "Where an alarm is told: the log, and $SYS/brokers/<node>/alarms/activate and /deactivate.",
    { reload: "live" },
  ),
  size_limit: key(int(1, 10_000), 1000, "Alarms kept in the history.", { reload: "live" }),
  validity_period_s: key(
    int(60, 31_536_000),
    86_400,
    "How long an alarm stays in the history, seconds.",
    { reload: "live" },
  ),
} satisfies SchemaTree;

/** How often the device's metrics are published. */
export const telemetry = {
  publish_interval_s: key(
    int(0, 86_400),
    0,
    "Seconds between two messages with all device metrics on tidegate/<device>/telemetry, which bridges can forward; 0 = none.",
    { reload: "live" },
  ),
} satisfies SchemaTree;

/** From which measured value on there is an alarm. */
export const sysmon = {
  cpu_high_watermark_percent: watermark(
    80,
    "Processor load that is an alarm when it lasts a minute",
  ),
  cpu_low_watermark_percent: watermark(60, "Processor load below which that alarm ends"),
  sysmem_high_watermark_percent: watermark(70, "Used memory of the device that is an alarm"),
  procmem_high_watermark_percent: watermark(
    50,
    "Share of the device's memory the gateway uses that is an alarm",
  ),
  temperature_high_watermark_c: key(int(-40, 150), 80, "Temperature that is an alarm, °C.", {
    reload: "live",
  }),
  temperature_low_watermark_c: key(int(-40, 150), 70, "Temperature at which that alarm ends, °C.", {
    reload: "live",
  }),
  disk_high_watermark_percent: watermark(
    90,
    "Used share of the data directory's file system that is an alarm",
  ),
  store_high_watermark_percent: watermark(80, "Used share of store.max_bytes that is an alarm"),
  event_loop_lag_high_watermark_ms: key(
    int(10, 60_000),
    500,
    "Lateness of the event loop (99th percentile of 10 s) that is an alarm, ms.",
    { reload: "live" },
  ),
  write_budget_mb_per_day: key(
    int(1, 10_000_000),
    2000,
    "What the gateway may write to the card a day before it is an alarm, MB.",
    { reload: "live" },
  ),
  card_endurance_gb: key(
    nullable(int(1, 10_000_000)),
    null,
    "What the card's maker promises can be written to it, GB (1 TBW = 1000); null = 100 times its size.",
    { reload: "live" },
  ),
  card_life_low_watermark_years: key(
    int(0, 100),
    3,
    "Projected life of the card that is an alarm, years.",
    { reload: "live" },
  ),
} satisfies SchemaTree;
