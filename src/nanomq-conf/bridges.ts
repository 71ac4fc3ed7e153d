import { parseServerUrl } from "../config/index.ts";
import { bytes, flag, plainName, seconds, set, type Target, taken, text, whole } from "./read.ts";
import { isTree, Source } from "./source.ts";

/** Members of `bridges.mqtt` and `bridge.mqtt` that are no bridges. */
const RESERVED = ["cache", "nodes", "sqlite"];

/** Every bridge of every generation, by name; the one without a name is `default`, as in V1. */
export function readBridges(source: Source, target: Target): void {
  const bridges: Record<string, Target> = {};
  const add = (name: string, inner: Source, key: string) => {
    const values = readBridge(inner, key);
    bridges[nameOf(name, bridges)] = values;
  };
  const isSingle = source.has("bridge.mqtt.address") || source.has("bridge.mqtt.bridge_mode");
  if (isSingle) add("default", source, "bridge.mqtt");
  for (const root of isSingle ? ["bridges.mqtt"] : ["bridge.mqtt", "bridges.mqtt"]) {
    for (const name of source.names(root)) {
      const key = `${root}.${name}`;
      if (source.isGroup(key) && !RESERVED.includes(name)) add(name, source, key);
    }
  }
  const nodes = source.take("bridges.mqtt.nodes");
  for (const [index, node] of (Array.isArray(nodes) ? nodes : []).entries()) {
    if (!isTree(node)) continue;
    // 0.14 to 0.18: a list, and what makes the connection in a group of its own.
    const { connector, name, ...members } = node;
    const key = `nodes[${index}]`;
    const values = { ...(isTree(connector) ? connector : {}), ...members };
    const inner = new Source({ [key]: values }, true);
    add(typeof name === "string" ? name : `bridge${index + 1}`, inner, key);
    for (const left of inner.left()) inner.note(left, "not taken over");
    source.notes.push(...inner.notes.map((note) => `bridges.mqtt.${note}`));
  }
  if (Object.keys(bridges).length > 0) target["bridges"] = bridges;
}

function nameOf(name: string, others: Readonly<Record<string, unknown>>): string {
  const plain = plainName(name);
  let found = plain;
  for (let count = 2; Object.hasOwn(others, found); count++) found = `${plain}-${count}`;
  return found;
}

function readBridge(source: Source, key: string): Target {
  const target: Target = {};
  const of = (...names: readonly string[]) => names.map((name) => `${key}.${name}`);
  const isOn = taken(source, flag, ...of("bridge_mode", "enable")) !== false;
  const isTls = readTls(source, target, key);
  const server = readServer(source, key, isTls);
  set(target, "enable", isOn && server !== undefined);
  set(target, "server", server);
  readFailOver(source, target, key);
  set(target, "proto_ver", taken(source, whole, ...of("proto_ver")));
  set(target, "clientid", taken(source, text, ...of("clientid")));
  set(target, "clean_start", taken(source, flag, ...of("clean_start")));
  set(target, "username", taken(source, text, ...of("username")));
  set(target, "password", taken(source, text, ...of("password")));
  set(target, "keepalive_s", taken(source, seconds, ...of("keepalive")));
  set(target, "bridge_bit", taken(source, flag, ...of("no_local_v4")));
  set(target, "store_qos0", taken(source, flag, ...of("retry_qos0", "retry_qos_0")));
  set(target, "backoff_max_s", taken(source, seconds, ...of("backoff_max")));
  set(target, "outbox_max_messages", taken(source, whole, ...of("max_send_queue_len")));
  set(target, "max_packet_size_bytes", taken(source, bytes(1), ...of("max_packet_size")));
  const forwards = rulesAt(source, `${key}.forwards`, ["local_topic", "topic"]);
  const subscription = rulesAt(source, `${key}.subscription`, ["remote_topic", "topic"]);
  set(target, "forwards", forwards.length > 0 ? forwards : undefined);
  set(target, "subscription", subscription.length > 0 ? subscription : undefined);
  return target;
}

