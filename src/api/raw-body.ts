import type { IncomingMessage } from "node:http";
import type { Readable } from "node:stream";
import type { FastifyInstance, FastifyReply } from "fastify";

/** How much of a refused body is still read, so that the caller gets to the answer. */
const DRAIN_BYTES = 4_194_304;
const DRAIN_MS = 1_000;

/**
 * Makes every body arrive as bytes, whatever its content type or without one. fastify refuses types
 * it has no parser for, and malformed ones even with a parser for all (415), but not a missing one:
 * so the header is taken away. Test: "the content type does not matter".
 */
export function acceptAnyBody(app: FastifyInstance, maxBytes: number): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", { parseAs: "buffer", bodyLimit: maxBytes }, (_, body, done) =>
    done(null, body),
  );
  app.addHook("onRequest", (request, _, done) => {
    delete request.raw.headers["content-type"];
    done();
  });
}

/**
 * Reads on for a moment when a body is refused for its size: closing a socket with unread bytes
 * resets it, and the caller would never see why.
 */
export function drainRefusedBodies(app: FastifyInstance): void {
  app.addHook("onError", async (request, _, err) => {
    if (isTooLarge(err)) await drain(request.raw);
  });
}

/** Whether fastify refused a body for its size. */
export function isTooLarge(err: unknown): boolean {
  return err instanceof Error && "code" in err && err.code === "FST_ERR_CTP_BODY_TOO_LARGE";
}

/** Sends JSON text exactly as it is; fastify leaves the content type of bytes alone. */
export function sendJson(
  reply: FastifyReply,
  status: number,
  json: string | Readable,
): FastifyReply {
  return reply
    .code(status)
    .header("content-type", "application/json")
    .header("cache-control", "no-store")
    .send(typeof json === "string" ? Buffer.from(json) : json);
}

/** Takes in a part of what a caller still sends, for a moment. */
export function drain(request: IncomingMessage): Promise<void> {
  return new Promise((resolve) => {
    let left = DRAIN_BYTES;
    const finish = () => {
      clearTimeout(timer);
      request.off("data", count).off("close", finish).off("end", finish).off("error", finish);
      resolve();
    };
    const count = (chunk: Buffer) => {
      left -= chunk.length;
      if (left < 0) finish();
    };
    const timer = setTimeout(finish, DRAIN_MS);
    if (request.readableEnded || request.destroyed) return finish();
    request.on("data", count).on("close", finish).on("end", finish).on("error", finish);
    request.resume();
  });
}
