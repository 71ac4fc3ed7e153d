import { isGatewayError } from "../../errors/index.ts";
import type { BridgesService, BridgeView, Services } from "../../services/index.ts";
import { linkValues, showBridge } from "./bridge-link.ts";
import { nameOf } from "./bridge-rules.ts";
import {
  closed,
  ENABLE_PARAMS,
  LINK_MEMBERS,
  NAME,
  operationParams,
  SHOWN_MEMBERS,
} from "./bridge-schemas.ts";
import { ApiError, created, noContent, ok, type Route, route } from "./kit/index.ts";

/** What connectors, actions and sources are made of. */
export type BridgeServices = Pick<Services, "node" | "bridges">;

const TEST = "src/api/emqx-v5/connectors.test.ts";

const NAMES = { type: "array", items: { type: "string" } } as const;
const SHOWN = {
  ...SHOWN_MEMBERS,
  ...LINK_MEMBERS,
  actions: { ...NAMES, description: "Names of its actions." },
  sources: { ...NAMES, description: "Names of its sources." },
} as const;
const CONNECTOR = {
  type: "object",
  properties: SHOWN,
  required: ["type", "name", "enable", "server", "status", "node_status", "actions", "sources"],
} as const;
const CREATE = closed({ ...SHOWN, name: NAME }, ["type", "name", "server"]);
const CHANGE = closed(SHOWN, []);
const PROBE = closed({ ...SHOWN, name: NAME }, ["server"]);
const OPERATION = operationParams(["start"]);

const described = { tag: "Connectors", section: "5.12.1", priority: "P2", test: TEST } as const;

/** `/connectors` (reference §5.12.1): a connector is the link of a bridge. */
export function connectorRoutes({ node, bridges }: BridgeServices): readonly Route[] {
  const shown = (bridge: BridgeView) => {
    const names = (direction: string) =>
      bridge.status.rules.filter((it) => it.direction === direction).map(({ name }) => name);
    return {
      ...showBridge(bridge, node.name),
      actions: names("forward"),
      sources: names("subscription"),
    };
  };
  const start = async ({ params }: { readonly params: { readonly id: string } }) => {
    await startBridge(bridges, nameOf(params.id), "connector");
    return noContent();
  };
  return [
    route({
      ...described,
      method: "GET",
      path: "/connectors",
      summary: "All connectors",
      schema: { answers: { 200: { type: "array", items: CONNECTOR } } },
      handle: () => ok(bridges.list().map(shown)),
    }),
    route({
      ...described,
      method: "POST",
      path: "/connectors",
      summary: "Make a connector",
      description: "It connects at once, and is stored.",
      schema: { body: CREATE, answers: { 201: CONNECTOR } },
      async handle({ body }) {
        const values = await linkValues(body, null, bridges);
        return created(shown(await bridges.create(body.name, values)));
      },
    }),
    route({
      ...described,
      method: "GET",
      path: "/connectors/{id}",
      summary: "One connector",
      schema: { answers: { 200: CONNECTOR } },
      handle: ({ params }) => ok(shown(bridges.get(nameOf(params.id)))),
    }),
    route({
      ...described,
      method: "PUT",
      path: "/connectors/{id}",
      summary: "Change a connector",
      description: "It connects anew. Members that are left out stay as they are.",
      schema: { body: CHANGE, answers: { 200: CONNECTOR } },
      async handle({ params, body }) {
        const name = nameOf(params.id);
        const values = await linkValues(body, bridges.get(name).config, bridges);
        // The rules are those stored at that moment.
        const changed = await bridges.change(name, ({ forwards, subscription }) => ({
          ...values,
          forwards,
          subscription,
        }));
        return ok(shown(changed));
      },
    }),
    route({
      ...described,
      method: "DELETE",
      path: "/connectors/{id}",
      summary: "Remove a connector",
      description: "What waits for its cloud goes with it.",
      schema: { answers: { 204: null } },
      async handle({ params }) {
        const name = nameOf(params.id);
        if (bridges.get(name).status.rules.length > 0) {
          const message = "the connector still has actions or sources, remove them first";
          throw new ApiError(400, "BAD_REQUEST", message);
        }
        await bridges.remove(name);
        return noContent();
      },
    }),
    route({
      ...described,
      method: "PUT",
      path: "/connectors/{id}/enable/{enable}",
      summary: "Enable or disable a connector",
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
      path: "/connectors/{id}/{operation}",
      summary: "Connect anew",
      description: "Answers when the attempt has ended.",
      schema: { params: OPERATION, answers: { 204: null } },
      handle: start,
    }),
    route({
      ...described,
      method: "POST",
      path: "/nodes/{node}/connectors/{id}/{operation}",
      summary: "Connect anew, on a node",
      schema: { params: OPERATION, answers: { 204: null } },
      handle: start,
    }),
    route({
      ...described,
      method: "POST",
      path: "/connectors_probe",
      summary: "Whether a connector could connect",
      schema: { body: PROBE, answers: { 204: null } },
      async handle({ body }) {
        const stored = bridges.list().find((it) => it.name === body.name)?.config ?? null;
        const values = await linkValues(body, stored, bridges);
        await probe(bridges, body.name ?? "probe", { ...values, enable: true });
        return noContent();
      },
    }),
  ];
}

/** @throws ApiError 400 TEST_FAILED with the reason */
export async function probe(
  bridges: BridgesService,
  name: string,
  values: Readonly<Record<string, unknown>>,
): Promise<void> {
  let reason: string | null;
  try {
    reason = await bridges.probe(name, values);
  } catch (err) {
    if (!isGatewayError(err)) throw err;
    reason = err.message;
  }
  if (reason !== null) throw new ApiError(400, "TEST_FAILED", reason);
}

/** @throws ApiError 400 BAD_REQUEST when it is disabled or did not connect */
export async function startBridge(
  bridges: BridgesService,
  name: string,
  what: string,
): Promise<void> {
  if (!bridges.get(name).config.enable) {
    throw new ApiError(400, "BAD_REQUEST", `Forbidden operation, ${what} not enabled`);
  }
  const status = await bridges.restart(name);
  if (status.state === "connected") return;
  throw new ApiError(400, "BAD_REQUEST", status.lastError ?? "it did not connect");
}
