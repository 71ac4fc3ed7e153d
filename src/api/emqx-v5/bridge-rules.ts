import type { BridgeConfig } from "../../config/index.ts";
import type { BridgeRuleView, BridgesService, BridgeView } from "../../services/index.ts";
import { ApiError } from "./kit/index.ts";

/** EMQX's names of the directions: an action sends to the cloud, a source brings down. */
export type RuleKind = "actions" | "sources";

/** One rule of a bridge, found by its name. */
export interface FoundRule {
  readonly bridge: BridgeView;
  readonly index: number;
  readonly status: BridgeRuleView;
}

/** What `parameters` may hold, its shape checked. */
export interface ParametersBody {
  readonly topic: string;
  readonly qos?: 0 | 1 | 2 | "${qos}";
  readonly retain?: boolean | "${retain}";
  readonly payload?: string;
  readonly local?: LocalBody;
}

export interface LocalBody {
  readonly topic?: string;
  readonly qos?: 0 | 1 | 2 | "${qos}";
  readonly retain?: boolean | "${retain}";
  readonly payload?: string;
}

export interface RuleBody {
  readonly enable?: boolean;
  readonly description?: string;
  readonly tags?: readonly string[];
  readonly parameters?: ParametersBody;
}

type Forward = BridgeConfig["forwards"][number];
type Subscription = BridgeConfig["subscription"][number];
type Rule = Readonly<Record<string, unknown>>;

const DIRECTION = { actions: "forward", sources: "subscription" } as const;
const KEY = { actions: "forwards", sources: "subscription" } as const;

/** Every rule of one kind, of all bridges. */
export function rulesOf(bridges: BridgesService, kind: RuleKind): readonly FoundRule[] {
  return bridges
    .list()
    .flatMap((bridge) =>
      bridge.status.rules
        .filter((rule) => rule.direction === DIRECTION[kind])
        .map((status, index) => ({ bridge, index, status })),
    );
}

/** The name behind `mqtt:name`. @throws ApiError 404 NOT_FOUND for another type, or none */
export function nameOf(id: string): string {
  const name = /^mqtt:([0-9A-Za-z][0-9A-Za-z_-]{0,254})$/.exec(id)?.[1];
  if (name !== undefined) return name;
  throw new ApiError(404, "NOT_FOUND", `${id.slice(0, 300).toWellFormed()} is not found`);
}

/** @throws ApiError 404 NOT_FOUND */
export function findRule(bridges: BridgesService, kind: RuleKind, id: string): FoundRule {
  const name = nameOf(id);
  const found = rulesOf(bridges, kind).find((rule) => rule.status.name === name);
  if (found !== undefined) return found;
  throw new ApiError(404, "NOT_FOUND", `${id} is not found`);
}

/**
 * The rules of one kind with `edit` done to them, as a change of their bridge. Rules get the names
 * they were known by, so that they keep them when another one comes or goes.
 */
export function editedRules(
  { status }: BridgeView,
  stored: BridgeConfig,
  kind: RuleKind,
  edit: (rules: readonly Rule[]) => readonly Rule[],
): Record<string, unknown> {
  const named = (of: RuleKind) => {
    const names = status.rules.filter((rule) => rule.direction === DIRECTION[of]);
    return stored[KEY[of]].map((rule, index) => ({ ...rule, name: names[index]?.name ?? null }));
  };
  const other: RuleKind = kind === "actions" ? "sources" : "actions";
  return { ...stored, [KEY[other]]: named(other), [KEY[kind]]: edit(named(kind)) };
}

/** What EMQX calls `parameters`, of the rule at `index`. */
export function showParameters({ config }: BridgeView, kind: RuleKind, index: number) {
  const rule = config[KEY[kind]][index];
  if (rule === undefined) return { topic: "" };
  return kind === "actions" ? showForward(rule as Forward) : showSource(rule as Subscription);
}

