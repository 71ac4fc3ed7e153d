import type { Services } from "../../services/index.ts";
import { CLIENT_QUERY, selectionOf } from "./client-filter.ts";
import { CLIENT, clientView } from "./client-view.ts";
import {
  ApiError,
  later,
  noContent,
  ok,
  PAGE_QUERY,
  pageSchema,
  paginate,
  parseTime,
  type Route,
  route,
} from "./kit/index.ts";

/** What the client operations are made of. */
export type ClientServices = Pick<Services, "node" | "clients">;

const TEST = "src/api/emqx-v5/clients.test.ts";
const TAG = "Clients";

/** Most clients put out by one request. */
const MAX_KICKED = 10_000;

/** `/clients`, and what is done to one client or to many (reference §5.5). */
export function clientRoutes({ node, clients }: ClientServices): readonly Route[] {
  const viewOf = (clientId: string) => {
    const details = clients.details(clientId);
    if (details === undefined) throw notFound();
    return clientView(details, node.name);
  };

  return [
    route({
      method: "GET",
      path: "/clients",
      tag: TAG,
      summary: "List clients",
      description:
        "Connected clients and sessions left behind, oldest session first. `meta.count` is left out " +
        "where a filter asks for a part of a text or for a range: use `meta.hasnext`.",
      section: "5.5",
      priority: "P1",
      schema: {
        query: { type: "object", properties: { ...PAGE_QUERY, ...CLIENT_QUERY } },
        answers: { 200: pageSchema(CLIENT) },
      },
      test: TEST,
      async handle({ query }) {
        const { filter, isVoid, hasFilter, isFuzzy, names } = selectionOf(query, node);
        const rows = isVoid ? [] : clients.sessions(filter.clientIds);
        return ok(
          await paginate(rows, query, {
            isCountKnown: !isFuzzy,
            ...(hasFilter ? { where: clients.matcher(filter) } : { count: clients.sessionCount() }),
            pick: (session) => later(() => clientView(clients.describe(session), node.name, names)),
          }),
        );
      },
    }),

    route({
      method: "GET",
      path: "/clients/{clientid}",
      tag: TAG,
      summary: "Show a client",
      section: "5.5",
      priority: "P1",
      schema: { answers: { 200: CLIENT } },
      test: TEST,
      handle: ({ params }) => ok(viewOf(params.clientid)),
    }),

    route({
      method: "DELETE",
      path: "/clients/{clientid}",
      tag: TAG,
      summary: "Put a client out",
      description:
        "Closes its connection (reason 0x98) and removes its session with queue and subscriptions; a " +
        "session left behind is removed too. Nothing keeps the client from connecting again.",
      section: "5.5",
      priority: "P1",
      schema: { answers: { 204: null } },
      test: TEST,
      async handle({ params }) {
        await clients.remove(params.clientid);
        return noContent();
      },
    }),

    route({
      method: "POST",
      path: "/clients/kickout/bulk",
      tag: TAG,
      summary: "Put many clients out",
      description: "As DELETE for each; client ids without a session are passed over.",
      section: "5.5",
      priority: "P1",
      schema: {
        body: {
          type: "array",
          items: { type: "string" },
          maxItems: MAX_KICKED,
          description: "Client ids.",
          example: ["sensor-7", "sensor-8"],
        },
        answers: { 204: null },
      },
      test: TEST,
      async handle({ body }) {
        await clients.removeAll(body);
        return noContent();
      },
    }),

    route({
      method: "PUT",
      path: "/clients/{clientid}/keepalive",
      tag: TAG,
      summary: "Change a client's Keep Alive",
      description: "Counts at once, for a connected client, until it connects again.",
      section: "5.5",
      priority: "P1",
      schema: {
        body: {
          type: "object",
          additionalProperties: false,
          properties: {
            interval: {
              type: "integer",
              minimum: 0,
              maximum: 65_535,
              description: "Seconds; 0 = off.",
              example: 60,
            },
          },
          required: ["interval"],
        },
        answers: { 200: CLIENT },
      },
      test: TEST,
      handle({ params, body }) {
        clients.setKeepAlive(params.clientid, body.interval);
        return ok(viewOf(params.clientid));
      },
    }),

    route({
      method: "GET",
      path: "/sessions_count",
      tag: TAG,
      summary: "Count sessions",
      description: "Sessions that are connected, or were at the given time or later.",
      section: "5.5",
      priority: "P3",
      schema: {
        query: {
          type: "object",
          properties: {
            since: {
              type: "string",
              default: "0",
              description: "RFC 3339, or seconds since 1970.",
              example: "1704067200",
            },
          },
        },
        answers: { 200: { type: "integer", description: "Number of sessions.", example: 7 } },
      },
      test: TEST,
      handle: async ({ query }) => ok(await clients.countSince(parseTime(query.since, "s"))),
    }),
  ];
}

function notFound(): ApiError {
  return new ApiError(404, "CLIENTID_NOT_FOUND", "Client ID not found");
}
