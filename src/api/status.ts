import type { FastifyInstance } from "fastify";
import type { Services } from "../services/index.ts";
import { statusOf, statusText } from "./emqx-v5/index.ts";
import { sendJson } from "./raw-body.ts";

/** Seconds after which a caller of a gateway that is not ready may ask again. */
const RETRY_S = "15";

/**
 * `GET /status`, without login: whether the gateway is up (200) or still coming up (503). It says
 * nothing a stranger on the network could use. EMQX answers with text here: `?format=text` has exactly
 * that, and without it `message` holds the words its health probes look for.
 */
export function statusRoute(app: FastifyInstance, services: Services): void {
  app.get("/status", (request, reply) => {
    const { isReady, version, uptimeMs, configuration } = services.statistics.node();
    reply.header("retry-after", RETRY_S);
    const status = isReady ? 200 : 503;
    const message = statusText(services);
    const query = request.query as Readonly<Record<string, unknown>>;
    if (query["format"] === "text") {
      return reply
        .code(status)
        .header("content-type", "text/plain")
        .header("cache-control", "no-store")
        .send(Buffer.from(message));
    }
    const body = {
      status: isReady ? "running" : "starting",
      ready: isReady,
      version,
      uptime_s: Math.floor(uptimeMs / 1000),
      restart_pending: configuration.restartPending,
      on_trial: configuration.onTrial,
      rolled_back: configuration.rolledBack !== null,
      ...statusOf(services),
      message,
    };
    return sendJson(reply, status, JSON.stringify(body));
  });
}