function showForward(rule: Forward) {
  return {
    topic: templateOf(rule.remote_topic, rule),
    qos: rule.qos ?? "${qos}",
    retain: rule.retain ?? "${retain}",
    payload: "${payload}",
    local: { topic: rule.local_topic },
  };
}

function showSource(rule: Subscription) {
  return {
    topic: rule.remote_topic,
    qos: rule.qos,
    no_local: true,
    local: {
      topic: templateOf(rule.local_topic, rule),
      qos: "${qos}",
      retain: rule.retain ?? "${retain}",
      payload: "${payload}",
    },
  };
}

/** The rule that `body` makes of `stored`. @throws ApiError 400 BAD_REQUEST for what no rule can say */
export function ruleValues(
  kind: RuleKind,
  name: string,
  body: RuleBody,
  stored: Rule | undefined,
): Rule {
  return {
    ...stored,
    name,
    ...(body.enable !== undefined && { enable: body.enable }),
    ...(body.description !== undefined && { description: body.description }),
    ...(body.tags !== undefined && { tags: body.tags }),
    ...(body.parameters !== undefined &&
      (kind === "actions"
        ? readForward(body.parameters, stored)
        : readSource(body.parameters, stored))),
  };
}

function readForward(given: ParametersBody, stored: Rule | undefined): Rule {
  const local = given.local?.topic;
  if (local === undefined) {
    throw refusal(
      "parameters.local.topic",
      "required_field: what is sent, for want of a rule engine",
    );
  }
  checkPayload("parameters.payload", given.payload);
  return {
    local_topic: local,
    qos: given.qos === "${qos}" ? null : (given.qos ?? 1),
    retain: given.retain === "${retain}" ? null : (given.retain ?? false),
    ...readTemplate("parameters.topic", given.topic, stored, "remote_topic"),
  };
}

function readSource(given: ParametersBody, stored: Rule | undefined): Rule {
  const { local } = given;
  if (given.qos === "${qos}") throw refusal("parameters.qos", "expected 0, 1 or 2");
  const qos = given.qos ?? 1;
  if (local?.qos !== undefined && local.qos !== "${qos}" && local.qos !== qos) {
    throw refusal("parameters.local.qos", 'expected "${qos}", or the value of parameters.qos');
  }
  checkPayload("parameters.local.payload", local?.payload);
  return {
    remote_topic: given.topic,
    qos,
    retain: local?.retain === "${retain}" ? null : (local?.retain ?? null),
    ...readTemplate("parameters.local.topic", local?.topic ?? "${topic}", stored, "local_topic"),
  };
}

function checkPayload(path: string, payload: string | undefined): void {
  if (payload === undefined || payload === "" || payload === "${payload}") return;
  throw refusal(path, 'expected "${payload}": payloads are passed on as they are');
}

const WHOLE = "${topic}";

/** How a rule's target reads as a template: `gw1/${topic}`. */
function templateOf(
  target: string,
  { prefix, suffix }: { prefix: string; suffix: string },
): string {
  return `${prefix}${target === "" ? WHOLE : target}${suffix}`;
}

function readTemplate(path: string, text: string, stored: Rule | undefined, key: string): Rule {
  if (stored !== undefined && text === storedTemplate(stored, key)) return {};
  const [prefix = "", suffix, ...more] = text.split(WHOLE);
  if (more.length > 0 || /\$\{/.test(prefix + (suffix ?? ""))) {
    throw refusal(path, "expected a topic, with ${topic} in it once at most");
  }
  if (suffix === undefined) return { [key]: text, prefix: "", suffix: "" };
  return { [key]: "", prefix, suffix };
}

function storedTemplate(stored: Rule, key: string): string {
  const prefix = String(stored["prefix"] ?? "");
  const suffix = String(stored["suffix"] ?? "");
  return templateOf(String(stored[key] ?? ""), { prefix, suffix });
}

function refusal(path: string, reason: string): ApiError {
  const text = JSON.stringify({ kind: "validation_error", path, reason });
  return new ApiError(400, "BAD_REQUEST", text);
}
