import { statusWord } from "./bridge-link.ts";
import { METRICS_ANSWER, metricsOf } from "./bridge-metrics.ts";
import {
  editedRules,
  type FoundRule,
  findRule,
  nameOf,
  type RuleKind,
  rulesOf,
  ruleValues,
  showParameters,
} from "./bridge-rules.ts";
import {
  closed,
  ENABLE_PARAMS,
  operationParams,
  RULE_MEMBERS,
  RULE_NAME,
  SHOWN_MEMBERS,
} from "./bridge-schemas.ts";
import { type BridgeServices, probe, startBridge } from "./connectors.ts";
import { ApiError, created, noContent, ok, type Route, route } from "./kit/index.ts";

const TEST = "src/api/emqx-v5/actions.test.ts";

const SHOWN = {
  ...SHOWN_MEMBERS,
  ...RULE_MEMBERS,
  rules: { type: "array", items: { type: "string" }, description: "Always empty." },
} as const;
const RULE = {
  type: "object",
  properties: SHOWN,
  required: ["type", "name", "connector", "enable", "parameters", "status", "node_status"],
} as const;
const SUMMARY = {
  type: "object",
  properties: SHOWN,
  required: ["type", "name", "enable", "description", "status", "node_status", "rules"],
} as const;
const CREATE = closed({ ...SHOWN, name: RULE_NAME }, ["type", "name", "connector", "parameters"]);
const CHANGE = closed(SHOWN, []);
const OPERATION = operationParams(["start"]);

/** `/actions` (reference §5.12.2): an action is a forward rule of the bridge that is its connector. */
export function actionRoutes(services: BridgeServices): readonly Route[] {
  return ruleRoutes(services, "actions", "action", "action_types");
}

/** `/sources` (reference §5.12.2): a source is a subscription rule. */
export function sourceRoutes(services: BridgeServices): readonly Route[] {
  return ruleRoutes(services, "sources", "source", "source_types");
}

