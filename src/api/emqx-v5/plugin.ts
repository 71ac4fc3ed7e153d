import type { FastifyInstance } from "fastify";
import type { ApiDeps } from "../deps.ts";
import { serveRoutes } from "./kit/index.ts";
import { createLogin } from "./login.ts";
import { emqxRoutes } from "./routes.ts";

/** EMQX's API in a scope with the prefix `/api/v5`. */
export async function emqxV5(app: FastifyInstance, deps: ApiDeps): Promise<void> {
  const login = createLogin(deps);
  const { checkAccess } = login;
  await serveRoutes(app, emqxRoutes(deps.services, login), { log: deps.log, checkAccess });
}

/** Whether the answer to a path is this dialect's to give. */
export function isEmqxPath(url: string): boolean {
  return /^\/api\/v5(?:[/?]|$)/.test(url);
}
