import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { Access } from "../access/index.ts";
import type { ApiDeps } from "../deps.ts";
import { failureOf, RESULT } from "../errors.ts";
import { parseJson } from "../json.ts";
import { acceptAnyBody, isTooLarge, sendJson } from "../raw-body.ts";
import { bridges } from "./bridges.ts";
import { clients } from "./clients.ts";
import { ctrl } from "./ctrl.ts";
import { metrics } from "./metrics.ts";
import { mqtt } from "./mqtt.ts";
import { nodes } from "./nodes.ts";
import { reload } from "./reload.ts";
import { typed } from "./schema.ts";
import { subscriptions } from "./subscriptions.ts";

/** Largest request body: a batch of messages. */
const MAX_BODY_BYTES = 1_048_576;

const RESOURCES = [nodes, metrics, clients, subscriptions, bridges, reload, mqtt, ctrl];

/** Methods whose unknown paths are "not found"; any other method is "not allowed" (reference §5.1). */
const KNOWN_METHODS = ["GET", "POST", "PUT", "DELETE"];

/** NanoMQ's V4 API below `/api/v4`: size, login, path, JSON, parameters are checked in this order. */
export function nanomqV4(app: FastifyInstance, deps: ApiDeps, access: Access): void {
  acceptAnyBody(app, MAX_BODY_BYTES);

  const login = async (request: FastifyRequest, reply: FastifyReply) => {
    const fault = await access.check(request.headers.authorization, request.ip);
    if (fault === null) return;
    if (request.headers["x-requested-with"] === undefined) {
      reply.header("www-authenticate", access.challenge);
    }
    return send(reply, 401, fault);
  };

  const readBody = async (request: FastifyRequest, reply: FastifyReply) => {
    if (request.method === "GET" || request.routeOptions.schema?.body === undefined) return;
    const body = request.body instanceof Uint8Array ? parseJson(request.body) : undefined;
    if (body === undefined) return send(reply, 400, RESULT.notJson);
    request.body = body;
  };

  app.addHook("preValidation", login);
  app.addHook("preValidation", readBody);

  app.addHook("onSend", async (_, reply) => {
    reply.header("content-type", "application/json").header("cache-control", "no-store");
  });

  app.setErrorHandler((err: FastifyError, request, reply) => {
    if (err.validation !== undefined) {
      // A body of another kind than the route takes is, to NanoMQ, not JSON at all.
      const isWholeBody = err.validationContext === "body" && err.validation[0]?.keyword === "type";
      const code = isWholeBody ? RESULT.notJson : RESULT.invalid;
      return send(reply, 400, code, err.message);
    }
    if (isTooLarge(err)) return send(reply, 400, RESULT.invalid);
    if (err.statusCode !== undefined && err.statusCode < 500) {
      return send(reply, 400, RESULT.notJson);
    }
    const { status, code, message } = failureOf(err);
    if (status >= 500) {
      deps.log.error({ err, path: request.routeOptions.url }, "a request of the V4 API failed");
    }
    return send(reply, status, code, message);
  });

  app.setNotFoundHandler((request, reply) =>
    send(reply, KNOWN_METHODS.includes(request.method) ? 404 : 405, RESULT.unknown),
  );

  const resources = typed(app);
  for (const resource of RESOURCES) resource(resources, deps.services);
}

function send(reply: FastifyReply, status: number, code: number, message?: string): FastifyReply {
  return sendJson(
    reply,
    status,
    JSON.stringify(message === undefined ? { code } : { code, message }),
  );
}
