import type { FastifyInstance } from "fastify";
import type { ApiDeps } from "../deps.ts";
import { ApiError, serveRoutes } from "./kit/index.ts";
import { emqxRoutes } from "./routes.ts";

/** EMQX's API in a scope with the prefix `/api/v5`. */
export async function emqxV5(app: FastifyInstance, deps: ApiDeps): Promise<void> {
  await serveRoutes(app, emqxRoutes(deps.services), {
    log: deps.log,
    checkAccess: async ({ access }) => {
      if (access === "public") return { kind: "public", name: "", role: "viewer" };
      throw new ApiError(401, "AUTHORIZATION_HEADER_ERROR", "no login");
    },
  });
}

/** Whether the answer to a path is this dialect's to give. */
export function isEmqxPath(url: string): boolean {
  return /^\/api\/v5(?:[/?]|$)/.test(url);
}
