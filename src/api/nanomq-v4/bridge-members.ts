import type { BridgeConfig } from "../../config/index.ts";
import type { BridgeValues, BridgeView } from "../../services/index.ts";
import { isJsonObject, type JsonObject } from "../json.ts";
import { invalid, list, object } from "../parameters.ts";

type Forward = BridgeConfig["forwards"][number];
type Subscription = BridgeConfig["subscription"][number];
type Reader = (value: unknown, name: string, draft: Record<string, unknown>) => void;

/** How NanoMQ writes a retain override: 2 keeps the message's. */
const RETAIN_FLAG = new Map<unknown, boolean | null>([
  [0, false],
  [1, true],
  [2, null],
  [false, false],
  [true, true],
  [null, null],
]);

/** A bridge as NanoMQ's `/bridges` shows it, and `status`, which is ours. */
export function showBridge({ name, config, report }: BridgeView) {
  const { tls } = config;
  return {
    name,
    enable: config.enable,
    parallel: config.max_inflight,
    connector: {
      server: config.server ?? "",
      proto_ver: config.proto_ver,
      clientid: config.clientid,
      clean_start: config.clean_start,
      username: config.username,
      password: config.password,
      keepalive: config.keepalive_s,
    },
    hybrid_servers: config.servers,
    backoff_max: config.backoff_max_s,
    forwards: config.forwards.map(showForward),
    subscription: config.subscription.map(showSubscription),
    tls: {
      enable: isSecure(config.server),
      key_password: tls.key_password,
      keyfile: tls.key_file,
      certfile: tls.cert_file,
      cacertfile: tls.ca_file,
      verify_peer: tls.verify,
    },
    status: report,
  };
}

function showForward(rule: Forward) {
  const { local_topic, remote_topic, qos, prefix, suffix, name, enable } = rule;
  const shown = { local_topic, remote_topic, retain: showRetain(rule.retain), prefix, suffix };
  return { ...shown, ...(qos !== null && { qos }), ...identity(name, enable) };
}

function showSubscription(rule: Subscription) {
  const { local_topic, remote_topic, qos, prefix, suffix, name, enable } = rule;
  const shown = { remote_topic, local_topic, qos, retain: showRetain(rule.retain), prefix, suffix };
  return { ...shown, ...identity(name, enable) };
}

/** Ours; left out where it says nothing. */
function identity(name: string | null, enable: boolean) {
  return { ...(name !== null && { name }), ...(!enable && { enable }) };
}

function showRetain(retain: boolean | null): 0 | 1 | 2 {
  return retain === null ? 2 : retain ? 1 : 0;
}

/**
 * `stored` with the members of NanoMQ's current configuration format laid over it; what is not named
 * stays. The values themselves are checked with the bridge as a whole.
 * @throws GatewayError PARAMETER_INVALID naming the member
 */
export function readBridge(given: JsonObject, stored: BridgeConfig, at: string): BridgeValues {
  const draft: Record<string, unknown> = { ...stored };
  readAll(given, MEMBERS, at, draft);
  return draft;
}

/** One subscription of NanoMQ's format. @throws GatewayError PARAMETER_INVALID */
export function readSubscription(item: unknown, at: string): JsonObject {
  return readRule(item, at, { qos: 1 });
}

const put =
  (key: string): Reader =>
  (value, _, draft) => {
    draft[key] = value;
  };

const putText =
  (key: string): Reader =>
  (value, _, draft) => {
    draft[key] = value === "" ? null : value;
  };

const putSeconds =
  (key: string): Reader =>
  (value, name, draft) => {
    draft[key] = readSeconds(value, name);
  };

const putTls =
  (key: string): Reader =>
  (value, _, draft) => {
    const tls = isJsonObject(draft["tls"]) ? draft["tls"] : {};
    draft["tls"] = { ...tls, [key]: value === "" ? null : value };
  };

const CONNECTOR: ReadonlyMap<string, Reader> = new Map([
  ["server", putText("server")],
  ["proto_ver", put("proto_ver")],
  ["clientid", putText("clientid")],
  ["clean_start", put("clean_start")],
  ["username", putText("username")],
  ["password", putText("password")],
  ["keepalive", putSeconds("keepalive_s")],
]);

