import type { Services } from "../../services/index.ts";
import { ApiError, inTurns, noContent, ok, type Route, route } from "./kit/index.ts";

/** What a client's remembered decisions are made of. */
export interface ClientAuthorizationServices {
  readonly clients: Pick<Services["clients"], "details">;
  readonly mqttAccess: Pick<Services["mqttAccess"], "rememberedDecisions" | "forgetDecisions">;
}

const TEST = "src/api/emqx-v5/client-authorization.test.ts";
const TAG = "Clients";
const PATH = "/clients/{clientid}/authorization/cache";

const DECISION = {
  type: "object",
  additionalProperties: false,
  properties: {
    access: {
      type: "object",
      description: "What was asked.",
      properties: {
        action_type: { type: "string", enum: ["publish"], description: "Publishing alone." },
        qos: { type: "integer", description: "QoS of the message.", example: 1 },
        retain: { type: "boolean", description: "Its retain flag.", example: false },
      },
      required: ["action_type", "qos", "retain"],
    },
    topic: { type: "string", description: "Topic.", example: "press/3/state" },
    result: { type: "string", enum: ["allow", "deny"], description: "The decision." },
    updated_time: {
      type: "integer",
      description: "When the newest decision on the topic was made, epoch ms.",
      example: 1_714_557_600_000,
    },
  },
  required: ["access", "topic", "result", "updated_time"],
} as const;

/** What is remembered of decisions about one client (reference §5.5). */
export function clientAuthorizationRoutes(services: ClientAuthorizationServices): readonly Route[] {
  const { clients, mqttAccess } = services;

  function mustKnow(clientId: string): void {
    if (clients.details(clientId) !== undefined) return;
    throw new ApiError(404, "CLIENTID_NOT_FOUND", "Client ID not found");
  }

  return [
    route({
      method: "GET",
      path: PATH,
      tag: TAG,
      summary: "Show what is remembered of decisions about a client",
      description:
        "What a client may publish is remembered where many rules are asked; a change of the rules " +
        "forgets it.",
      section: "5.5",
      priority: "P3",
      schema: { answers: { 200: { type: "array", items: DECISION } } },
      test: TEST,
      async handle({ params }) {
        mustKnow(params.clientid);
        const decisions = mqttAccess.rememberedDecisions(params.clientid);
        return ok(
          await inTurns(decisions, ({ topic, qos, retain, isAllowed, atMs }) => ({
            access: { action_type: "publish", qos, retain },
            topic,
            result: isAllowed ? "allow" : "deny",
            updated_time: atMs,
          })),
        );
      },
    }),

    route({
      method: "DELETE",
      path: PATH,
      tag: TAG,
      summary: "Forget decisions about a client",
      section: "5.5",
      priority: "P3",
      schema: { answers: { 204: null } },
      test: TEST,
      handle({ params }) {
        mustKnow(params.clientid);
        mqttAccess.forgetDecisions(params.clientid);
        return noContent();
      },
    }),
  ];
}
