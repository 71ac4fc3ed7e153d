import type { SubscriptionInfo } from "../../mqtt/index.ts";

const option = (description: string, most: number) =>
  ({ type: "integer", minimum: 0, maximum: most, description, example: 0 }) as const;

/** The options of a subscription (MQTT 5.0 §3.8.3.1), as bodies and answers have them. */
export const SUBSCRIPTION_OPTIONS = {
  qos: { ...option("Most QoS it is sent with.", 2), example: 1 },
  nl: option("1 = not its own messages (No Local).", 1),
  rap: option("1 = the retain flag as it was published (Retain As Published).", 1),
  rh: option("Retained messages: 0 = sent, 1 = sent for a new subscription, 2 = not sent.", 2),
} as const;

export const FILTER_PROPERTY = {
  type: "string",
  description: "Topic filter, with `$share/group/` in front where it is shared.",
  example: "press/+/state",
} as const;

/** A row of `/subscriptions` (reference §5.6). */
export const SUBSCRIPTION = {
  type: "object",
  additionalProperties: false,
  properties: {
    node: { type: "string", description: "Name of the node.", example: "tidegate@127.0.0.1" },
    clientid: { type: "string", description: "Client id.", example: "sensor-7" },
    topic: FILTER_PROPERTY,
    ...SUBSCRIPTION_OPTIONS,
    durable: { type: "boolean", description: "Its session is kept on disk.", example: false },
  },
  required: ["node", "clientid", "topic", "qos", "nl", "rap", "rh", "durable"],
} as const;

export function subscriptionView(row: SubscriptionInfo, node: string) {
  return {
    node,
    clientid: row.clientId,
    topic: row.filter,
    qos: row.qos,
    nl: row.noLocal ? 1 : 0,
    rap: row.retainAsPublished ? 1 : 0,
    rh: row.retainHandling,
    durable: row.isDurable,
  };
}