const TLS: ReadonlyMap<string, Reader> = new Map<string, Reader>([
  ["key_password", putTls("key_password")],
  ["keyfile", putTls("key_file")],
  ["certfile", putTls("cert_file")],
  ["cacertfile", putTls("ca_file")],
  ["verify_peer", putTls("verify")],
  [
    "enable",
    (value, name, draft) => {
      if (typeof value !== "boolean") throw invalid(name, value, "true or false");
      draft["server"] = withTls(draft["server"], value);
    },
  ],
]);

const inside =
  (members: ReadonlyMap<string, Reader>): Reader =>
  (value, name, draft) => {
    if (!object.is(value)) throw invalid(name, value, object.expected);
    readAll(value, members, name, draft);
  };

/** `status` comes back from those who send what they were shown, and changes nothing. */
const MEMBERS: ReadonlyMap<string, Reader> = new Map<string, Reader>([
  ...CONNECTOR,
  ["name", () => {}],
  ["status", () => {}],
  ["enable", put("enable")],
  ["parallel", put("max_inflight")],
  ["max_parallel_processes", put("max_inflight")],
  ["max_send_queue_len", put("outbox_max_messages")],
  ["backoff_max", putSeconds("backoff_max_s")],
  ["hybrid_servers", put("servers")],
  ["connector", inside(CONNECTOR)],
  ["forwards", rules("forwards", (item, at) => readRule(item, at, { qos: null }))],
  ["subscription", rules("subscription", readSubscription)],
  // Behind the server, whose scheme `enable` changes.
  ["tls", inside(TLS)],
  ["ssl", inside(TLS)],
]);

function readAll(
  given: JsonObject,
  members: ReadonlyMap<string, Reader>,
  at: string,
  draft: Record<string, unknown>,
): void {
  for (const name of Object.keys(given)) {
    if (members.has(name)) continue;
    throw invalid(`${at}.${name}`, given[name], `one of ${[...members.keys()].join(", ")}`);
  }
  for (const [name, read] of members) {
    if (Object.hasOwn(given, name)) read(given[name], `${at}.${name}`, draft);
  }
}

function rules(key: string, read: (item: unknown, at: string) => JsonObject): Reader {
  return (value, name, draft) => {
    if (!list.is(value)) throw invalid(name, value, list.expected);
    draft[key] = value.map((item, index) => read(item, `${name}[${index}]`));
  };
}

const RULE_MEMBERS = ["name", "enable", "remote_topic", "local_topic", "qos", "prefix", "suffix"];

function readRule(item: unknown, at: string, defaults: JsonObject): JsonObject {
  const given = typeof item === "string" ? { local_topic: item } : item;
  if (!isJsonObject(given)) throw invalid(at, item, "a filter or an object");
  const rule: Record<string, unknown> = { ...defaults };
  for (const [name, value] of Object.entries(given)) {
    if (name === "retain") {
      if (!RETAIN_FLAG.has(value)) throw invalid(`${at}.retain`, value, "0, 1 or 2");
      rule["retain"] = RETAIN_FLAG.get(value);
    } else if (name === "topic") {
      rule["remote_topic"] = value;
    } else if (RULE_MEMBERS.includes(name)) {
      rule[name] = value;
    } else {
      const known = ["topic", "retain", ...RULE_MEMBERS].join(", ");
      throw invalid(`${at}.${name}`, value, `one of ${known}`);
    }
  }
  return rule;
}

const UNITS = new Map([
  ["", 1],
  ["s", 1],
  ["m", 60],
  ["h", 3600],
]);

/** A number of seconds, or a duration such as `60s`. */
function readSeconds(value: unknown, name: string): unknown {
  if (typeof value !== "string") return value;
  const parts = /^(\d{1,9})([smh]?)$/.exec(value);
  if (parts === null) throw invalid(name, value, "seconds, or a duration such as 60s");
  return Number(parts[1]) * (UNITS.get(parts[2] ?? "") ?? 1);
}

const SECURE = new Map([
  ["mqtt", "mqtts"],
  ["tcp", "ssl"],
  ["mqtt-tcp", "tls+mqtt-tcp"],
  ["ws", "wss"],
]);

function isSecure(server: string | null): boolean {
  const scheme = server?.split("://")[0] ?? "";
  return [...SECURE.values()].includes(scheme);
}

/** The URL with the scheme that uses TLS, or the one that does not. */
function withTls(server: unknown, isOn: boolean): unknown {
  if (typeof server !== "string") return server;
  const [scheme = "", rest] = server.split("://");
  for (const [plain, secure] of SECURE) {
    if (scheme === plain || scheme === secure) return `${isOn ? secure : plain}://${rest}`;
  }
  return server;
}
