import { type BridgeConfig, MASK } from "../../../config/index.ts";
import { isJsonObject, type JsonObject, member } from "../../json.ts";
import { invalid } from "../../parameters.ts";
import type { Member } from "./member.ts";

type Forward = BridgeConfig["forwards"][number];
type Subscription = BridgeConfig["subscription"][number];

/** Canonical key of the one bridge V1 knows. */
export const BRIDGE_KEY = "bridges.default";

export const BRIDGE_MEMBERS: readonly Member[] = [
  same("bridge_mode", "enable"),
  emptyIsNull(same("address", "server")),
  { ...same("proto_ver", "proto_ver"), accept: acceptProtocol },
  emptyIsNull(same("clientid", "clientid")),
  same("clean_start", "clean_start"),
  same("username", "username"),
  {
    ...same("password", "password"),
    isSecret: true,
    show: ({ bridge }) => (bridge.password === null ? null : MASK),
  },
  same("keepalive", "keepalive_s"),
  same("parallel", "max_inflight"),
  listOf("forwards", (bridge) => bridge.forwards.map(showForward), readForward),
  listOf("subscription", (bridge) => bridge.subscription.map(showSubscription), readSubscription),
];

/** A member with the bridge's own values; the bridge is checked as a whole once all are in. */
function same(name: string, key: keyof BridgeConfig): Member {
  return {
    section: "bridge",
    name,
    keys: [`${BRIDGE_KEY}.${key}`],
    show: ({ bridge }) => bridge[key],
    accept(value, _, change) {
      change.bridge[key] = value;
    },
  };
}

function emptyIsNull(inner: Member): Member {
  return {
    ...inner,
    accept: (value, name, change) => inner.accept(value === "" ? null : value, name, change),
  };
}

/** The table of the specification says String, its example a number. */
function acceptProtocol(value: unknown, _: string, change: { bridge: Record<string, unknown> }) {
  const isDigit = typeof value === "string" && /^[345]$/.test(value);
  change.bridge["proto_ver"] = isDigit ? Number(value) : value;
}

function listOf(
  name: "forwards" | "subscription",
  show: (bridge: BridgeConfig) => unknown,
  read: (item: unknown, name: string) => JsonObject,
): Member {
  return {
    section: "bridge",
    name,
    keys: [`${BRIDGE_KEY}.${name}`],
    show: ({ bridge }) => show(bridge),
    accept(value, field, change) {
      if (!Array.isArray(value)) throw invalid(field, value, "a list");
      const items: readonly unknown[] = value;
      change.bridge[name] = items.map((item, index) => read(item, `${field}[${index}]`));
    },
  };
}

/** A forward that keeps the topic is V1's plain string; one with a mapping or overrides is an object. */
function showForward(rule: Forward): unknown {
  return rule.remote_topic === "" && isPlain(rule) && rule.qos === null
    ? rule.local_topic
    : { ...rule };
}

function readForward(item: unknown, name: string): JsonObject {
  const rule = typeof item === "string" ? { local_topic: item } : item;
  if (!isJsonObject(rule)) throw invalid(name, item, "a topic filter or a rule object");
  return {
    local_topic: member(rule, "local_topic") ?? "",
    remote_topic: member(rule, "remote_topic") ?? "",
    ...readOverrides(rule),
    qos: member(rule, "qos") ?? null,
  };
}

function showSubscription(rule: Subscription): unknown {
  return rule.local_topic === "" && isPlain(rule)
    ? { topic: rule.remote_topic, qos: rule.qos }
    : { ...rule };
}

function readSubscription(item: unknown, name: string): JsonObject {
  if (!isJsonObject(item)) throw invalid(name, item, "an object with topic and qos");
  return {
    remote_topic: member(item, "topic") ?? member(item, "remote_topic") ?? "",
    local_topic: member(item, "local_topic") ?? "",
    ...readOverrides(item),
    qos: member(item, "qos") ?? 1,
  };
}

/** Nothing in it that V1's own form could not say. */
function isPlain(rule: Forward | Subscription): boolean {
  const hasOverrides = rule.retain !== null || rule.prefix !== "" || rule.suffix !== "";
  return !hasOverrides && rule.name === null && rule.enable && rule.description === "";
}

/** NanoMQ writes the retain override as 0, 1, or 2 for "as it came". */
function readOverrides(rule: JsonObject): JsonObject {
  const retain = member(rule, "retain") ?? null;
  const flags = new Map<unknown, unknown>([
    [0, false],
    [1, true],
    [2, null],
  ]);
  return {
    name: member(rule, "name") ?? null,
    enable: member(rule, "enable") ?? true,
    description: member(rule, "description") ?? "",
    retain: flags.has(retain) ? flags.get(retain) : retain,
    prefix: member(rule, "prefix") ?? "",
    suffix: member(rule, "suffix") ?? "",
  };
}
