import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { Access } from "../access/index.ts";
import { answered } from "../answered.ts";
import type { ApiDeps } from "../deps.ts";
import { RESULT } from "../errors.ts";
import type { JsonObject } from "../json.ts";
import { acceptAnyBody, isTooLarge, sendJson } from "../raw-body.ts";
import { serialize } from "../serialize.ts";
import { dispatch } from "./dispatch.ts";
import { readEnvelope, writeAnswer } from "./envelope.ts";

/** Largest request body (reference §1.1). */
const MAX_BODY_BYTES = 131_072;

const NO_BODY = new Uint8Array();

/**
 * NanoMQ's V1 API: one endpoint, the request code tells what is wanted. The body is read as JSON
 * whatever its content type, GET has a body too, and the order of checks is size, login, JSON,
 * `req`/`seq`, request code, parameters (reference §1.3).
 */
export function nanomqV1(app: FastifyInstance, deps: ApiDeps, access: Access): void {
  acceptAnyBody(app, MAX_BODY_BYTES);

  app.setErrorHandler((err, request, reply) => {
    if (isTooLarge(err)) return refuse(reply, 400, RESULT.invalid);
    deps.log.debug({ err, address: request.ip }, "a request body could not be read");
    return refuse(reply, 400, RESULT.notJson);
  });

  const handler = async (request: FastifyRequest, reply: FastifyReply) => {
    const envelope = readEnvelope(request.body instanceof Uint8Array ? request.body : NO_BODY);
    const fault = await access.check(request.headers.authorization, request.ip);
    if (fault !== null) {
      // A browser shows a password dialog for a challenge; a page that logs in by script has its own.
      if (request.headers["x-requested-with"] === undefined) {
        reply.header("www-authenticate", access.challenge);
      }
      return send(reply, 401, writeAnswer(fault, envelope));
    }
    const { status, body } = await dispatch(envelope, deps, answered(reply.raw));
    return send(reply, status, body);
  };

  app.route({ method: ["GET", "POST"], url: "/api/v1", handler });
  app.route({ method: "POST", url: "/api/v4", handler });
}

function refuse(reply: FastifyReply, status: number, code: number) {
  return send(reply, status, writeAnswer(code, { seq: 0, rep: null }));
}

function send(reply: FastifyReply, status: number, body: JsonObject): FastifyReply {
  return sendJson(reply, status, serialize(body));
}
