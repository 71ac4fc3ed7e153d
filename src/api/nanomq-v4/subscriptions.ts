import { inTurns } from "../turns.ts";
import { FAILURE, listOf, type Resource, sendList } from "./schema.ts";

const SUBSCRIPTION = {
  type: "object",
  properties: {
    clientid: { type: "string" },
    topic: { type: "string", description: "The filter exactly as subscribed." },
    qos: { type: "integer", enum: [0, 1, 2] },
  },
  required: ["clientid", "topic", "qos"],
} as const;

const ID = { type: "object", properties: { id: { type: "string" } }, required: ["id"] } as const;

const response = { 200: listOf(SUBSCRIPTION), "4xx": FAILURE } as const;

/** `/subscriptions`: one row for each filter of each session. */
export const subscriptions: Resource = (app, services) => {
  const find = async (filter: { clientId?: string }) => {
    const rows = await services.subscriptions.find(filter);
    return inTurns(rows, ({ clientId, filter: topic, qos }) => ({
      clientid: clientId,
      topic,
      qos,
    }));
  };

  app.get("/subscriptions", { schema: { response } }, async (_, reply) =>
    sendList(reply, await find({})),
  );

  app.get("/subscriptions/:id", { schema: { params: ID, response } }, async ({ params }, reply) =>
    sendList(reply, await find({ clientId: params.id })),
  );
};
