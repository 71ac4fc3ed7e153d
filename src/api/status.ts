import type { FastifyInstance } from "fastify";
import type { ApiServices } from "./deps.ts";
import { sendJson } from "./raw-body.ts";

/**
 * `GET /status`, without login: whether the gateway is up (200) or still coming up (503). It says
 * nothing a stranger on the network could use.
 */
export function statusRoute(app: FastifyInstance, { statistics }: ApiServices): void {
  app.get("/status", (_, reply) => {
    const { isReady, version, uptimeMs, configuration } = statistics.node();
    const body = {
      status: isReady ? "running" : "starting",
      ready: isReady,
      version,
      uptime_s: Math.floor(uptimeMs / 1000),
      restart_pending: configuration.restartPending,
      on_trial: configuration.onTrial,
      rolled_back: configuration.rolledBack !== null,
    };
    return sendJson(reply, isReady ? 200 : 503, JSON.stringify(body));
  });
}
