import { LOG_LEVELS } from "../log/index.ts";
import { topic, topicFilter } from "../mqtt/index.ts";
import { isAclTopic, isAddressBlock, isHost } from "./checks.ts";
import {
  completeTree,
  defaultsOf,
  listOf,
  type MemberFault,
  mapOf,
  objectOf,
} from "./collections.ts";
import {
  bool,
  checkedText,
  type Fault,
  type Format,
  int,
  nullable,
  oneOf,
  type SchemaTree,
  text,
  type Values,
  type ValuesOf,
} from "./format.ts";
import { key } from "./key.ts";
import { modbusMaster } from "./modbus-schema.ts";
import { serialPort } from "./serial-schema.ts";
import { parseServerUrl } from "./server-url.ts";
import {
  autoSubscriptionFaults,
  isAutoFilter,
  isLinearRegex,
  rewriteRuleFaults,
} from "./topic-rules.ts";

/** A share at which an alarm is raised or ends. */
const watermark = (percent: number, what: string) =>
  key(int(1, 100), percent, `${what}, percent.`, { reload: "live" });

const port = int(0, 65_535);
const path = text(4096, 1);
const host = checkedText(
  "host",
  'an IP address or host name ("::" = every IPv4 and IPv6 address)',
  isHost,
);
const addressBlock = checkedText(
  "address or block",
  'an IP address or a block such as "192.168.0.0/16"',
  isAddressBlock,
);
const aclTopic = checkedText(
  "ACL filter",
  'a topic filter, "@" and a literal topic, or either with ${clientid} or ${username} in it',
  isAclTopic,
);
const httpPath = checkedText("path", 'a path such as "/mqtt"', (value) =>
  /^\/[\w./~-]{0,254}$/.test(value),
);
const filter = checkedText("filter", "a valid MQTT topic filter", (value) =>
  accepts(topicFilter, value),
);
const topicName = checkedText("topic", "a topic without wildcards", (value) =>
  accepts(topic, value),
);
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
const regex = checkedText(
  "regular expression",
  "a regular expression without look-around, back references and large repetitions",
  isLinearRegex,
);
const autoFilter = checkedText(
  "filter with placeholders",
  "a topic filter when its placeholders are filled in",
  isAutoFilter,
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

const secret = text(4096);

/** The year 9999, in epoch seconds. */
const LAST_SECOND = 253_402_300_799;

const listener = (what: string, defaultPort: number, isOn: boolean) => ({
  enable: key(bool, isOn, `Accept ${what}.`),
  bind: key(host, "::", 'Address to listen on; "::" is every IPv4 and IPv6 address.'),
  port: key(port, defaultPort, "TCP port; 0 picks a free one, which the ready log line names."),
  max_connections: key(int(1, 1_000_000), 10_000, "Connections this listener holds at once."),
  max_connects_per_s: key(
    nullable(int(1, 1_000_000)),
    null,
    "New connections per second; null = no limit but those of `limits`.",
  ),
});

const webSocketListener = (what: string, defaultPort: number, isOn: boolean) => ({
  ...listener(what, defaultPort, isOn),
  path: key(httpPath, "/mqtt", "HTTP path of the WebSocket."),
});

const listenerTls = {
  key_file: key(
    nullable(path),
    null,
    "Private key (PEM) of the TLS and secure WebSocket listeners.",
  ),
  cert_file: key(nullable(path), null, "Certificate chain (PEM)."),
  ca_file: key(
    nullable(path),
    null,
    "CA certificates (PEM) that client certificates are verified with.",
  ),
  key_password: key(nullable(secret), null, "Passphrase of the private key.", {
    sensitive: true,
  }),
  verify_peer: key(
    bool,
    false,
    "Ask clients for a certificate and refuse one that does not verify.",
  ),
  fail_if_no_peer_cert: key(bool, false, "With verify_peer: refuse clients without a certificate."),
} satisfies SchemaTree;

const extraListener = objectOf("listener", {
  ...webSocketListener("its connections", 0, true),
  tls: key(
    objectOf("listener TLS", listenerTls),
    defaultsOf(listenerTls),
    "TLS of an ssl or wss listener; without cert_file the group `tls` serves it.",
  ),
} satisfies SchemaTree);

const user = objectOf("user", {
  username: key(text(1024, 1), "", "User name."),
  password: key(secret, "", "scrypt hash as `tidegate hash-password` prints it, or clear text.", {
    sensitive: true,
    hashed: true,
  }),
} satisfies SchemaTree);

const aclWho = objectOf("who", {
  ipaddr: key(nullable(addressBlock), null, "Peer address or CIDR block."),
  username: key(nullable(text()), null, 'User name; "#" is anybody.'),
  clientid: key(nullable(text()), null, 'Client id; "#" is anybody.'),
} satisfies SchemaTree);

const aclRule = objectOf("ACL rule", {
  permit: key(oneOf(["allow", "deny"]), "deny", "What the rule decides."),
  action: key(oneOf(["publish", "subscribe", "pubsub"]), "pubsub", "What the rule is about."),
  topics: key(
    listOf(aclTopic, 1000),
    [],
    "Filters; none = every topic. `@x` compares literally; ${clientid} and ${username} are replaced.",
  ),
  ipaddr: key(nullable(addressBlock), null, "Peer address or CIDR block."),
  username: key(nullable(text()), null, 'User name; "#" is anybody.'),
  clientid: key(nullable(text()), null, 'Client id; "#" is anybody.'),
  and: key(listOf(aclWho, 100), [], "All of these must fit."),
  or: key(listOf(aclWho, 100), [], "One of these must fit."),
} satisfies SchemaTree);

/** Lines of text: the line breaks and tabs that `text` refuses are part of it. */
const lines = (maxBytes: number) =>
  checkedText(
    `text of at most ${maxBytes} bytes`,
    `text of at most ${maxBytes} bytes without control characters but line breaks and tabs`,
    (value) =>
      value.isWellFormed() &&
      !/[^\P{Cc}\n\r\t]/u.test(value) &&
      Buffer.byteLength(value) <= maxBytes,
  );

const hashAlgorithm = objectOf(
  "hash algorithm",
  {
    name: key(
      oneOf(["plain", "md5", "sha", "sha256", "sha512", "bcrypt", "pbkdf2"]),
      "sha256",
      "Algorithm.",
    ),
    salt_position: key(
      nullable(oneOf(["disable", "prefix", "suffix"])),
      null,
      "Where a digest's salt goes; null = prefix. For plain, md5 and sha… only.",
    ),
    salt_rounds: key(nullable(int(4, 14)), null, "Cost of bcrypt; null = 10."),
    mac_fun: key(
      nullable(oneOf(["md5", "sha", "sha224", "sha256", "sha384", "sha512"])),
      null,
      "Digest of pbkdf2; null = sha256.",
    ),
    iterations: key(nullable(int(1, 1_000_000)), null, "Iterations of pbkdf2; null = 10000."),
    dk_length: key(
      nullable(int(1, 512)),
      null,
      "Bytes of a pbkdf2 key; null = as long as its digest.",
    ),
  } satisfies SchemaTree,
  hashAlgorithmFaults,
);

const builtInDatabase = objectOf("built-in database", {
  enable: key(bool, true, "Ask it."),
  user_id_type: key(
    oneOf(["username", "clientid"]),
    "username",
    "What its users are named by: the user name or the client id of a CONNECT.",
  ),
  password_hash_algorithm: key(
    nullable(hashAlgorithm),
    null,
    "How passwords are kept; null = scrypt, and salted SHA-256 for those that are imported.",
  ),
} satisfies SchemaTree);

const aclSource = objectOf(
  "ACL source",
  {
    type: key(oneOf(["file", "built_in_database"]), "file", "Kind of source, each once."),
    enable: key(bool, true, "Ask it."),
    rules: key(nullable(lines(32_768)), null, "Of a file: EMQX's ACL text, a rule on each line."),
    max_rules: key(
      nullable(int(1, 1000)),
      null,
      "Of the database: rules of one client or user; null = 100.",
    ),
  } satisfies SchemaTree,
  aclSourceFaults,
);

const ruleOverrides = {
  qos: key(nullable(oneOf([0, 1, 2])), null, "QoS to send with; null keeps the message's."),
  retain: key(nullable(bool), null, "Retain flag to send with; null keeps the message's."),
  prefix: key(topicPart, "", "Put before the topic, as it is."),
  suffix: key(topicPart, "", "Put after the topic, as it is."),
} as const;

const tags = listOf(text(1024, 1), 32);

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

const apiKey = objectOf("API key", {
  name: key(text(256, 1), "", "Name of the key."),
  api_key: key(text(1024, 1), "", "What is sent as the user name."),
  secret: key(secret, "", "scrypt hash, or clear text, of what is sent as the password.", {
    sensitive: true,
    hashed: true,
  }),
  role: key(
    oneOf(["administrator", "viewer", "publisher"]),
    "administrator",
    "What its holder may do.",
  ),
  enable: key(bool, true, "False refuses the key."),
  expired_at_s: key(
    nullable(int(0, LAST_SECOND)),
    null,
    "Epoch second it expires at; null = never.",
  ),
  created_at_s: key(int(0, LAST_SECOND), 0, "Epoch second it was made at."),
  desc: key(text(), "", "Description."),
} satisfies SchemaTree);

const dashboardUser = objectOf("user of the API", {
  username: key(text(100, 1), "", "User name."),
  password: key(secret, "", "scrypt hash, or clear text.", { sensitive: true, hashed: true }),
  role: key(oneOf(["administrator", "viewer"]), "administrator", "What the user may do."),
  description: key(text(), "", "Description."),
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

const bridgeMembers = {
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
  mark_messages: key(
    bool,
    true,
    "Mark messages with where they came from and their number (user properties, MQTT 5): loops end at once, and another Tidegate drops what is sent twice.",
  ),
  find_loops: key(
    bool,
    true,
    "Look for loops that no mark tells of: where equal messages keep coming, a small one is sent to a topic beside theirs, <topic>/tidegate-loop-probe for one, to see whether it returns.",
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

const bridge = objectOf("bridge", bridgeMembers, bridgeFaults);

const rewriteRule = objectOf(
  "rewrite rule",
  {
    action: key(oneOf(["publish", "subscribe", "all"]), "all", "What the rule is about."),
    source_topic: key(filter, "", "Topics the rule is for; the last rule that matches is tried."),
    re: key(regex, "", "What to find in the topic, a regular expression."),
    dest_topic: key(
      text(65_535, 1),
      "",
      "What it becomes; $1 … are groups, ${clientid} and ${username} the client's.",
    ),
  } satisfies SchemaTree,
  rewriteRuleFaults,
);

const autoSubscription = objectOf(
  "automatic subscription",
  {
    topic: key(
      autoFilter,
      "",
      "Filter; ${clientid}, ${username}, ${host} and ${port} are the client's.",
    ),
    qos: key(oneOf([0, 1, 2]), 0, "QoS."),
    rh: key(oneOf([0, 1, 2]), 0, "Retain Handling: retained messages always, once, or never."),
    rap: key(oneOf([0, 1]), 0, "Retain As Published."),
    nl: key(oneOf([0, 1]), 0, "No Local."),
  } satisfies SchemaTree,
  autoSubscriptionFaults,
);

/** Every configuration key: types, defaults, `etc/tidegate.yaml` and the option table derive from it. */
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
  listeners: {
    tcp: listener("MQTT over TCP", 1883, true),
    tls: listener("MQTT over TLS", 8883, false),
    ws: webSocketListener("MQTT over WebSocket", 8083, true),
    wss: webSocketListener("MQTT over secure WebSocket", 8084, false),
  },
  extra_listeners: key(
    mapOf(extraListener, /^(?:tcp|ssl|ws|wss):[A-Za-z0-9][\w-]{0,63}$/, 64),
    {},
    'More listeners by type and name, for example "tcp:factory".',
  ),
  tls: listenerTls,
  limits: {
    max_connections: key(int(1, 1_000_000), 10_000, "Connections of all listeners together."),
    max_connections_per_address: key(
      int(1, 1_000_000),
      500,
      "Connections from one address; loopback is exempt.",
    ),
    max_connects_per_address_per_s: key(
      int(1, 1_000_000),
      100,
      "New connections per second from one address; loopback is exempt.",
    ),
  },
  mqtt: {
    connect_timeout_s: key(
      int(1, 600),
      10,
      "Time for a CONNECT to arrive, TLS and WebSocket handshake included, seconds.",
    ),
    max_packet_size_bytes: key(int(1024, 268_435_455), 1_048_576, "Largest packet accepted.", {
      reload: "live",
    }),
    client_max_packet_size_bytes: key(
      int(1024, 268_435_455),
      1_048_576,
      "Largest packet sent to a client that names no limit.",
      { reload: "live" },
    ),
    max_topic_levels: key(int(1, 100), 64, "Levels of a topic or filter."),
    max_filters_per_subscribe: key(int(1, 10_000), 100, "Filters in one SUBSCRIBE."),
    max_subscriptions_per_client: key(int(1, 1_000_000), 1000, "Subscriptions of one client."),
    max_awaiting_rel: key(
      int(1, 65_535),
      100,
      "QoS 2 messages of one client that wait for PUBREL.",
    ),
    keepalive_multiplier: key(
      int(1000, 10_000),
      1500,
      "A client is gone after its Keep Alive times this, in per mille (1500 = 1.5).",
      { reload: "live" },
    ),
    max_inflight: key(
      int(1, 1024),
      1024,
      "QoS 1 and 2 messages on their way to one client at once, fewer where it asks for fewer.",
      { reload: "live" },
    ),
    max_queued_bytes: key(
      int(65_536, 1_099_511_627_776),
      67_108_864,
      "Topic and payload bytes queued for one session, beside msq_len.",
      { reload: "live" },
    ),
    queue_policy: key(
      oneOf(["drop_oldest", "drop_newest", "disconnect"]),
      "drop_oldest",
      "What gives way when a session's queue is full: the oldest message, the newest, or the client, which is disconnected (0x97) if it is online; every message dropped is counted.",
      { reload: "live" },
    ),
    stalled_reader_s: key(
      int(1, 3600),
      10,
      "A client that takes none of the bytes sent to it for this long is disconnected (0x97), seconds.",
      { reload: "live" },
    ),
  },
  rewrite: key(
    listOf(rewriteRule, 19),
    [],
    "Topics that are renamed on their way in; access rules see both names.",
    { reload: "live" },
  ),
  auto_subscribe: key(
    listOf(autoSubscription, 20),
    [],
    "What every client is subscribed to when it connects, whatever the access rules say.",
    { reload: "live" },
  ),
  delayed: {
    enable: key(bool, true, "Take messages to $delayed/{seconds}/{topic} and publish them later.", {
      reload: "live",
    }),
    max_messages: key(
      int(0, 10_000_000),
      0,
      "Messages that wait at once; 0 = as many as max_bytes has room for.",
      { reload: "live" },
    ),
    max_bytes: key(
      int(65_536, 1_099_511_627_776),
      67_108_864,
      "Topic and payload bytes that wait at once, and 200 for each message; they are in memory.",
      { reload: "live" },
    ),
  },
  msq_len: key(
    int(1, 1_000_000),
    2048,
    "Messages queued for one session; the oldest are dropped and counted.",
    { reload: "live" },
  ),
  retainer: {
    enable: key(
      bool,
      true,
      "Keep retained messages and send them to new subscribers; off, those kept wait.",
      { reload: "live" },
    ),
    msg_expiry_interval_s: key(
      int(0, 4_294_967_295),
      0,
      "Life of a retained message that names none, seconds; 0 = for ever.",
      { reload: "live" },
    ),
    max_payload_size_bytes: key(
      int(1, 268_435_455),
      1_048_576,
      "Larger payloads are delivered and not retained.",
      { reload: "live" },
    ),
    max_retained_messages: key(
      int(0, 100_000_000),
      250_000,
      "Topics with a retained message; at the bound new ones are delivered and not retained; 0 = as many as the store takes.",
      { reload: "live" },
    ),
    stop_publish_clear_msg: key(
      bool,
      false,
      "An empty retained message does not remove the one that is kept.",
      { reload: "live" },
    ),
  },
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
  auth: {
    allow_anonymous: key(
      bool,
      false,
      "Accept clients without a user name; a user name that is given is always verified.",
      { reload: "live" },
    ),
    users: key(listOf(user, 10_000, "username"), [], "MQTT users."),
    built_in_database: key(
      nullable(builtInDatabase),
      null,
      "A database of MQTT users, kept through /api/v5/authentication; asked after `auth.users`.",
      { reload: "live" },
    ),
  },
  acl: {
    no_match: key(oneOf(["allow", "deny"]), "allow", "Decision when no rule fits.", {
      reload: "live",
    }),
    deny_action: key(
      oneOf(["ignore", "disconnect"]),
      "ignore",
      "What happens to a client whose PUBLISH is denied.",
      { reload: "live" },
    ),
    rules: key(listOf(aclRule, 10_000), [], "Rules, the first that fits decides."),
    sources: key(
      listOf(aclSource, 2, "type"),
      [],
      "Asked in turn when none of `acl.rules` fits; kept through /api/v5/authorization/sources.",
      { reload: "live" },
    ),
    cache: {
      enable: key(bool, true, "Remember decisions; every change of a rule drops them all.", {
        reload: "live",
      }),
      max_size: key(int(1, 1024), 32, "Topics remembered for one client.", { reload: "live" }),
      ttl_s: key(int(1, 86_400), 60, "Decisions are made anew after this long, seconds.", {
        reload: "live",
      }),
      excludes: key(listOf(filter, 100), [], "Topics whose decisions are not remembered.", {
        reload: "live",
      }),
    },
  },
  sys_topics: {
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
  },
  topic_metrics: key(
    listOf(topicName, 512),
    [],
    "Topics whose messages are counted one by one, for /api/v5/mqtt/topic_metrics.",
    { reload: "live" },
  ),
  slow_subs: {
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
  },
  prometheus: {
    enable_basic_auth: key(
      bool,
      true,
      "Ask for a login (an API key, or a token) before metrics are given to Prometheus.",
      { reload: "live" },
    ),
  },
  alarm: {
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
  },
  telemetry: {
    publish_interval_s: key(
      int(0, 86_400),
      0,
      "Seconds between two messages with all device metrics on tidegate/<device>/telemetry, which bridges can forward; 0 = none.",
      { reload: "live" },
    ),
  },
  sysmon: {
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
    temperature_low_watermark_c: key(
      int(-40, 150),
      70,
      "Temperature at which that alarm ends, °C.",
      { reload: "live" },
    ),
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
  },
  update: {
    healthy_s: key(
      int(10, 600),
      300,
      "How long a new version of the appliance has to be healthy before it is kept, s; asked by the version that installs it.",
      { reload: "live" },
    ),
  },
  http: {
    enable: key(bool, true, "Serve the HTTP API."),
    bind: key(host, "::", 'Address to listen on; "::" is every IPv4 and IPv6 address.'),
    port: key(port, 8081, "TCP port where NanoMQ's clients look."),
    emqx_port: key(
      nullable(port),
      18_083,
      "TCP port where EMQX's clients look, the same application; null = off.",
    ),
    username: key(text(256, 1), "admin", "Administrator's name."),
    password: key(
      nullable(secret),
      null,
      "Administrator's password: scrypt hash or clear text; null = made at the first start.",
      { reload: "live", sensitive: true, hashed: true },
    ),
    description: key(text(), "administrator", "What EMQX's API says of the administrator.", {
      reload: "live",
    }),
    auth_type: key(oneOf(["basic", "jwt"]), "basic", "How /api/v1 and /api/v4 know their callers."),
    jwt_public_key_file: key(
      nullable(path),
      null,
      "RSA public key (PEM) of the tokens; their issuer is this file's name.",
    ),
  },
  api_key: {
    bootstrap_file: key(
      nullable(path),
      null,
      "File of API keys that are taken over at every start, one a line: key:secret or key:secret:role.",
    ),
    keys: key(
      listOf(apiKey, 1000, "name"),
      [],
      "Keys of /api/v5, beside the tokens of its users.",
      {
        reload: "live",
      },
    ),
  },
  dashboard: {
    users: key(
      listOf(dashboardUser, 1000, "username"),
      [],
      "Users of /api/v5 beside the administrator, who is http.username.",
      { reload: "live" },
    ),
    token_expired_time_s: key(
      int(60, 31_536_000),
      3600,
      "A user's token ends after this long without a request, seconds.",
    ),
    swagger_support: key(bool, true, "Serve the API's documents below /api-docs."),
  },
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
    mapOf(bridge, /^[A-Za-z0-9][\w-]{0,63}$/, 64),
    {},
    "Links to cloud brokers by name; NanoMQ's single bridge is `default`.",
    { reload: "live" },
  ),
  serial: key(
    mapOf(serialPort, /^[A-Za-z0-9][\w-]{0,63}$/, 64),
    {},
    "Serial ports by the name they have in topics and answers.",
    { reload: "live" },
  ),
  modbus: key(
    mapOf(modbusMaster, /^[A-Za-z0-9][\w-]{0,63}$/, 64),
    {},
    "Modbus lines that are polled, by name.",
    { reload: "live" },
  ),
} satisfies SchemaTree;

/** The whole configuration, validated and complete. */
export type Config = ValuesOf<typeof SCHEMA>;

/** One serial port's slice. */
export type SerialPortConfig = Config["serial"][string];

/** One Modbus line's slice. */
export type ModbusConfig = Config["modbus"][string];

/** One bridge's slice. */
export type BridgeConfig = Config["bridges"][string];

/** What is wrong with a bridge as an API gives it, whose key is `key`; empty when it is valid. */
export function bridgeValueFaults(values: Values, key: string): Fault[] {
  return bridge.faults(values, key);
}

/** A bridge's slice with the defaults filled in; `values` are valid. */
export function completeBridge(values: Values): BridgeConfig {
  return completeTree(bridgeMembers, values) as BridgeConfig;
}

const DIGEST_MEMBERS = ["salt_position"];
const MEMBERS_OF_ALGORITHM: Readonly<Record<string, readonly string[]>> = {
  bcrypt: ["salt_rounds"],
  pbkdf2: ["mac_fun", "iterations", "dk_length"],
};

/** What another algorithm would use must not be given: it would do nothing. */
function hashAlgorithmFaults(value: Values): MemberFault[] {
  const { name, ...members } = value;
  const used = MEMBERS_OF_ALGORITHM[String(name)] ?? DIGEST_MEMBERS;
  return Object.entries(members)
    .filter(([member, setting]) => setting !== null && !used.includes(member))
    .map(([member]) => ({ member, expected: `null, because ${name} has no such parameter` }));
}

function aclSourceFaults(value: Values): MemberFault[] {
  if (value["type"] === "file") {
    if (value["rules"] === null) return [{ member: "rules", expected: "the text of the rules" }];
    if (value["max_rules"] !== null) {
      return [{ member: "max_rules", expected: "null, because it is a file" }];
    }
  } else if (value["rules"] !== null) {
    return [{ member: "rules", expected: "null: the rules of the database are kept by the API" }];
  }
  return [];
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

function accepts(parse: (value: string) => unknown, value: string): boolean {
  try {
    parse(value);
    return true;
  } catch {
    return false;
  }
}

export type { Format };
