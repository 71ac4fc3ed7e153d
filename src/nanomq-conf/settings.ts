import {
  bytes,
  flag,
  positive,
  type Read,
  seconds,
  set,
  type Target,
  taken,
  text,
  whole,
  word,
} from "./read.ts";
import { isTree, type Source } from "./source.ts";

const KIB = 1024;
const LEVELS = ["fatal", "error", "warn", "info", "debug", "trace"];

/** NanoMQ's samples write 1250 or 1.25 where its code reads a plain multiplier; ours is per mille. */
const perMille: Read = (raw) => {
  const value = Number(raw);
  if (!Number.isFinite(value) || value <= 0) return undefined;
  return Math.round(value >= 100 ? value : value * 1000);
};

/** Canonical key, how its value is read, and NanoMQ's names for it, old ones first. */
const ROWS: readonly (readonly [string, Read, ...string[]])[] = [
  ["nanomq.daemon", flag, "daemon", "system.daemon"],
  ["nanomq.num_taskq_thread", whole, "num_taskq_thread", "system.num_taskq_thread"],
  ["nanomq.max_taskq_thread", whole, "max_taskq_thread", "system.max_taskq_thread"],
  ["nanomq.parallel", positive, "parallel", "system.parallel"],
  ["nanomq.property_size", positive, "property_size", "mqtt.property_size"],
  ["nanomq.qos_duration", seconds, "qos_duration", "mqtt.retry_interval"],
  ["msq_len", positive, "msq_len", "mqtt.max_mqueue_len"],
  ["mqtt.keepalive_multiplier", perMille, "keepalive_backoff", "mqtt.keepalive_multiplier"],
  ["auth.allow_anonymous", flag, "allow_anonymous", "auth.allow_anonymous"],
  ["acl.no_match", word({ allow: "allow", deny: "deny" }), "acl_nomatch", "auth.no_match"],
  [
    "acl.deny_action",
    word({ ignore: "ignore", disconnect: "disconnect" }),
    "acl_deny_action",
    "auth.deny_action",
  ],
  ["acl.cache.enable", flag, "enable_acl_cache", "auth.cache.enable"],
  ["acl.cache.max_size", whole, "acl_cache_max_size", "auth.cache.max_size"],
  ["acl.cache.ttl_s", seconds, "acl_cache_ttl", "auth.cache.ttl"],
  ["log.level", word(Object.fromEntries(LEVELS.map((name) => [name, name]))), "log.level"],
  ["http.enable", flag, "http_server.enable"],
  ["http.bind", text, "http_server.ip_addr"],
  ["http.port", whole, "http_server.port"],
  ["http.username", text, "http_server.username"],
  ["http.password", text, "http_server.password"],
  ["http.auth_type", word({ basic: "basic", jwt: "jwt" }), "http_server.auth_type"],
  ["http.jwt_public_key_file", text, "http_server.jwt.public.keyfile"],
];

/** Everything that is one value there and one here, users, and access rules. */
export function readSettings(source: Source, target: Target): void {
  for (const [key, read, ...names] of ROWS) set(target, key, taken(source, read, ...names));
  // Numbers are KiB in the old files, bytes in HOCON.
  const size = bytes(source.isHocon ? 1 : KIB);
  const largest = taken(source, size, "max_packet_size", "mqtt.max_packet_size");
  set(target, "mqtt.max_packet_size_bytes", largest);
  const client = taken(source, size, "client_max_packet_size");
  set(target, "mqtt.client_max_packet_size_bytes", client ?? largest);
  readUsers(source, target);
  readRules(source, target);
  if (source.has("http_server.password")) {
    source.note("http_server.password", "taken as it stands; whoever has that file knows it");
  }
}

function readUsers(source: Source, target: Target): void {
  const users: { username: string; password: string }[] = [];
  for (const index of source.names("auth").filter((name) => /^\d+$/.test(name))) {
    const username = taken(source, text, `auth.${index}.login`);
    const password = taken(source, text, `auth.${index}.password`);
    if (typeof username === "string" && typeof password === "string") {
      users.push({ username, password });
    }
  }
  const pairs = source.take("auth.password");
  for (const [username, raw] of Object.entries(isTree(pairs) ? pairs : {})) {
    const password = text(raw);
    if (typeof password === "string") users.push({ username, password });
  }
  const isOff = taken(source, flag, "auth_enable") === false;
  if (isOff && users.length > 0) {
    source.note("auth_enable", "false: the users are left out");
  } else if (users.length > 0) {
    set(target, "auth.users", users);
  }
}

function readRules(source: Source, target: Target): void {
  const rules: Target[] = [];
  for (const index of source.names("acl.rule")) {
    const key = `acl.rule.${index}`;
    addRule(source, key, parsed(source.take(key)), rules);
  }
  const list = source.take("auth.acl.rules", "acl.rules");
  for (const [index, rule] of (Array.isArray(list) ? list : []).entries()) {
    addRule(source, `acl.rules[${index}]`, typeof rule === "string" ? parsed(rule) : rule, rules);
  }
  const isOff = taken(source, flag, "acl_enable") === false;
  if (isOff && rules.length > 0) source.note("acl_enable", "false: the rules are left out");
  else if (rules.length > 0) set(target, "acl.rules", rules);
}

function parsed(raw: unknown): unknown {
  try {
    return JSON.parse(String(raw));
  } catch {
    return undefined;
  }
}

const RULE_MEMBERS = ["permit", "action", "topics", "ipaddr", "username", "clientid", "and", "or"];

function addRule(source: Source, key: string, rule: unknown, rules: Target[]): void {
  if (!isTree(rule) || !["allow", "deny"].includes(String(rule["permit"]))) {
    source.note(key, "NanoMQ drops a rule that does not say allow or deny, left out");
    return;
  }
  // Less of who it is for would make it a rule for more people.
  const unknown = Object.keys(rule).filter((name) => !RULE_MEMBERS.includes(name));
  if (unknown.length > 0) {
    source.note(key, `${unknown.join(", ")} has no equal here, the rule is left out`);
    return;
  }
  rules.push({ ...rule });
}
