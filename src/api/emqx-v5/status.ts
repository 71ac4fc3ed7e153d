import { empty, type Route, route } from "./kit/index.ts";
import { type StatusServices, statusOf, statusText } from "./status-text.ts";

/** `GET /status` below the base path (reference §5.3); the one at the root is `src/api/status.ts`. */
export function statusRoutes(services: StatusServices): readonly Route[] {
  return [
    route({
      method: "GET",
      path: "/status",
      tag: "Status",
      summary: "Whether the gateway runs",
      description:
        "Answers without login, for health probes. 503 with the same body while it starts or stops.",
      section: "5.3",
      priority: "P1",
      access: "public",
      schema: {
        query: {
          type: "object",
          properties: {
            format: {
              type: "string",
              enum: ["text", "json"],
              default: "text",
              description: "Form of the answer.",
            },
          },
        },
        answers: {
          200: { type: "string", example: "Node tidegate@127.0.0.1 is started\nemqx is running" },
          503: {
            type: "string",
            example: "Node tidegate@127.0.0.1 is stopped\nemqx is not_running",
          },
        },
      },
      produces: "text/plain",
      test: "src/api/emqx-v5/status.test.ts",
      handle({ query }) {
        const { isReady } = services.statistics.node();
        const isText = query.format === "text";
        const content = isText
          ? ({ kind: "bytes", value: statusText(services), type: "text/plain" } as const)
          : ({ kind: "json", value: statusOf(services) } as const);
        return { ...empty(isReady ? 200 : 503), content, headers: { "retry-after": "15" } };
      },
    }),
  ];
}
