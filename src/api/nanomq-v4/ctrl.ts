import { answered } from "../answered.ts";
import { RESULT } from "../errors.ts";
import { CODE_ONLY, FAILURE, type Resource } from "./schema.ts";

const ACTION = {
  type: "object",
  properties: { action: { type: "string" } },
  required: ["action"],
} as const;

/** `/ctrl/stop` and `/ctrl/restart`: ends the gateway after the answer. */
export const ctrl: Resource = (app, { control }) => {
  app.post(
    "/ctrl/:action",
    { schema: { params: ACTION, response: { 200: CODE_ONLY, "4xx": FAILURE } } },
    async ({ params: { action } }, reply) => {
      if (action !== "stop" && action !== "restart") {
        return reply.code(404).send({ code: RESULT.internal });
      }
      control.request(action, answered(reply.raw));
      return { code: RESULT.success };
    },
  );
};