function ruleRoutes<const K extends RuleKind>(
  { node, bridges }: BridgeServices,
  kind: K,
  one: string,
  types: string,
): readonly Route[] {
  const described = {
    tag: kind === "actions" ? "Actions" : "Sources",
    section: "5.12.2",
    priority: "P2",
    test: TEST,
  } as const;

  const stand = ({ bridge, status }: FoundRule) => {
    const isActive = status.state === "active";
    const word = statusWord(bridge.config.enable && isActive, bridge.status.state);
    const reason =
      status.state === "cut"
        ? "cut: it sends messages round in circles"
        : isActive && bridge.config.enable
          ? (bridge.status.lastError ?? "connecting")
          : "disabled";
    const shown = { status: word, ...(word === "connected" ? {} : { status_reason: reason }) };
    return { ...shown, node_status: [{ node: node.name, ...shown }] };
  };
  const summary = (found: FoundRule) => {
    const { bridge, index, status } = found;
    const key = kind === "actions" ? "forwards" : "subscription";
    return {
      type: "mqtt",
      name: status.name,
      enable: status.state !== "disabled",
      description: bridge.config[key][index]?.description ?? "",
      ...stand(found),
      rules: [],
    };
  };
  const shown = (found: FoundRule) => ({
    ...summary(found),
    connector: found.bridge.name,
    tags:
      found.bridge.config[kind === "actions" ? "forwards" : "subscription"][found.index]?.tags ??
      [],
    parameters: showParameters(found.bridge, kind, found.index),
    resource_opts: { health_check_interval: "15s" },
  });
  const find = (id: string) => findRule(bridges, kind, id);
  const edit = async (
    id: string,
    change: (rule: Readonly<Record<string, unknown>>) => Readonly<Record<string, unknown>> | null,
  ) => {
    const { bridge } = find(id);
    const name = nameOf(id);
    await bridges.change(bridge.name, (stored) =>
      editedRules(bridge, stored, kind, (rules) =>
        rules.flatMap((rule): (typeof rule)[] => {
          const changed = rule["name"] === name ? change(rule) : rule;
          return changed === null ? [] : [changed];
        }),
      ),
    );
  };
  const start = async ({ params }: { readonly params: { readonly id: string } }) => {
    const { bridge, status } = find(params.id);
    if (status.state === "disabled") {
      throw new ApiError(400, "BAD_REQUEST", `Forbidden operation, ${one} not enabled`);
    }
    if (status.state === "cut" || bridge.status.state !== "connected") {
      await startBridge(bridges, bridge.name, "connector");
    }
    return noContent();
  };
  const known = (connector: string) => {
    const bridge = bridges.list().find((it) => it.name === connector);
    if (bridge !== undefined) return bridge;
    const what = JSON.stringify(connector.slice(0, 100).toWellFormed());
    throw new ApiError(400, "BAD_REQUEST", `there is no connector ${what}`);
  };

  return [
    route({
      ...described,
      method: "GET",
      path: `/${kind}`,
      summary: `All ${kind}`,
      schema: { answers: { 200: { type: "array", items: RULE } } },
      handle: () => ok(rulesOf(bridges, kind).map(shown)),
    }),
    route({
      ...described,
      method: "POST",
      path: `/${kind}`,
      summary: `Make an ${one}`,
      description: "`parameters.local` says what happens here: there is no rule engine.",
      schema: { body: CREATE, answers: { 201: RULE } },
      async handle({ body }) {
        const bridge = known(body.connector);
        if (rulesOf(bridges, kind).some(({ status }) => status.name === body.name)) {
          throw new ApiError(400, "ALREADY_EXISTS", `${one} mqtt:${body.name} exists already`);
        }
        const rule = ruleValues(kind, body.name, body, undefined);
        await bridges.change(bridge.name, (stored) =>
          editedRules(bridge, stored, kind, (rules) => [...rules, rule]),
        );
        return created(shown(find(`mqtt:${body.name}`)));
      },
    }),
    route({
      ...described,
      method: "GET",
      path: `/${kind}/{id}`,
      summary: `One ${one}`,
      schema: { params: ID, answers: { 200: RULE } },
      handle: ({ params }) => ok(shown(find(params.id))),
    }),
    route({
      ...described,
      method: "PUT",
      path: `/${kind}/{id}`,
      summary: `Change an ${one}`,
      description: "Members that are left out stay as they are.",
      schema: { params: ID, body: CHANGE, answers: { 200: RULE } },
      async handle({ params, body }) {
        const { bridge } = find(params.id);
        if (body.connector !== undefined && body.connector !== bridge.name) {
          const message = "the connector cannot be changed: remove it and make it anew";
          throw new ApiError(400, "BAD_REQUEST", message);
        }
        await edit(params.id, (rule) => ruleValues(kind, nameOf(params.id), body, rule));
        return ok(shown(find(params.id)));
      },
    }),
    route({
      ...described,
      method: "DELETE",
      path: `/${kind}/{id}`,
      summary: `Remove an ${one}`,
      schema: {
        params: ID,
        query: {
          type: "object",
          properties: {
            also_delete_dep_actions: {
              type: "boolean",
              description: "There are no rules to delete.",
            },
          },
        },
        answers: { 204: null },
      },
      async handle({ params }) {
        await edit(params.id, () => null);
        return noContent();
      },
    }),
    route({
      ...described,
      method: "PUT",
      path: `/${kind}/{id}/enable/{enable}`,
      summary: `Enable or disable an ${one}`,
      schema: { params: ENABLE_PARAMS, answers: { 204: null } },
      async handle({ params }) {
        await edit(params.id, (rule) => ({ ...rule, enable: params.enable === "true" }));
        return noContent();
      },
    }),
    route({
      ...described,
      method: "POST",
      path: `/${kind}/{id}/{operation}`,
      summary: "Connect anew where it is not connected",
      schema: { params: OPERATION, answers: { 204: null } },
      handle: start,
    }),
    route({
      ...described,
      method: "POST",
      path: `/nodes/{node}/${kind}/{id}/{operation}`,
      summary: "Connect anew, on a node",
      schema: { params: OPERATION, answers: { 204: null } },
      handle: start,
    }),
    route({
      ...described,
      method: "GET",
      path: `/${kind}/{id}/metrics`,
      summary: "What it has done",
      schema: { params: ID, answers: { 200: METRICS_ANSWER } },
      handle({ params }) {
        const { bridge, status } = find(params.id);
        return ok(metricsOf(bridge.status, [status], node.name));
      },
    }),
    route({
      ...described,
      method: "PUT",
      path: `/${kind}/{id}/metrics/reset`,
      summary: "Begin to count anew",
      description: "For all rules of its connector.",
      schema: { params: ID, answers: { 204: null } },
      handle({ params }) {
        bridges.resetCounters(find(params.id).bridge.name);
        return noContent();
      },
    }),
    route({
      ...described,
      method: "POST",
      path: `/${kind}_probe`,
      summary: `Whether an ${one} could work`,
      schema: { body: CREATE, answers: { 204: null } },
      async handle({ body }) {
        const bridge = known(body.connector);
        const rule = ruleValues(kind, body.name, body, undefined);
        const values = editedRules(bridge, bridge.config, kind, (rules) => [
          ...rules.filter((it) => it["name"] !== body.name),
          rule,
        ]);
        await probe(bridges, bridge.name, { ...values, enable: true });
        return noContent();
      },
    }),
    route({
      ...described,
      method: "GET",
      path: `/${kind}_summary`,
      summary: `All ${kind}, in short`,
      schema: { answers: { 200: { type: "array", items: SUMMARY } } },
      handle: () => ok(rulesOf(bridges, kind).map(summary)),
    }),
    route({
      ...described,
      method: "GET",
      path: `/${types}`,
      summary: "The types there are",
      schema: { answers: { 200: { type: "array", items: { type: "string" } } } },
      handle: () => ok(["mqtt"]),
    }),
  ];
}

const ID = {
  type: "object",
  properties: { id: { type: "string", description: "type:name", example: "mqtt:cloud" } },
  required: ["id"],
} as const;
