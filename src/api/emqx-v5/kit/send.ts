import type { FastifyReply } from "fastify";
import { serialize } from "../../serialize.ts";
import type { Answer, ApiError } from "./answer.ts";

/** Value of `WWW-Authenticate` on the refusals that carry it (reference §2.2). */
const CHALLENGE = 'Basic Realm="tidegate"';
const CHALLENGED: ReadonlySet<string> = new Set([
  "AUTHORIZATION_HEADER_ERROR",
  "BAD_API_KEY_OR_SECRET",
  "API_KEY_NOT_ALLOW",
]);

export function sendAnswer(reply: FastifyReply, answer: Answer): FastifyReply {
  reply.code(answer.status).header("cache-control", "no-store");
  for (const [name, value] of Object.entries(answer.headers ?? {})) reply.header(name, value);
  const { content } = answer;
  switch (content.kind) {
    case "none":
      return reply.send();
    case "bytes":
      return reply.header("content-type", content.type).send(content.value);
    case "json":
      return sendJson(reply, serialize(content.value));
  }
}

export function sendError(reply: FastifyReply, err: ApiError): FastifyReply {
  if (CHALLENGED.has(err.code)) reply.header("www-authenticate", CHALLENGE);
  const { code, message, extra } = err;
  reply.code(err.status).header("cache-control", "no-store");
  return sendJson(reply, JSON.stringify({ code, message, reason: message, ...extra }));
}

/** fastify adds a charset to the content type of text, not to that of bytes. */
function sendJson(reply: FastifyReply, body: ReturnType<typeof serialize>): FastifyReply {
  const bytes = typeof body === "string" ? Buffer.from(body) : body;
  return reply.header("content-type", "application/json").send(bytes);
}
