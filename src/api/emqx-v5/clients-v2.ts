import type { SessionGlance } from "../../mqtt/index.ts";
import { CLIENT_QUERY, selectionOf } from "./client-filter.ts";
import { CLIENT, clientView } from "./client-view.ts";
import type { ClientServices } from "./clients.ts";
import { ApiError, createTurns, later, ok, PAGE_QUERY, type Route, route } from "./kit/index.ts";

const PREFIX = "s";

/** `GET /clients_v2`: the same list, walked by a cursor (reference §3.2, §5.5). */
export function clientV2Routes({ node, clients }: ClientServices): readonly Route[] {
  return [
    route({
      method: "GET",
      path: "/clients_v2",
      tag: "Clients",
      summary: "List clients by a cursor",
      description:
        "Connected clients and sessions left behind, oldest session first. Give `meta.cursor` back " +
        "for what follows; on the last page there is none. Rows that come or go meanwhile move no others.",
      section: "5.5",
      priority: "P1",
      schema: {
        query: {
          type: "object",
          properties: {
            limit: PAGE_QUERY.limit,
            cursor: { type: "string", description: "Of the page before.", example: "czEwMA" },
            ...CLIENT_QUERY,
          },
        },
        answers: {
          200: {
            type: "object",
            properties: {
              data: { type: "array", items: CLIENT },
              meta: {
                type: "object",
                properties: {
                  count: { type: "integer", description: "Rows of this page.", example: 100 },
                  cursor: {
                    type: "string",
                    description: "Where the next page begins; absent on the last one.",
                    example: "czEwMA",
                  },
                },
                required: ["count"],
              },
            },
            required: ["data", "meta"],
          },
        },
      },
      test: "src/api/emqx-v5/clients.test.ts",
      async handle({ query }) {
        const after = query.cursor === undefined ? 0 : numberOf(query.cursor);
        const { filter, isVoid, names } = selectionOf(query, node);
        const rows = isVoid ? [] : clients.sessions(filter.clientIds);
        const { page, next } = await walk(rows, clients.matcher(filter), after, query.limit);
        const data = page.map((session) =>
          later(() => clientView(clients.describe(session), node.name, names)),
        );
        const cursor = next === null ? {} : { cursor: cursorOf(next) };
        return ok({ data, meta: { count: data.length, ...cursor } });
      },
    }),
  ];
}

/** The rows of one page, and the number of its last one where there are more. */
async function walk(
  rows: Iterable<SessionGlance>,
  fits: (row: SessionGlance) => boolean,
  after: number,
  limit: number,
): Promise<{ page: SessionGlance[]; next: number | null }> {
  const page: SessionGlance[] = [];
  const turns = createTurns();
  for (const row of rows) {
    if (row.number > after && fits(row)) {
      if (page.length === limit) return { page, next: page.at(-1)?.number ?? after };
      page.push(row);
    }
    if (turns.isDue()) await turns.take();
  }
  return { page, next: null };
}

function cursorOf(number: number): string {
  return Buffer.from(`${PREFIX}${number}`).toString("base64url");
}

/** @throws ApiError 400 BAD_REQUEST */
function numberOf(cursor: string): number {
  const number = /^s(\d{1,15})$/.exec(Buffer.from(cursor, "base64url").toString("latin1"))?.[1];
  if (number !== undefined && cursorOf(Number(number)) === cursor) return Number(number);
  throw new ApiError(400, "BAD_REQUEST", "bad cursor");
}