function readServer(source: Source, key: string, isTls: boolean): string | undefined {
  const host = taken(source, text, `${key}.host`);
  const port = taken(source, whole, `${key}.port`);
  const name = source.has(`${key}.server`) ? "server" : "address";
  const raw = taken(source, text, `${key}.address`, `${key}.server`);
  const given = raw ?? (host === undefined ? undefined : `mqtt-tcp://${host}:${port ?? 1883}`);
  if (typeof given !== "string") {
    source.note(key, "names no server, switched off");
    return undefined;
  }
  const url = given.includes("://") ? given : `mqtt-tcp://${given}`;
  if (parseServerUrl(url) === null) {
    source.note(
      `${key}.${name}`,
      `${JSON.stringify(given)} cannot be reached from here, switched off`,
    );
    return undefined;
  }
  return isTls ? url.replace(/^(mqtt-tcp|mqtt|tcp):\/\//, "tls+mqtt-tcp://") : url;
}

function readFailOver(source: Source, target: Target, key: string): void {
  const isOn = taken(source, flag, `${key}.hybrid_bridging`);
  const list = source.take(`${key}.hybrid_servers`);
  if (isOn !== true || !Array.isArray(list)) return;
  const servers = list.filter((each) => typeof each === "string" && parseServerUrl(each) !== null);
  if (servers.length < list.length)
    source.note(`${key}.hybrid_servers`, "some cannot be reached from here, left out");
  set(target, "servers", servers.slice(0, 8));
}

function readTls(source: Source, target: Target, key: string): boolean {
  const both = (name: string) => [`${key}.tls.${name}`, `${key}.ssl.${name}`];
  const isPresent = source.has(`${key}.ssl`) || source.has(`${key}.tls`);
  const isOn = taken(source, flag, ...both("enable")) ?? source.has(`${key}.ssl`);
  // NanoMQ verifies nothing unless it is told to; here the default stays, and is said.
  source.take(...both("verify_peer"));
  source.take(...both("fail_if_no_peer_cert"));
  set(target, "tls.ca_file", taken(source, text, ...both("cacertfile")));
  set(target, "tls.cert_file", taken(source, text, ...both("certfile")));
  set(target, "tls.key_file", taken(source, text, ...both("keyfile")));
  set(target, "tls.key_password", taken(source, text, ...both("key_password")));
  if (isPresent && isOn === true) {
    source.note(`${key}.tls`, "the server's certificate is verified here, which NanoMQ did not do");
  }
  return isPresent && isOn === true;
}

/** A list of filters with commas, an array of filters or rules, or rules by number. */
function rulesAt(source: Source, key: string, own: readonly string[]): Target[] {
  const numbers = source.names(key).filter((name) => /^\d+$/.test(name));
  if (numbers.length > 0) {
    return numbers.flatMap((number) => {
      const place = `${key}.${number}`;
      return ruleOf(source, place, source.take(place), own);
    });
  }
  const raw = source.take(key);
  if (typeof raw === "string") {
    const filters = raw.split(",").map((filter) => filter.trim());
    return filters
      .filter((filter) => filter !== "")
      .flatMap((filter) => ruleOf(source, key, filter, own));
  }
  if (!Array.isArray(raw)) return [];
  return raw.flatMap((rule, index) => ruleOf(source, `${key}[${index}]`, rule, own));
}

const TEXTS = ["local_topic", "remote_topic", "prefix", "suffix"];
const RETAIN = new Map<unknown, unknown>([
  ["0", false],
  ["1", true],
  ["2", undefined],
  ["false", false],
  ["true", true],
]);

/** One rule; `own` names the member that says what it is about, in new files and in old ones. */
function ruleOf(source: Source, key: string, raw: unknown, own: readonly string[]): Target[] {
  const [about = "", old = ""] = own;
  if (typeof raw === "string") return [{ [about]: raw }];
  if (!isTree(raw)) return [];
  const rule: Target = {};
  for (const [name, value] of Object.entries(raw)) {
    if (name === old) rule[about] = text(value);
    else if (TEXTS.includes(name)) rule[name] = text(value) ?? "";
    else if (name === "qos") set(rule, "qos", whole(value));
    else if (name === "retain") set(rule, "retain", RETAIN.get(String(value)));
    else source.note(`${key}.${name}`, "not taken over");
  }
  if (typeof rule[about] !== "string" || rule[about] === "") {
    source.note(key, `names no ${about}, left out`);
    return [];
  }
  return [rule];
}
