import type { BridgeView } from "../../services/index.ts";
import { linkValues, showBridge } from "./bridge-link.ts";
import { METRICS_ANSWER, metricsOf } from "./bridge-metrics.ts";
import { editedRules, nameOf, type RuleKind, ruleValues, showParameters } from "./bridge-rules.ts";
import {
  closed,
  ENABLE_PARAMS,
  LINK_MEMBERS,
  NAME,
  operationParams,
  PARAMETERS,
  SHOWN_MEMBERS,
} from "./bridge-schemas.ts";
import { type BridgeServices, probe, startBridge } from "./connectors.ts";
import { created, noContent, ok, type Route, route } from "./kit/index.ts";

const TEST = "src/api/emqx-v5/actions.test.ts";

const { topic, qos, retain, payload, local } = PARAMETERS.properties;
const REMOTE = closed({ topic, qos, retain, payload }, ["topic"]);
const WAY = {
  type: "object",
  additionalProperties: false,
  properties: {
    pool_size: { type: "integer", minimum: 1, description: "Any: one link keeps the order." },
    local,
    remote: REMOTE,
  },
  required: ["remote"],
} as const;
const SHOWN = {
  ...SHOWN_MEMBERS,
  ...LINK_MEMBERS,
  egress: { ...WAY, description: "To the cloud: the action that has the bridge's name." },
  ingress: { ...WAY, description: "From the cloud: the source that has the bridge's name." },
} as const;
const BRIDGE = {
  type: "object",
  properties: SHOWN,
  required: ["type", "name", "enable", "server", "status", "node_status"],
} as const;
const CREATE = closed({ ...SHOWN, name: NAME }, ["type", "name", "server"]);
const CHANGE = closed(SHOWN, []);
const OPERATION = operationParams(["start", "stop", "restart"]);

interface Way {
  readonly local?: { readonly topic?: string };
  readonly remote: { readonly topic: string };
}

interface Body {
  readonly egress?: Way;
  readonly ingress?: Way;
}

const described = { tag: "Bridges", section: "5.12.3", priority: "P2", test: TEST } as const;

/**
 * `/bridges` (reference §5.12.3), EMQX's older form: a connector with at most one action and one
 * source, which have its name. Of a connector with more it shows those, or else the first.
 */
