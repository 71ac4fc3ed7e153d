import { topic, topicFilter } from "../mqtt/index.ts";
import { completeTree, defaultsOf, listOf, type MemberFault, objectOf } from "./collections.ts";
import {
  bool,
  checkedText,
  type Fault,
  int,
  nullable,
  oneOf,
  type SchemaTree,
  text,
  type Values,
  type ValuesOf,
} from "./format.ts";
import { key } from "./key.ts";
import { accepts, filter, host, path, secret, topicName } from "./schema-formats.ts";
import { parseServerUrl } from "./server-url.ts";

const topicPart = checkedText(
  "topic part",
  "text without + and #",
  (value) => value === "" || accepts(topic, value),
);

const ruleTarget = checkedText(
  "topic or filter",
  "a topic, a filter, or nothing to keep the original topic",
  (value) => value === "" || accepts(topicFilter, value),
);

const serverUrl = checkedText(
  "server URL",
  "scheme://host:port with the scheme mqtt, mqtts, ws, wss, tcp, ssl, mqtt-tcp or tls+mqtt-tcp",
  (value) => parseServerUrl(value) !== null,
);

const ruleName = checkedText(
  "rule name",
  "a letter or digit, then letters, digits, _ and -",
  (value) => /^[0-9A-Za-z][0-9A-Za-z_-]{0,253}$/.test(value),
);

const tags = listOf(text(1024, 1), 32);

const ruleOverrides = {
  qos: key(nullable(oneOf([0, 1, 2])), null, "QoS to send with; null keeps the message's."),
  retain: key(nullable(bool), null, "Retain flag to send with; null keeps the message's."),
  prefix: key(topicPart, "", "Put before the topic, as it is."),
  suffix: key(topicPart, "", "Put after the topic, as it is."),
} as const;

const ruleIdentity = {
  name: key(
    nullable(ruleName),
    null,
    "Name of the rule in the API and in alarms; null = the bridge's name, the direction and the rule's place.",
  ),
  enable: key(bool, true, "Use the rule."),
  description: key(text(1024), "", "For people."),
  tags: key(tags, [], "For people: words to find it by."),
} as const;

const forward = objectOf("forward rule", {
  ...ruleIdentity,
  local_topic: key(filter, "", "Local filter to forward."),
  remote_topic: key(
    ruleTarget,
    "",
    "Topic at the cloud; empty keeps the local topic; wildcards keep levels.",
  ),
  ...ruleOverrides,
} satisfies SchemaTree);

const subscription = objectOf("subscription rule", {
  ...ruleIdentity,
  remote_topic: key(filter, "", "Filter to subscribe to at the cloud."),
  local_topic: key(
    ruleTarget,
    "",
    "Topic here; empty keeps the remote topic; wildcards keep levels.",
  ),
  ...ruleOverrides,
  qos: key(oneOf([0, 1, 2]), 1, "QoS to subscribe with."),
} satisfies SchemaTree);

const bridgeTls = {
  verify: key(bool, true, "Verify the server's certificate and name."),
  ca_file: key(nullable(path), null, "CA certificates (PEM); null = the system's."),
  cert_file: key(nullable(path), null, "Client certificate (PEM)."),
  key_file: key(nullable(path), null, "Client key (PEM)."),
  key_password: key(nullable(secret), null, "Passphrase of the key.", { sensitive: true }),
  server_name: key(nullable(host), null, "Name to ask for (SNI) and verify; null = the host."),
  alpn: key(
    listOf(text(255, 1), 8),
    [],
    'Protocols to offer (ALPN), for example "x-amzn-mqtt-ca" where MQTT shares port 443.',
  ),
} satisfies SchemaTree;

