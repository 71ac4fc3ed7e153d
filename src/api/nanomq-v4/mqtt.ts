import { isGatewayError } from "../../errors/index.ts";
import { failureOf, RESULT } from "../errors.ts";
import { publishBatch, readPublish } from "../publish-members.ts";
import { FAILURE, listOf, type Resource } from "./schema.ts";

const RESULT_ROW = {
  type: "object",
  properties: { topic: { type: "string" }, code: { type: "integer" } },
  required: ["topic", "code"],
} as const;

/** `/mqtt/publish` and `/mqtt/publish_batch` (reference §5.2). */
export const mqtt: Resource = (app, services) => {
  app.post(
    "/mqtt/publish",
    { schema: { body: { type: "object" }, response: { 200: FAILURE, "4xx": FAILURE } } },
    async ({ body }) => {
      try {
        await services.publisher.publish(readPublish(body));
        return { code: RESULT.success };
      } catch (err) {
        // NanoMQ answers a publish without topic or payload with HTTP 200 (reference §5.1).
        if (!isGatewayError(err, "PARAMETER_MISSING")) throw err;
        const { message = "" } = failureOf(err);
        return { code: RESULT.invalid, message };
      }
    },
  );

  app.post(
    "/mqtt/publish_batch",
    {
      schema: {
        body: { type: "array", items: {} },
        response: { 200: listOf(RESULT_ROW), "4xx": FAILURE },
      },
    },
    async ({ body }) => ({ code: RESULT.success, data: await publishBatch(body, services) }),
  );
};
