import type { ListenerState, ListenersService, ListenerType } from "../../services/index.ts";
import { ApiError, empty, noContent, ok, type Route, route } from "./kit/index.ts";
import { readConfig, shownConfig } from "./listener-options.ts";

const TEST = "src/api/emqx-v5/listeners.test.ts";

const TYPES = ["tcp", "ssl", "ws", "wss"] as const;

const TYPE = { type: "string", enum: TYPES, description: "Transport.", example: "tcp" } as const;

const MAXIMUM = {
  anyOf: [{ type: "integer" }, { type: "string" }],
  description: "Connections at once.",
  example: 10_000,
} as const;

const options = (description: string) =>
  ({ type: "object", additionalProperties: true, description }) as const;

const CONFIG_PROPERTIES = {
  id: { type: "string", description: "Type and name.", example: "tcp:factory" },
  type: TYPE,
  name: { type: "string", description: "Name.", example: "factory" },
  enable: { type: "boolean", description: "Whether it is to be open.", example: true },
  bind: {
    anyOf: [{ type: "string" }, { type: "integer" }],
    description: "Port, or address and port.",
    example: "0.0.0.0:1884",
  },
  max_connections: MAXIMUM,
  max_conn_rate: {
    type: "string",
    description: 'New connections per second, or "infinity".',
    example: "100/s",
  },
  acceptors: { type: "integer", description: "Always 16: EMQX's default.", example: 16 },
  mountpoint: { type: "string", description: "Always empty.", example: "" },
  zone: { type: "string", description: "Always `default`.", example: "default" },
  enable_authn: {
    anyOf: [{ type: "boolean" }, { type: "string" }],
    description: "Always true: every listener asks for the same credentials.",
    example: true,
  },
  access_rules: {
    type: "array",
    items: { type: "string" },
    description: "Always `allow all`; use bans by address.",
    example: ["allow all"],
  },
  proxy_protocol: { type: "boolean", description: "Always false.", example: false },
  proxy_protocol_timeout: { type: "string", description: "Unused.", example: "3s" },
  messages_rate: { type: "string", description: "Always `infinity`.", example: "infinity" },
  bytes_rate: { type: "string", description: "Always `infinity`.", example: "infinity" },
  messages_burst: { type: "string", description: "Unused.", example: "0" },
  bytes_burst: { type: "string", description: "Unused.", example: "0" },
  max_conn_burst: { type: "string", description: "Unused.", example: "0" },
  tcp_options: options("Shown with the values in effect; no others are taken."),
  ssl_options: options(
    "`keyfile`, `certfile`, `cacertfile` (path or PEM text), `password`, `verify`, `fail_if_no_peer_cert`.",
  ),
  websocket: options("`mqtt_path`; the others have one value."),
  running: { type: "boolean", description: "Whether it is open.", example: true },
  current_connections: { type: "integer", description: "Connections now.", example: 3 },
} as const;

const CONFIG = { type: "object", properties: CONFIG_PROPERTIES } as const;

const BODY = { ...CONFIG, additionalProperties: false } as const;

const NEW_BODY = { ...BODY, required: ["type", "name", "bind"] } as const;

const CHANGE_BODY = { ...BODY, required: ["type", "id"] } as const;

const STATUS = {
  type: "object",
  properties: {
    running: { type: "boolean", description: "Whether it is open.", example: true },
    max_connections: MAXIMUM,
    current_connections: { type: "integer", description: "Connections now.", example: 3 },
  },
  required: ["running", "max_connections", "current_connections"],
} as const;

const ROW = {
  type: "object",
  properties: {
    id: CONFIG_PROPERTIES.id,
    type: TYPE,
    name: CONFIG_PROPERTIES.name,
    enable: CONFIG_PROPERTIES.enable,
    number: { type: "integer", description: "Nodes it is on.", example: 1 },
    bind: CONFIG_PROPERTIES.bind,
    acceptors: CONFIG_PROPERTIES.acceptors,
    status: STATUS,
    node_status: {
      type: "array",
      description: "The same by node.",
      items: {
        type: "object",
        properties: {
          node: { type: "string", description: "Name of the node.", example: "tidegate@127.0.0.1" },
          status: STATUS,
        },
        required: ["node", "status"],
      },
    },
  },
} as const;

const SUMMARY = {
  type: "array",
  items: {
    type: "object",
    properties: {
      type: TYPE,
      enable: { type: "boolean", description: "Whether one of them is enabled.", example: true },
      ids: { type: "array", items: { type: "string" }, description: "Listeners of the type." },
      node_status: ROW.properties.node_status,
      status: STATUS,
    },
  },
} as const;

