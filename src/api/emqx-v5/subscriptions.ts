import { isGatewayError } from "../../errors/index.ts";
import type { SubscriptionInfo } from "../../mqtt/index.ts";
import type { Services, SubscriptionFilter } from "../../services/index.ts";
import { ApiError, ok, PAGE_QUERY, pageSchema, paginate, type Route, route } from "./kit/index.ts";
import { checkNode, NODE } from "./node-name.ts";
import { SUBSCRIPTION, subscriptionView } from "./subscription-view.ts";

/** What the list of subscriptions is made of. */
export type SubscriptionServices = Pick<Services, "node" | "clients" | "subscriptions">;

/** `GET /subscriptions` (reference §5.6). */
export function subscriptionRoutes(services: SubscriptionServices): readonly Route[] {
  const { node, clients, subscriptions } = services;

  function rowsOf(clientId: string | undefined): Iterable<SubscriptionInfo> {
    const isUnknown = clientId !== undefined && clients.details(clientId) === undefined;
    return isUnknown ? [] : subscriptions.rows(clientId);
  }

  function matcherOf(filter: SubscriptionFilter) {
    try {
      return subscriptions.matcher(filter);
    } catch (err) {
      if (!isGatewayError(err, "MQTT_FILTER_INVALID")) throw err;
      throw new ApiError(400, "INVALID_PARAMETER", "match_topic_invalid");
    }
  }

  return [
    route({
      method: "GET",
      path: "/subscriptions",
      tag: "Subscriptions",
      summary: "List subscriptions",
      description:
        "Those of connected clients and of sessions left behind, client by client. With `match_topic` " +
        "`meta.count` is left out: use `meta.hasnext`.",
      section: "5.6",
      priority: "P1",
      schema: {
        query: {
          type: "object",
          properties: {
            ...PAGE_QUERY,
            node: NODE,
            clientid: { type: "string", description: "Client id.", example: "sensor-7" },
            qos: { type: "integer", enum: [0, 1, 2], description: "QoS of the subscription." },
            topic: {
              type: "string",
              description: "The filter itself, without its share.",
              example: "press/+/state",
            },
            match_topic: {
              type: "string",
              description:
                "A topic or filter: shows each filter it would match if that were a topic.",
              example: "press/#",
            },
            share_group: {
              type: "string",
              description: "Group of shared subscriptions.",
              example: "workers",
            },
            durable: { type: "boolean", description: "Whether the session is kept on disk." },
          },
        },
        answers: { 200: pageSchema(SUBSCRIPTION) },
      },
      test: "src/api/emqx-v5/subscriptions.test.ts",
      async handle({ query }) {
        checkNode(query.node, node);
        const { qos, topic, match_topic: within, share_group: group, durable } = query;
        const where = matcherOf({
          ...(qos === undefined ? {} : { qos }),
          ...(topic === undefined ? {} : { filter: topic }),
          ...(within === undefined ? {} : { within }),
          ...(group === undefined ? {} : { group }),
          ...(durable === undefined ? {} : { isDurable: durable }),
        });
        return ok(
          await paginate(rowsOf(query.clientid), query, {
            isCountKnown: within === undefined,
            where,
            pick: (row) => subscriptionView(row, node.name),
          }),
        );
      },
    }),
  ];
}
