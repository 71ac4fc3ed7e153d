import type { FastifyInstance } from "fastify";
import type { ApiDeps } from "../deps.ts";
import { serveRoutes } from "./kit/index.ts";
import { createLogin } from "./login.ts";
import { docsPages } from "./openapi/index.ts";
import { emqxRoutes } from "./routes.ts";

/** EMQX's API below `/api/v5`, and its documents below `/api-docs`. */
export async function emqxV5(app: FastifyInstance, deps: ApiDeps): Promise<void> {
  const { log, services } = deps;
  const login = createLogin(deps);
  const { checkAccess } = login;
  const routes = emqxRoutes(services, login);
  const serve = (scope: FastifyInstance) => serveRoutes(scope, routes, { log, checkAccess });
  await app.register(serve, { prefix: "/api/v5" });
  if (services.configuration.running().dashboard.swagger_support) {
    docsPages(app, routes, services.statistics.node().version);
  }
}

/** Whether the answer to a path is this dialect's to give. */
export function isEmqxPath(url: string): boolean {
  return /^\/api\/v5(?:[/?]|$)/.test(url);
}