/** `/listeners` (reference §5.11.1). */
export function listenerRoutes({
  node,
  listeners,
}: {
  readonly node: { readonly name: string };
  readonly listeners: ListenersService;
}): readonly Route[] {
  const statusOf = ({ isRunning, settings, connections }: ListenerState) => ({
    running: isRunning,
    max_connections: settings.max_connections,
    current_connections: connections,
  });
  const row = (state: ListenerState) => {
    const { id, type, name, enable, bind, acceptors } = { acceptors: 16, ...shownConfig(state) };
    const status = statusOf(state);
    const node_status = [{ node: node.name, status }];
    return { id, type, name, enable, number: 1, bind, acceptors, status, node_status };
  };
  const find = (id: string): ListenerState => {
    const state = listeners.find(id);
    if (state !== undefined) return state;
    throw new ApiError(404, "BAD_LISTENER_ID", "Listener not found");
  };
  const create = async (type: ListenerType, name: string, body: Record<string, unknown>) => {
    if (!/^[A-Za-z0-9][\w-]{0,63}$/.test(name)) {
      throw new ApiError(400, "BAD_REQUEST", "name: letters, digits, _ and -, at most 64");
    }
    if (listeners.find(`${type}:${name}`) !== undefined) {
      throw new ApiError(400, "BAD_LISTENER_ID", "Already Exist");
    }
    return ok(shownConfig(await listeners.create(type, name, readConfig(type, body))));
  };
  const described = { tag: "Listeners", section: "5.11.1", priority: "P2", test: TEST } as const;

  return [
    route({
      ...described,
      method: "GET",
      path: "/listeners",
      summary: "All listeners",
      schema: {
        query: {
          type: "object",
          properties: {
            type: {
              type: "string",
              enum: [...TYPES, "quic"],
              description: "Only those of this transport.",
              example: "tcp",
            },
          },
        },
        answers: { 200: { type: "array", items: ROW } },
      },
      handle({ query }) {
        const wanted = listeners.list().filter(({ type }) => (query.type ?? type) === type);
        return ok(wanted.map(row));
      },
    }),
    route({
      ...described,
      method: "POST",
      path: "/listeners",
      summary: "Open another listener",
      description:
        "At once, and for every start. Options that cannot be had are refused, unless they have the value that the answer shows.",
      schema: { body: NEW_BODY, answers: { 200: CONFIG } },
      handle: ({ body }) => create(body.type, body.name, body),
    }),
    route({
      ...described,
      method: "GET",
      path: "/listeners/{id}",
      summary: "One listener",
      schema: { answers: { 200: CONFIG } },
      handle: ({ params }) => ok(shownConfig(find(params.id))),
    }),
    route({
      ...described,
      method: "PUT",
      path: "/listeners/{id}",
      summary: "Change a listener",
      description:
        "What is left out stays. Another address, path or client verification cuts its clients; `ssl:default` and `wss:default` share one certificate.",
      schema: { body: CHANGE_BODY, answers: { 200: CONFIG } },
      async handle({ params: { id }, body }) {
        const { type } = find(id);
        if (body.id !== id || body.type !== type) {
          throw new ApiError(400, "BAD_LISTENER_ID", "id and type are not those of the path");
        }
        return ok(shownConfig(await listeners.change(id, readConfig(type, body))));
      },
    }),
    route({
      ...described,
      method: "POST",
      path: "/listeners/{id}",
      summary: "Open another listener",
      description: "The old form of `POST /listeners`.",
      schema: { body: { ...BODY, required: ["bind"] }, answers: { 200: CONFIG } },
      handle({ params: { id }, body }) {
        const [, type, name = ""] = /^(tcp|ssl|ws|wss):(.*)$/.exec(id) ?? [];
        const known = TYPES.find((one) => one === type);
        if (known === undefined || (body.type ?? known) !== known || (body.id ?? id) !== id) {
          throw new ApiError(400, "BAD_LISTENER_ID", `${id} is not type:name`);
        }
        return create(known, name, body);
      },
    }),
    route({
      ...described,
      method: "DELETE",
      path: "/listeners/{id}",
      summary: "Close and forget a listener",
      description: "Its clients are cut. Those called `default` can only be stopped.",
      schema: { answers: { 204: null } },
      async handle({ params: { id } }) {
        find(id);
        await listeners.remove(id);
        return noContent();
      },
    }),
    ...(["start", "stop", "restart"] as const).map((action) =>
      route({
        ...described,
        method: "POST",
        path: `/listeners/{id}/${action}`,
        summary: SUMMARIES[action],
        schema: {
          params: {
            type: "object",
            properties: { id: CONFIG_PROPERTIES.id },
            required: ["id"],
          },
          answers: { 200: null },
        },
        async handle({ params: { id } }) {
          find(id);
          if (action === "restart") await listeners.restart(id);
          else await listeners.change(id, { enable: action === "start" });
          return empty(200);
        },
      }),
    ),
    route({
      ...described,
      method: "GET",
      path: "/listeners_status",
      summary: "Listeners by transport",
      priority: "P3",
      schema: { answers: { 200: SUMMARY } },
      handle() {
        const all = listeners.list();
        return ok(
          TYPES.map((type) => {
            const own = all.filter((state) => state.type === type);
            const sum = (pick: (state: ListenerState) => number) =>
              own.reduce((total, state) => total + pick(state), 0);
            const status = {
              running: own.some(({ isRunning }) => isRunning),
              max_connections: sum(({ settings }) => settings.max_connections),
              current_connections: sum(({ connections }) => connections),
            };
            return {
              type,
              enable: own.some(({ settings }) => settings.enable),
              ids: own.map(({ id }) => id),
              node_status: [{ node: node.name, status }],
              status,
            };
          }),
        );
      },
    }),
  ];
}

const SUMMARIES = {
  start: "Open a listener, now and at every start",
  stop: "Close a listener with its clients, until it is started",
  restart: "Close a listener with its clients and open it again",
} as const;