/** What a bridge is set by. */
export const bridgeMembers = {
  enable: key(bool, true, "Keep the link up."),
  description: key(text(1024), "", "For people."),
  tags: key(tags, [], "For people: words to find it by."),
  server: key(
    nullable(serverUrl),
    null,
    "Cloud broker, for example mqtts://broker.example:8883; NanoMQ's schemes are understood.",
  ),
  servers: key(
    listOf(serverUrl, 8),
    [],
    "Brokers to turn to, in this order, while the one before cannot be reached.",
  ),
  failback_s: key(
    int(0, 604_800),
    300,
    "Time on one of `servers` after which `server` is tried again, seconds; 0 = stay.",
  ),
  connect_timeout_s: key(
    int(1, 600),
    30,
    "Time to connect, from the name look-up to the CONNACK, seconds.",
  ),
  proto_ver: key(oneOf([3, 4, 5]), 4, "MQTT version of the link: 3 = 3.1, 4 = 3.1.1, 5 = 5.0."),
  clientid: key(
    nullable(text(65_535, 1)),
    null,
    "Client id at the cloud; null = made once for this device.",
  ),
  clientid_prefix: key(
    nullable(text(1024, 1)),
    null,
    "Put before the client id that is made where none is given.",
  ),
  bridge_bit: key(
    bool,
    true,
    "Announce itself as a bridge (MQTT 3.1 and 3.1.1), so that the cloud sends nothing back that came from here.",
  ),
  clean_start: key(
    bool,
    false,
    "Start without the session the cloud keeps; false receives what was missed.",
  ),
  keepalive_s: key(int(0, 65_535), 60, "Keep Alive, seconds; 0 = off."),
  username: key(nullable(text()), null, "User name at the cloud."),
  password: key(nullable(secret), null, "Password at the cloud.", { sensitive: true }),
  max_inflight: key(int(1, 65_535), 32, "QoS 1 and 2 messages on their way to the cloud at once."),
  ack_timeout_s: key(
    int(60, 86_400),
    300,
    "Silence of the cloud about messages on their way after which it is connected anew and gets them again, seconds; never less than twice the Keep Alive.",
  ),
  commit_patience_ms: key(
    int(0, 1000),
    200,
    "Longest time a QoS 1 message waits for the cloud's acknowledgement before it is written to the disk, ms, while those come sooner: spares the card, and the publisher's own acknowledgement waits as long; 0 = store.commit_delay_ms.",
  ),
  mark_messages: key(
    bool,
    true,
    "Mark messages with where they came from and their number (user properties, MQTT 5): loops end at once, and another Tidegate drops what is sent twice.",
  ),
  find_loops: key(
    bool,
    true,
    "Look for loops that no mark tells of: where equal messages keep coming, a small one is sent to a topic beside theirs, <topic>/tidegate-loop-probe for one, to see whether it returns. Where it does not, and what one client has published comes by another again and again, messages of that topic are held for some seconds and let go one by one.",
  ),
  drain_max_messages_per_s: key(
    int(0, 1_000_000),
    0,
    "Most QoS 1 and 2 messages per second sent to the cloud, so that a backlog does not swamp it; 0 = no limit.",
  ),
  max_packet_size_bytes: key(
    int(1024, 268_435_455),
    1_048_576,
    "Largest packet taken from the cloud; larger messages are dropped and counted.",
  ),
  backoff_min_s: key(int(1, 3600), 1, "First delay before dialling again, seconds."),
  backoff_max_s: key(int(1, 3600), 120, "Longest delay before dialling again, seconds."),
  outbox_max_messages: key(
    int(1, 10_000_000),
    1_000_000,
    "Messages kept on the disk while the cloud is away; see outbox_policy for those beyond.",
  ),
  outbox_max_bytes: key(
    int(65_536, 1_099_511_627_776),
    536_870_912,
    "Bytes of topic and payload kept while the cloud is away.",
  ),
  outbox_max_age_s: key(
    int(0, 3_153_600_000),
    0,
    "Messages that wait longer for the cloud are dropped, seconds; 0 = never.",
  ),
  outbox_policy: key(
    oneOf(["drop_oldest", "drop_newest", "keep_last_per_topic"]),
    "drop_oldest",
    "What a full outbox gives up; keep_last_per_topic spares the last message of each topic longest.",
  ),
  store_qos0: key(
    bool,
    true,
    "Keep QoS 0 messages too while the cloud is away; otherwise they are dropped.",
  ),
  gap_topic: key(
    nullable(topicName),
    "tidegate/gap",
    'Topic at the cloud for reports of what was dropped, {"device", "bridge", "gaps": [{"topic", "from", "to", "count"}]}; null = none.',
  ),
  tls: key(
    objectOf("bridge TLS", bridgeTls),
    defaultsOf(bridgeTls),
    "TLS towards the cloud, used by mqtts, ssl, wss and tls+mqtt-tcp.",
  ),
  forwards: key(listOf(forward, 1000), [], "What goes up to the cloud."),
  subscription: key(listOf(subscription, 1000), [], "What comes down from the cloud."),
} satisfies SchemaTree;

/** One of `bridges`. */
export const bridge = objectOf("bridge", bridgeMembers, bridgeFaults);

/** One bridge's slice. */
export type BridgeConfig = ValuesOf<typeof bridgeMembers>;

/** What is wrong with a bridge as an API gives it, whose key is `key`; empty when it is valid. */
export function bridgeValueFaults(values: Values, key: string): Fault[] {
  return bridge.faults(values, key);
}

/** A bridge's slice with the defaults filled in; `values` are valid. */
export function completeBridge(values: Values): BridgeConfig {
  return completeTree(bridgeMembers, values) as BridgeConfig;
}

function bridgeFaults(value: ValuesOf<typeof bridgeMembers>): MemberFault[] {
  const faults: MemberFault[] = [];
  if (value.enable && value.server === null) {
    faults.push({ member: "server", expected: "a server, because the bridge is enabled" });
  }
  if (value.backoff_min_s > value.backoff_max_s) {
    const expected = `at most backoff_max_s, which is ${value.backoff_max_s}`;
    faults.push({ member: "backoff_min_s", expected });
  }
  if (value.server === null && value.servers.length > 0) {
    faults.push({ member: "servers", expected: "none, where there is no server to come before" });
  }
  if ((value.tls.cert_file === null) !== (value.tls.key_file === null)) {
    faults.push({ member: "tls", expected: "cert_file and key_file together, or neither" });
  }
  return faults;
}
