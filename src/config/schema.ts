import { LOG_LEVELS } from "../log/index.ts";
import { acl, auth } from "./access-schema.ts";
import { apiKeys, dashboard, http, https } from "./api-schema.ts";
import { bridge } from "./bridge-schema.ts";
import { mapOf } from "./collections.ts";
import {
  bool,
  checkedText,
  int,
  nullable,
  oneOf,
  type SchemaTree,
  type ValuesOf,
} from "./format.ts";
import { key } from "./key.ts";
import { extraListeners, limits, listeners, tls } from "./listener-schema.ts";
import { modbusMaster } from "./modbus-schema.ts";
import {
  alarm,
  slowSubs,
  sysmon,
  sysTopics,
  telemetry,
  topicMetrics,
} from "./monitoring-schema.ts";
import { autoSubscribe, delayed, mqtt, retainer, rewrite } from "./mqtt-schema.ts";
import { serialPort } from "./serial-schema.ts";

/** What bridges, ports and lines may be called. */
const NAME = /^[A-Za-z0-9][\w-]{0,63}$/;

/**
 * Every configuration key: types, defaults, `etc/tidegate.yaml` and the option table derive from it.
 * The larger sections are in `…-schema.ts`.
 */
export const SCHEMA = {
  node_name: key(
    checkedText("node name", 'name@host, such as "tidegate@127.0.0.1"', (value) =>
      /^[\w-]{1,64}@[\w.:-]{1,255}$/.test(value),
    ),
    "tidegate@127.0.0.1",
    "What the gateway calls itself where EMQX's API names a node.",
  ),
  provisioning: {
    serial: key(
      nullable(int(0, 9_007_199_254_740_991)),
      null,
      "Counts the versions of a file for the boot partition: one with a lower number than the file in force is refused there as older.",
    ),
  },
  log: {
    level: key(oneOf(LOG_LEVELS), "info", "Least important log lines that are written."),
  },
  listeners,
  extra_listeners: extraListeners,
  tls,
  limits,
  mqtt,
  rewrite,
  auto_subscribe: autoSubscribe,
  delayed,
  msq_len: key(
    int(1, 1_000_000),
    2048,
    "Messages queued for one session; the oldest are dropped and counted.",
    { reload: "live" },
  ),
  retainer,
  store: {
    durability: key(
      oneOf(["fsync", "os"]),
      "fsync",
      "When a commit counts: fsync = it is on the disk; os = the system has it, for hardware with power backup.",
    ),
    commit_delay_ms: key(
      int(0, 1000),
      20,
      "Longest time a message waits to be committed together with others while everybody it is for is online, ms.",
    ),
    max_commits_per_s: key(
      int(0, 1000),
      0,
      "Commits a second while few messages come and somebody they are for is away: spares the card, and a publisher waits longer for its acknowledgement (10 = up to 0.1 s each); 0 = no bound.",
    ),
    max_bytes: key(
      int(16_777_216, 1_099_511_627_776),
      2_147_483_648,
      "Bytes of files the store may have; at the bound QoS 1 and 2 are refused.",
    ),
    free_reserve_bytes: key(
      int(0, 1_099_511_627_776),
      67_108_864,
      "Bytes of its volume the store leaves free, at most 5 % of the volume.",
    ),
  },
  auth,
  acl,
  sys_topics: sysTopics,
  topic_metrics: topicMetrics,
  slow_subs: slowSubs,
  prometheus: {
    enable_basic_auth: key(
      bool,
      true,
      "Ask for a login (an API key, or a token) before metrics are given to Prometheus.",
      { reload: "live" },
    ),
  },
  alarm,
  telemetry,
  sysmon,
  update: {
    healthy_s: key(
      int(10, 600),
      300,
      "How long a new version of the appliance has to be healthy before it is kept, s; asked by the version that installs it.",
      { reload: "live" },
    ),
  },
  http,
  https,
  api_key: apiKeys,
  dashboard,
  nanomq: {
    num_taskq_thread: key(int(0, 255), 4, "Kept for NanoMQ's tools; Tidegate has one event loop."),
    max_taskq_thread: key(int(0, 255), 4, "Kept for NanoMQ's tools; Tidegate has one event loop."),
    parallel: key(
      int(1, 100_000),
      100,
      "Kept for NanoMQ's tools; messages are routed one by one, and none waits for another.",
    ),
    property_size: key(
      int(1, 65_535),
      32,
      "Kept for NanoMQ's tools; NanoMQ does not use it either.",
      { reload: "live" },
    ),
    qos_duration: key(
      int(1, 65_535),
      10,
      "Kept for NanoMQ's tools, seconds; MQTT allows no timed resend.",
      { reload: "live" },
    ),
    daemon: key(bool, false, "Kept for NanoMQ's tools; the service manager decides."),
  },
  bridges: key(
    mapOf(bridge, NAME, 64),
    {},
    "Links to cloud brokers by name; NanoMQ's single bridge is `default`.",
    { reload: "live" },
  ),
  serial: key(
    mapOf(serialPort, NAME, 64),
    {},
    "Serial ports by the name they have in topics and answers.",
    { reload: "live" },
  ),
  modbus: key(mapOf(modbusMaster, NAME, 64), {}, "Modbus lines that are polled, by name.", {
    reload: "live",
  }),
} satisfies SchemaTree;

/** The whole configuration, validated and complete. */
export type Config = ValuesOf<typeof SCHEMA>;

/** One serial port's slice. */
export type SerialPortConfig = Config["serial"][string];

/** One Modbus line's slice. */
export type ModbusConfig = Config["modbus"][string];
