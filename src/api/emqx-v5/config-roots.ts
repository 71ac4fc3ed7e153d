import {
  type ConfigField,
  type ConfigRoot,
  fixed,
  fixedAll,
  interval,
  option,
  percent,
  seconds,
  size,
} from "./config-fields.ts";
import { ApiError } from "./kit/index.ts";

/** EMQX's log levels and ours. */
const LEVELS: Readonly<Record<string, string>> = {
  all: "trace",
  debug: "debug",
  info: "info",
  notice: "info",
  warning: "warn",
  error: "error",
  critical: "fatal",
  alert: "fatal",
  emergency: "fatal",
};

const LEVEL_SHOWN: Readonly<Record<string, string>> = {
  trace: "all",
  debug: "debug",
  info: "info",
  warn: "warning",
  error: "error",
  fatal: "critical",
};

const LOG: ConfigRoot = [
  fixed("console.enable", true),
  option(
    "console.level",
    "log.level",
    (value) => LEVEL_SHOWN[String(value)] ?? "info",
    (value) => {
      const level = LEVELS[String(value)];
      if (level !== undefined) return level;
      const words = Object.keys(LEVELS).join(", ");
      throw new ApiError(400, "BAD_REQUEST", `console.level: expected one of ${words}`);
    },
  ),
  ...fixedAll({
    "console.formatter": "json",
    "console.time_offset": "utc",
    "file.default.enable": false,
    "file.default.level": "warning",
    "file.default.formatter": "json",
    "file.default.path": "",
    "file.default.rotation_count": 10,
    "file.default.rotation_size": "50MB",
    "file.default.time_offset": "utc",
  }),
];

const ALARM: ConfigRoot = [
  option("actions", "alarm.actions"),
  option("size_limit", "alarm.size_limit"),
  seconds("validity_period", "alarm.validity_period_s"),
];

const SYSMON: ConfigRoot = [
  fixed("os.cpu_check_interval", "60s"),
  percent("os.cpu_high_watermark", "sysmon.cpu_high_watermark_percent"),
  percent("os.cpu_low_watermark", "sysmon.cpu_low_watermark_percent"),
  fixed("os.mem_check_interval", "60s"),
  percent("os.sysmem_high_watermark", "sysmon.sysmem_high_watermark_percent"),
  percent("os.procmem_high_watermark", "sysmon.procmem_high_watermark_percent"),
];

const MQTT: ConfigRoot = [
  seconds("idle_timeout", "mqtt.connect_timeout_s"),
  size("max_packet_size", "mqtt.max_packet_size_bytes"),
  option("max_topic_levels", "mqtt.max_topic_levels"),
  option("max_subscriptions", "mqtt.max_subscriptions_per_client"),
  option("max_inflight", "mqtt.max_inflight"),
  option("max_awaiting_rel", "mqtt.max_awaiting_rel"),
  option("max_mqueue_len", "msq_len"),
  option(
    "keepalive_multiplier",
    "mqtt.keepalive_multiplier",
    (value) => Number(value) / 1000,
    (value) => (typeof value === "number" ? Math.round(value * 1000) : value),
  ),
  option("retain_available", "retainer.enable"),
  ...fixedAll({
    max_clientid_len: 65_535,
    max_topic_alias: 64,
    max_qos_allowed: 2,
    wildcard_subscription: true,
    shared_subscription: true,
    shared_subscription_strategy: "round_robin",
    exclusive_subscription: false,
    ignore_loop_deliver: false,
    strict_mode: true,
    upgrade_qos: false,
    response_information: "response",
    await_rel_timeout: "infinity",
    mqueue_default_priority: "lowest",
    mqueue_priorities: "disabled",
    mqueue_store_qos0: false,
    session_expiry_interval: "infinity",
    message_expiry_interval: "infinity",
    retry_interval: "infinity",
    server_keepalive: "disabled",
    use_username_as_clientid: false,
    peer_cert_as_username: "disabled",
    peer_cert_as_clientid: "disabled",
  }),
];

/** Roots of `/configs/{root}`. */
export const ROOTS = {
  alarm: ALARM,
  broker: fixedAll({ enable_session_registry: true, shared_dispatch_ack_enabled: false }),
  dashboard: [
    option("listeners.http.bind", "http.emqx_port"),
    option("swagger_support", "http.swagger_support"),
    ...fixedAll({ token_expired_time: "60m", cors: false, default_username: "admin" }),
  ],
  file_transfer: fixedAll({ enable: false }),
  log: LOG,
  sys_topics: [
    interval("sys_msg_interval", "sys_topics.msg_interval_s"),
    interval("sys_heartbeat_interval", "sys_topics.heartbeat_interval_s"),
    ...fixedAll({
      "sys_event_messages.client_connected": true,
      "sys_event_messages.client_disconnected": true,
      "sys_event_messages.client_subscribed": false,
      "sys_event_messages.client_unsubscribed": false,
    }),
  ],
  sysmon: SYSMON,
} as const satisfies Readonly<Record<string, ConfigRoot>>;

/** Roots of `/configs/global_zone`. */
export const ZONE_ROOTS = {
  mqtt: MQTT,
  flapping_detect: fixedAll({ enable: false, window_time: "1m", max_count: 15, ban_time: "5m" }),
  force_shutdown: fixedAll({ enable: false, max_mailbox_size: 1000, max_heap_size: "32MB" }),
  force_gc: fixedAll({ enable: false, count: 16_000, bytes: "16MB" }),
  durable_sessions: fixedAll({ enable: true }),
} as const satisfies Readonly<Record<string, ConfigRoot>>;

const DELAYED: ConfigRoot = [
  option("enable", "delayed.enable"),
  option("max_delayed_messages", "delayed.max_messages"),
];

/** A root that is a list as a whole. */
const list = (path: string, key: string): ConfigField => option(path, key);

/** Every root of `/configs`; a path of "" is the whole root. */
export const ALL_ROOTS: Readonly<Record<string, ConfigRoot>> = {
  ...ROOTS,
  ...ZONE_ROOTS,
  delayed: DELAYED,
  auto_subscribe: [list("topics", "auto_subscribe")],
};
