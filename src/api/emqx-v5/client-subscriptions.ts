import { qos, topicFilter, type WantedSubscription } from "../../mqtt/index.ts";
import type { Services } from "../../services/index.ts";
import { ApiError, inTurns, noContent, ok, type Route, route } from "./kit/index.ts";
import {
  FILTER_PROPERTY,
  SUBSCRIPTION,
  SUBSCRIPTION_OPTIONS,
  subscriptionView,
} from "./subscription-view.ts";

/** What a client's subscriptions are made of. */
export type ClientSubscriptionServices = Pick<Services, "node" | "subscriptions">;

const TEST = "src/api/emqx-v5/client-subscriptions.test.ts";
const TAG = "Clients";
/** Filters in one request. */
const MAX_FILTERS = 1000;

const WANTED = {
  type: "object",
  additionalProperties: false,
  properties: {
    topic: FILTER_PROPERTY,
    qos: { ...SUBSCRIPTION_OPTIONS.qos, default: 0 },
    nl: { ...SUBSCRIPTION_OPTIONS.nl, default: 0 },
    rap: { ...SUBSCRIPTION_OPTIONS.rap, default: 0 },
    rh: { ...SUBSCRIPTION_OPTIONS.rh, default: 0 },
  },
  required: ["topic"],
} as const;

const MADE = {
  type: "object",
  additionalProperties: false,
  properties: {
    clientid: SUBSCRIPTION.properties.clientid,
    node: SUBSCRIPTION.properties.node,
    topic: FILTER_PROPERTY,
    ...SUBSCRIPTION_OPTIONS,
  },
  required: ["clientid", "node", "topic", "qos", "nl", "rap", "rh"],
} as const;

const ENDED = {
  type: "object",
  additionalProperties: false,
  properties: { topic: FILTER_PROPERTY },
  required: ["topic"],
} as const;

const listOf = <const S>(items: S) =>
  ({ type: "array", items, maxItems: MAX_FILTERS, description: "All, or none." }) as const;

/** What the schema of `WANTED` lets through. */
interface Wanted {
  readonly topic: string;
  readonly qos: number;
  readonly nl: number;
  readonly rap: number;
  readonly rh: number;
}

/** One client's subscriptions, and subscribing on its behalf (reference §5.5). */
export function clientSubscriptionRoutes(services: ClientSubscriptionServices): readonly Route[] {
  const { node, subscriptions } = services;

  async function subscribe(clientId: string, list: readonly Wanted[]) {
    const wanted = list.map(wantedOf);
    await subscriptions.grant(clientId, wanted);
    return list.map((one) => ({
      clientid: clientId,
      node: node.name,
      topic: one.topic,
      qos: one.qos,
      nl: one.nl,
      rap: one.rap,
      rh: one.rh,
    }));
  }

  const description =
    "As if the client had subscribed, whatever the access rules say; it lasts as long as the " +
    "session. A session left behind can be subscribed too.";

  return [
    route({
      method: "GET",
      path: "/clients/{clientid}/subscriptions",
      tag: TAG,
      summary: "List a client's subscriptions",
      section: "5.5",
      priority: "P1",
      schema: { answers: { 200: { type: "array", items: SUBSCRIPTION } } },
      test: TEST,
      async handle({ params }) {
        const rows = subscriptions.rows(params.clientid);
        return ok(await inTurns(rows, (row) => subscriptionView(row, node.name)));
      },
    }),

    route({
      method: "POST",
      path: "/clients/{clientid}/subscribe",
      tag: TAG,
      summary: "Subscribe a client",
      description,
      section: "5.5",
      priority: "P1",
      schema: { body: WANTED, answers: { 200: MADE } },
      test: TEST,
      async handle({ params, body }) {
        const [made] = await subscribe(params.clientid, [body]);
        return ok(made);
      },
    }),

    route({
      method: "POST",
      path: "/clients/{clientid}/subscribe/bulk",
      tag: TAG,
      summary: "Subscribe a client to many filters",
      description,
      section: "5.5",
      priority: "P1",
      schema: { body: listOf(WANTED), answers: { 200: { type: "array", items: MADE } } },
      test: TEST,
      handle: async ({ params, body }) => ok(await subscribe(params.clientid, body)),
    }),

    route({
      method: "POST",
      path: "/clients/{clientid}/unsubscribe",
      tag: TAG,
      summary: "End a client's subscription",
      description: "A filter it is not subscribed to is no error.",
      section: "5.5",
      priority: "P1",
      schema: { body: ENDED, answers: { 204: null } },
      test: TEST,
      async handle({ params, body }) {
        await subscriptions.unsubscribe(params.clientid, [body.topic]);
        return noContent();
      },
    }),

    route({
      method: "POST",
      path: "/clients/{clientid}/unsubscribe/bulk",
      tag: TAG,
      summary: "End many of a client's subscriptions",
      description: "Filters it is not subscribed to are no error.",
      section: "5.5",
      priority: "P1",
      schema: { body: listOf(ENDED), answers: { 204: null } },
      test: TEST,
      async handle({ params, body }) {
        const filters = body.map(({ topic }) => topic);
        await subscriptions.unsubscribe(params.clientid, filters);
        return noContent();
      },
    }),
  ];
}

/** @throws ApiError 400 INVALID_PARAMETER; GatewayError MQTT_FILTER_INVALID */
function wantedOf(one: Wanted): WantedSubscription {
  const filter = topicFilter(one.topic);
  // [MQTT-3.8.3-4]
  if (one.nl === 1 && filter.startsWith("$share/")) {
    throw new ApiError(400, "INVALID_PARAMETER", "a shared subscription cannot have nl = 1");
  }
  return {
    filter,
    qos: qos(one.qos),
    noLocal: one.nl === 1,
    retainAsPublished: one.rap === 1,
    retainHandling: one.rh === 0 ? 0 : one.rh === 1 ? 1 : 2,
  };
}