export function bridgeRoutes({ node, bridges }: BridgeServices): readonly Route[] {
  const shown = (bridge: BridgeView) => ({
    ...showBridge(bridge, node.name),
    ...showWay(bridge, "actions", "egress"),
    ...showWay(bridge, "sources", "ingress"),
  });
  const operate = async ({
    params,
  }: {
    readonly params: { readonly id: string; readonly operation: string };
  }) => {
    const name = nameOf(params.id);
    if (params.operation === "stop") {
      bridges.get(name);
      bridges.stop(name);
    } else await startBridge(bridges, name, "bridge");
    return noContent();
  };
  return [
    route({
      ...described,
      method: "GET",
      path: "/bridges",
      summary: "All bridges",
      schema: { answers: { 200: { type: "array", items: BRIDGE } } },
      handle: () => ok(bridges.list().map(shown)),
    }),
    route({
      ...described,
      method: "POST",
      path: "/bridges",
      summary: "Make a bridge",
      schema: { body: CREATE, answers: { 201: BRIDGE } },
      async handle({ body }) {
        const link = await linkValues(body, null, bridges);
        const values = { ...link, ...waysOf(body.name, body, () => undefined) };
        return created(shown(await bridges.create(body.name, values)));
      },
    }),
    route({
      ...described,
      method: "GET",
      path: "/bridges/{id}",
      summary: "One bridge",
      schema: { answers: { 200: BRIDGE } },
      handle: ({ params }) => ok(shown(bridges.get(nameOf(params.id)))),
    }),
    route({
      ...described,
      method: "PUT",
      path: "/bridges/{id}",
      summary: "Change a bridge",
      description: "Members that are left out stay as they are.",
      schema: { body: CHANGE, answers: { 200: BRIDGE } },
      async handle({ params, body }) {
        const name = nameOf(params.id);
        const bridge = bridges.get(name);
        const link = await linkValues(body, bridge.config, bridges);
        const changed = await bridges.change(name, (stored) => {
          let values: Record<string, unknown> = { ...stored };
          for (const kind of ["actions", "sources"] as const) {
            values = { ...values, ...withWay(bridge, stored, kind, body) };
          }
          const { forwards, subscription } = values;
          return { ...link, forwards, subscription };
        });
        return ok(shown(changed));
      },
    }),
    route({
      ...described,
      method: "DELETE",
      path: "/bridges/{id}",
      summary: "Remove a bridge",
      description: "With all its actions and sources, and what waits for its cloud.",
      schema: { answers: { 204: null } },
      async handle({ params }) {
        await bridges.remove(nameOf(params.id));
        return noContent();
      },
    }),
    route({
      ...described,
      method: "PUT",
      path: "/bridges/{id}/enable/{enable}",
      summary: "Enable or disable a bridge",
      schema: { params: ENABLE_PARAMS, answers: { 204: null } },
      async handle({ params }) {
        const enable = params.enable === "true";
        await bridges.change(nameOf(params.id), (stored) => ({ ...stored, enable }));
        return noContent();
      },
    }),
    route({
      ...described,
      method: "POST",
      path: "/bridges/{id}/{operation}",
      summary: "Connect anew, or stop until the next start",
      schema: { params: OPERATION, answers: { 204: null } },
      handle: operate,
    }),
    route({
      ...described,
      method: "POST",
      path: "/nodes/{node}/bridges/{id}/{operation}",
      summary: "Connect anew, or stop, on a node",
      schema: { params: OPERATION, answers: { 204: null } },
      handle: operate,
    }),
    route({
      ...described,
      method: "GET",
      path: "/bridges/{id}/metrics",
      summary: "What it has done",
      schema: { answers: { 200: METRICS_ANSWER } },
      handle({ params }) {
        const { status } = bridges.get(nameOf(params.id));
        return ok(metricsOf(status, status.rules, node.name));
      },
    }),
    route({
      ...described,
      method: "PUT",
      path: "/bridges/{id}/metrics/reset",
      summary: "Begin to count anew",
      schema: { answers: { 204: null } },
      handle({ params }) {
        bridges.resetCounters(nameOf(params.id));
        return noContent();
      },
    }),
    route({
      ...described,
      method: "POST",
      path: "/bridges_probe",
      summary: "Whether a bridge could connect",
      schema: { body: CREATE, answers: { 204: null } },
      async handle({ body }) {
        const stored = bridges.list().find((it) => it.name === body.name)?.config ?? null;
        const link = await linkValues(body, stored, bridges);
        const values = { ...link, ...waysOf(body.name, body, () => undefined), enable: true };
        await probe(bridges, body.name, values);
        return noContent();
      },
    }),
  ];
}

const WAYS = { actions: "egress", sources: "ingress" } as const;
const KEYS = { actions: "forwards", sources: "subscription" } as const;
const DIRECTION = { actions: "forward", sources: "subscription" } as const;

/** Which rule is the bridge's own: the one of its name, or the first. */
function indexOf({ name, status }: BridgeView, kind: RuleKind): number {
  const rules = status.rules.filter((it) => it.direction === DIRECTION[kind]);
  return Math.max(
    0,
    rules.findIndex((it) => it.name === name),
  );
}

function showWay(bridge: BridgeView, kind: RuleKind, key: string) {
  const index = indexOf(bridge, kind);
  if (bridge.config[KEYS[kind]][index] === undefined) return {};
  const { local: here, ...there } = showParameters(bridge, kind, index) as {
    readonly local: object;
    readonly no_local?: boolean;
  };
  const { no_local: _, ...remote } = there;
  return { [key]: { pool_size: 1, local: here, remote } };
}

type Rule = Readonly<Record<string, unknown>>;

/** The rules a body names, as configuration. */
function waysOf(name: string, body: Body, stored: (kind: RuleKind) => Rule | undefined) {
  const rules = (kind: RuleKind): readonly Rule[] => {
    const way = body[WAYS[kind]];
    if (way === undefined) return [];
    const parameters = { ...way.remote, ...(way.local !== undefined && { local: way.local }) };
    return [ruleValues(kind, name, { parameters }, stored(kind))];
  };
  return { forwards: rules("actions"), subscription: rules("sources") };
}

/** The stored rules of one kind with the bridge's own as `body` has it. */
function withWay(
  bridge: BridgeView,
  stored: BridgeView["config"],
  kind: RuleKind,
  body: Body,
): Record<string, unknown> {
  if (body[WAYS[kind]] === undefined) return {};
  const index = indexOf(bridge, kind);
  const edited = editedRules(bridge, stored, kind, (rules) => {
    const own = rules[index];
    const name = String(own?.["name"] ?? bridge.name);
    const made = waysOf(name, body, () => own)[KEYS[kind]];
    return [...rules.slice(0, index), ...made, ...rules.slice(index + 1)];
  });
  return { [KEYS[kind]]: edited[KEYS[kind]] };
}
