import { listOf, objectOf } from "./collections.ts";
import { bool, checkedText, int, oneOf, type SchemaTree, text } from "./format.ts";
import { key } from "./key.ts";
import { filter } from "./schema-formats.ts";
import {
  autoSubscriptionFaults,
  isAutoFilter,
  isLinearRegex,
  rewriteRuleFaults,
} from "./topic-rules.ts";

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

/** Bounds on what one client may do. */
export const mqtt = {
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
  max_awaiting_rel: key(int(1, 65_535), 100, "QoS 2 messages of one client that wait for PUBREL."),
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
} satisfies SchemaTree;

/** Topics that get another name. */
export const rewrite = key(
  listOf(rewriteRule, 19),
  [],
  "Topics that are renamed on their way in; access rules see both names.",
  { reload: "live" },
);

/** Subscriptions that nobody asks for. */
export const autoSubscribe = key(
  listOf(autoSubscription, 20),
  [],
  "What every client is subscribed to when it connects, whatever the access rules say.",
  { reload: "live" },
);

/** Messages that are published later. */
export const delayed = {
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
} satisfies SchemaTree;

/** Retained messages. */
export const retainer = {
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
} satisfies SchemaTree;
