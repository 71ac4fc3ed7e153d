import type { FastifyReply } from "fastify";
import { ApiError } from "./answer.ts";
import type { Method, Route } from "./route.ts";
import { sendError } from "./send.ts";

const HTML = "<!doctype html><title>404</title><h1>404 - NOT FOUND</h1>\n";

/** Answers an unknown path in the form the caller accepts (reference §1.2), JSON unless it asks. */
export function sendNotFound(reply: FastifyReply, accept: string | undefined): FastifyReply {
  if (accept?.startsWith("text/plain")) {
    return reply.code(404).type("text/plain").send("404 - NOT FOUND");
  }
  if (accept?.startsWith("text/html")) return reply.code(404).type("text/html").send(HTML);
  return sendError(reply, new ApiError(404, "NOT_FOUND", "Request Path Not Found"));
}

/** Which methods a path has; fastify answers 404 for all others. */
export function methodsByPath(routes: readonly Route[]): (path: string) => readonly Method[] {
  const templates = routes.map(({ path, method }) => ({ steps: path.split("/"), method }));
  return (path) => {
    const steps = path.replace(/\/$/, "").split("/");
    const fits = templates.filter(
      (template) =>
        template.steps.length === steps.length &&
        template.steps.every((step, i) => step.startsWith("{") || step === steps[i]),
    );
    return [...new Set(fits.map(({ method }) => method))];
  };
}
