import type { ClientInfo } from "../../mqtt/index.ts";
import type { ClientFilter } from "../../services/index.ts";
import { inTurns } from "../turns.ts";
import { FAILURE, listOf, type Resource, sendList } from "./schema.ts";

const CLIENT = {
  type: "object",
  properties: {
    client_id: { type: "string" },
    username: { type: "string" },
    keepalive: { type: "integer" },
    conn_state: { type: "string", enum: ["connected", "disconnected"] },
    clean_start: { type: "boolean" },
    proto_name: { type: "string" },
    proto_ver: { type: "integer" },
    will_topic: { type: "string" },
    will_msg: { type: "string" },
  },
  required: [
    "client_id",
    "username",
    "keepalive",
    "conn_state",
    "clean_start",
    "proto_name",
    "proto_ver",
  ],
} as const;

/** Filters; parameters of a URL are text, and any other is refused (reference §5.1). */
const FILTERS = {
  type: "object",
  properties: {
    clientid: { type: "string" },
    client_id: { type: "string" },
    username: { type: "string" },
    conn_state: { type: "string", enum: ["connected", "disconnected"] },
    clean_start: { type: "string", enum: ["true", "false"] },
    proto_name: { type: "string", enum: ["MQTT", "MQIsdp"] },
    proto_ver: { type: "string", enum: ["3", "4", "5"] },
  },
  additionalProperties: false,
} as const;

const ID = { type: "object", properties: { id: { type: "string" } }, required: ["id"] } as const;

const NAME = {
  type: "object",
  properties: { name: { type: "string" } },
  required: ["name"],
} as const;

const response = { 200: listOf(CLIENT), "4xx": FAILURE } as const;

const VERSION = { "3": 3, "4": 4, "5": 5 } as const;

/** `/clients`: connected clients and sessions left behind. */
export const clients: Resource = (app, services) => {
  const find = async (filter: ClientFilter) => {
    const found = await services.clients.find(filter);
    return inTurns(found, rowOf);
  };

  app.get("/clients", { schema: { querystring: FILTERS, response } }, async ({ query }, reply) => {
    const id = query.clientid ?? query.client_id;
    const rows = await find({
      ...(id === undefined ? {} : { clientId: id }),
      ...(query.username === undefined ? {} : { username: query.username }),
      ...(query.conn_state === undefined ? {} : { isConnected: query.conn_state === "connected" }),
      ...(query.clean_start === undefined ? {} : { cleanStart: query.clean_start === "true" }),
      ...(query.proto_ver === undefined ? {} : { protocolVersion: VERSION[query.proto_ver] }),
    });
    const data = rows.filter(
      (row) =>
        (query.proto_name === undefined || row.proto_name === query.proto_name) &&
        (query.client_id === undefined || row.client_id === query.client_id),
    );
    return sendList(reply, data);
  });

  app.get("/clients/:id", { schema: { params: ID, response } }, async ({ params }, reply) =>
    sendList(reply, await find({ clientId: params.id })),
  );

  app.get(
    "/clients/username/:name",
    { schema: { params: NAME, response } },
    async ({ params }, reply) => sendList(reply, await find({ username: params.name })),
  );
};

function rowOf(client: ClientInfo) {
  const { will } = client;
  return {
    client_id: client.clientId,
    username: client.username ?? "",
    keepalive: client.keepAliveS,
    conn_state: client.isConnected ? ("connected" as const) : ("disconnected" as const),
    clean_start: client.cleanStart,
    proto_name: client.protocolVersion === 3 ? "MQIsdp" : "MQTT",
    proto_ver: client.protocolVersion,
    ...(will === null ? {} : { will_topic: will.topic, will_msg: will.payload.toString("utf8") }),
  };
}
