import { type FastifyInstance, type FastifyReply, fastify } from "fastify";
import type { Access } from "./access/index.ts";
import { appOptions } from "./app-options.ts";
import type { ApiDeps } from "./deps.ts";
import { emqxV5, isEmqxPath, sendNotFound } from "./emqx-v5/index.ts";
import { RESULT } from "./errors.ts";
import { nanomqV1 } from "./nanomq-v1/index.ts";
import { nanomqV4 } from "./nanomq-v4/index.ts";
import { drainRefusedBodies, sendJson } from "./raw-body.ts";
import { statusRoute } from "./status.ts";

/** The one HTTP application behind every port, ready to take requests. */
export async function createApp(deps: ApiDeps, access: Access): Promise<FastifyInstance> {
  const notFound = (reply: FastifyReply) =>
    sendJson(reply, 404, JSON.stringify({ code: RESULT.unknown }));

  const app = fastify({
    ...appOptions(),
    // A path that cannot be decoded is a path that does not exist.
    frameworkErrors: (_err, request, reply) => {
      if (isEmqxPath(request.url)) sendNotFound(reply, request.headers.accept);
      else notFound(reply);
    },
  });
  // NanoMQ's specification asks for the configuration by GET with a body; fastify reads none unless told.
  app.addHttpMethod("GET", { hasBody: true, overrideExisting: true });

  app.setNotFoundHandler((_, reply) => notFound(reply));
  app.setErrorHandler((err: unknown, request, reply) => {
    // What is wrong with the body of a request to nowhere does not matter.
    if (request.is404) return notFound(reply);
    deps.log.debug({ err }, "a request could not be read");
    return sendJson(reply, 400, JSON.stringify({ code: RESULT.invalid }));
  });
  drainRefusedBodies(app);

  statusRoute(app, deps.services);
  await app.register(async (scope) => nanomqV1(scope, deps, access));
  await app.register(async (scope) => nanomqV4(scope, deps, access), { prefix: "/api/v4" });
  await emqxV5(app, deps);
  await app.ready();
  return app;
}
